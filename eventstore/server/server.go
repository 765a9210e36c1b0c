// Package server is the embedded event store's face: the gRPC protocol of EventStoreDB 23.10 over an engine.DB.
//
// The official clients can't tell it from the server whose protocol it speaks, as far as that is implemented; what is not
// answers UNIMPLEMENTED with a sentence that says what to use instead, and ServerFeatures lists nothing that doesn't exist.
//
// Reads keep no state: a read or a subscription is a cursor over the log, pages are read when the client has
// taken the ones before (gRPC's flow control is the back-pressure), and a live subscription waits for the engine's signal.
// So no subscriber has a queue here that could overflow, and none can see a gap or a repeated event. What bounds memory is one
// page per call, and one budget for all appends that are not answered yet (limits.go).
//
//	Streams.Append, BatchAppend, Delete, Tombstone --> engine: answered when durable
//	Streams.Read   count        --> pages --> end
//	               subscription --> confirmation --> pages --> caught up --> wait --> pages ...
//	PersistentSubscriptions       --> groups (persistent.go): their goroutines end before Serve returns
//
// Failures: a wrong expected revision is a message, everything else a status with the trailers that clients look at
// (errors.go). UNAVAILABLE is said only while stopping: it makes clients look for another node.
//
// Access: every call passes one gate (gate.go), which asks one table (rules.go) for the right that the call needs. With TLS callers
// are the users of a file (folder access). Without TLS no credentials arrive and everybody who can connect may do everything, so it
// listens on loopback alone unless it is told otherwise.
//
// Callers: cmd/annald's role eventstore, and tests through servertest. It doesn't import the project's client: they meet only on
// the wire.
package server

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/annalhq/annal/eventstore/engine"
	"github.com/annalhq/annal/eventstore/server/access"
	"github.com/annalhq/annal/internal/fault"
)

// Sizes of messages. The largest append a real server takes is 16 MiB less 10,000 bytes.
const (
	maxReceive        = 16 << 20
	maxSend           = 32 << 20
	defaultMaxAppend  = 1 << 20
	defaultWriteLimit = 10 * time.Second
	defaultGrace      = 5 * time.Second
	defaultRecheck    = time.Second
	defaultKeepAlive  = 10 * time.Second
	maxHeaders        = 64 << 10 // bytes of one call's
	spareStreams      = 256
	streamWorkers     = 64
	callWindow        = 1 << 20 // bytes; the largest append by default
	connWindow        = 4 << 20 // bytes on their way; given back when they arrive, whoever reads them

	defaultMaxConnections = 4096
	defaultMaxCalls       = 16 << 10
	defaultAppendMemory   = 256 << 20
)

// Config tunes a Server. The zero value listens for whoever connects, without TLS.
type Config struct {
	Advertise    string        // host:port that gossip names; default: the address the client reached
	MaxAppend    int           // bytes of one append's events; default 1 MiB
	WriteTimeout time.Duration // longest wait for an append; default 10 s
	Grace        time.Duration // what calls in progress get to finish when stopping; default 5 s
	TLSCert      string        // file with the certificate chain, PEM; all or none of the three
	TLSKey       string        // file with the key, PEM
	Users        string        // file of users (access.User)
	Insecure     bool          // may listen beyond loopback without TLS
	Logger       *slog.Logger  // default: slog.Default

	MaxConnections int           // more are hung up on; default 4096
	MaxCalls       int           // in progress, subscriptions included, of all connections; more are refused; default 16384
	AppendMemory   int64         // bytes that appends may hold until they are answered, together; default 256 MiB
	Recheck        time.Duration // how often the files above are looked at for changes; default 1 s
	KeepAlive      time.Duration // silence of a client, also at the start, after which it is asked, and again after which it is given up; default 10 s
}

// Validate returns an invalid fault for fields that don't go together.
func (c Config) Validate() error {
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return fault.New(fault.Invalid, "TLS_INCOMPLETE", "a TLS certificate needs its key, and a key its certificate: give both files or none")
	}
	if c.TLSCert != "" && c.Users == "" {
		return fault.New(fault.Invalid, "STORE_USERS_NONE",
			"an event store with TLS has users, and none by default: make some with `annal store user add NAME --role ROLE` and name their file (ANNAL_EVENTSTORE_USERS_FILE)")
	}
	if c.Users != "" && c.TLSCert == "" {
		return fault.New(fault.Invalid, "STORE_USERS_WITHOUT_TLS",
			"without TLS clients send no passwords, so users protect nothing: give a certificate too (ANNAL_EVENTSTORE_TLS_CERT and _TLS_KEY), or no users")
	}
	if c.Advertise != "" {
		if _, _, err := net.SplitHostPort(c.Advertise); err != nil {
			return fault.Wrap(err, fault.Invalid, "ADVERTISE_INVALID", "the advertised address must be host:port")
		}
	}
	return nil
}

func (c Config) withDefaults() Config {
	if c.MaxAppend <= 0 {
		c.MaxAppend = defaultMaxAppend
	}
	if c.WriteTimeout <= 0 {
		c.WriteTimeout = defaultWriteLimit
	}
	if c.Grace <= 0 {
		c.Grace = defaultGrace
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.MaxConnections <= 0 {
		c.MaxConnections = defaultMaxConnections
	}
	if c.MaxCalls <= 0 {
		c.MaxCalls = defaultMaxCalls
	}
	if c.AppendMemory <= 0 {
		c.AppendMemory = defaultAppendMemory
	}
	if c.Recheck <= 0 {
		c.Recheck = defaultRecheck
	}
	if c.KeepAlive <= 0 {
		c.KeepAlive = defaultKeepAlive
	}
	return c
}

// Server serves one engine.DB.
type Server struct {
	streams.UnimplementedStreamsServer

	db       *engine.DB
	cfg      Config
	instance [16]byte // this start of the node, told by gossip
	groups   *groupRegistry
	gate     *gate
	tls      *certificate // nil: none
	appends  budget
	woken    atomic.Uint64 // subscriptions, so far
	stopping chan struct{} // closed when Serve's context ends

	subscriptions atomic.Int64 // open ones
}

// New returns a server that doesn't listen yet. The caller closes db after Serve has returned. It returns invalid faults for cfg and
// for the files that it names.
func New(db *engine.DB, cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	s := &Server{db: db, cfg: cfg, stopping: make(chan struct{})}
	s.appends.limit = cfg.AppendMemory
	s.gate = &gate{log: cfg.Logger, max: int64(cfg.MaxCalls)}
	_, _ = rand.Read(s.instance[:])
	if cfg.TLSCert != "" {
		var err error
		if s.tls, err = loadCertificate(cfg.TLSCert, cfg.TLSKey, cfg.Logger); err != nil {
			return nil, err
		}
		if s.gate.users, err = access.Open(cfg.Users, cfg.Logger); err != nil {
			return nil, err
		}
	}
	s.groups = &groupRegistry{s: s}
	return s, nil
}

// transport makes what answers calls. It has goroutines until it is stopped.
func (s *Server) transport() *grpc.Server {
	options := append(s.options(), grpc.StreamInterceptor(s.gate.stream)) // every call is a stream (single.go)
	if s.tls != nil {
		options = append(options, grpc.Creds(introducing{credentials.NewTLS(s.tls.config())}))
	}
	g := registrar{grpc.NewServer(options...)}
	streams.RegisterStreamsServer(g, s)
	persistent.RegisterPersistentSubscriptionsServer(g, &persistentSubscriptions{s: s, groups: s.groups})
	serverfeatures.RegisterServerFeaturesServer(g, features{})
	gossip.RegisterGossipServer(g, gossiper{s: s})
	return g.Server
}

// Subscriptions is how many catch-up subscriptions are open.
func (s *Server) Subscriptions() int64 { return s.subscriptions.Load() }

func (s *Server) options() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxReceive),
		grpc.MaxSendMsgSize(maxSend),
		grpc.ForceServerCodecV2(newWireCodec()),
		grpc.MaxHeaderListSize(maxHeaders),
		// What a client may send before somebody reads it. grpc-go would let it grow to 16 MiB for each call of a fast connection.
		grpc.StaticStreamWindowSize(callWindow),
		grpc.StaticConnWindowSize(connWindow),
		// Of one connection: some more than of all, since a call beyond it waits at the client and one beyond MaxCalls is told why.
		grpc.MaxConcurrentStreams(uint32(min(s.cfg.MaxCalls+spareStreams, math.MaxInt32))), //nolint:gosec // bounded
		grpc.ConnectionTimeout(s.cfg.KeepAlive),
		// Short calls find a goroutine whose stack has grown already. When all are taken, by subscriptions say, a call gets one of its own.
		grpc.NumStreamWorkers(streamWorkers),
		grpc.UnknownServiceHandler(unknownService),
		// Clients ping every 10 s, also when idle; without this grpc-go would hang up on them for it.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: s.cfg.KeepAlive, Timeout: s.cfg.KeepAlive}),
	}
}

// Serve accepts connections on l until ctx ends; then subscriptions end with UNAVAILABLE, calls in progress get the grace
// period, and it returns nil. It may be called once. It returns STORE_EXPOSED for a listener that Config.Permits refuses, and an
// unavailable fault if the listener fails.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	defer s.groups.close() // when nobody asks them any more
	if err := s.cfg.Permits(l.Addr()); err != nil {
		return err
	}
	transport := s.transport()
	defer transport.Stop()
	s.gate.served = methods(transport)
	looking, stopLooking := context.WithCancel(ctx)
	var looks sync.WaitGroup
	looks.Go(func() { s.recheck(looking) })
	defer looks.Wait()
	defer stopLooking()
	served := make(chan error, 1)
	go func() {
		served <- transport.Serve(&bounded{Listener: l, log: s.cfg.Logger, limit: s.cfg.MaxConnections, open: !s.gate.secure()})
	}()
	select {
	case err := <-served:
		close(s.stopping)
		return fault.Wrap(err, fault.Unavailable, "LISTENER_FAILED", "the event store no longer accepts connections")
	case <-ctx.Done():
	}
	close(s.stopping)
	late := time.AfterFunc(s.cfg.Grace, transport.Stop)
	transport.GracefulStop()
	late.Stop()
	if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fault.Wrap(err, fault.Unavailable, "LISTENER_FAILED", "the event store no longer accepts connections")
	}
	return nil
}

// methods lists the calls that have a handler.
func methods(g *grpc.Server) map[string]bool {
	all := map[string]bool{}
	for service, info := range g.GetServiceInfo() {
		for _, m := range info.Methods {
			all["/"+service+"/"+m.Name] = true
		}
	}
	return all
}

// recheck takes over users and certificates that were changed, until ctx ends. A file gives no signal that all systems and mounts know.
func (s *Server) recheck(ctx context.Context) {
	if s.tls == nil {
		return
	}
	tick := time.NewTicker(s.cfg.Recheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.gate.users.Refresh()
			s.tls.refresh()
		}
	}
}
