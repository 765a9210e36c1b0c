// Package server is the embedded event store's face: the gRPC protocol of EventStoreDB 23.10 over an engine.DB.
//
// The official clients can't tell it from the server whose protocol it speaks, as far as that is implemented; what is not
// answers UNIMPLEMENTED with a sentence that says what to use instead, and ServerFeatures lists nothing that doesn't exist.
//
// Reads keep no state: a read or a subscription is a cursor over the log, pages are read when the client has
// taken the ones before (gRPC's flow control is the back-pressure), and a live subscription waits for the engine's signal.
// So no subscriber has a queue here that could overflow, and none can see a gap or a repeated event. What bounds memory is one
// page per call, and the batches in flight on a BatchAppend stream.
//
//	Streams.Append, BatchAppend, Delete, Tombstone --> engine: answered when durable
//	Streams.Read   count        --> pages --> end
//	               subscription --> confirmation --> pages --> caught up --> wait --> pages ...
//	PersistentSubscriptions       --> groups (persistent.go): their goroutines end before Serve returns
//
// Failures: a wrong expected revision is a message, everything else a status with the trailers that clients look at
// (errors.go). UNAVAILABLE is said only while stopping: it makes clients look for another node.
//
// Access: without TLS everybody who can connect may do everything, so listen on loopback. Metadata "$acl" is stored, not enforced.
//
// Callers: cmd/annald's role eventstore, and tests through servertest. It doesn't import the project's client: they meet only on
// the wire.
package server

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
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
	"github.com/annalhq/annal/internal/fault"
)

// Sizes of messages. The largest append a real server takes is 16 MiB less 10,000 bytes.
const (
	maxReceive        = 16 << 20
	maxSend           = 32 << 20
	defaultMaxAppend  = 1 << 20
	defaultWriteLimit = 10 * time.Second
	defaultGrace      = 5 * time.Second
)

// Config tunes a Server. The zero value listens for whoever connects, without TLS.
type Config struct {
	Advertise    string        // host:port that gossip names; default: the address the client reached
	MaxAppend    int           // bytes of one append's events; default 1 MiB
	WriteTimeout time.Duration // longest wait for an append; default 10 s
	Grace        time.Duration // what calls in progress get to finish when stopping; default 5 s
	TLSCert      string        // file with the certificate chain, PEM; both or none of the two
	TLSKey       string        // file with the key, PEM
	Logger       *slog.Logger  // default: slog.Default
}

// Validate returns an invalid fault for fields that don't go together.
func (c Config) Validate() error {
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return fault.New(fault.Invalid, "TLS_INCOMPLETE", "a TLS certificate needs its key, and a key its certificate: give both files or none")
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
	return c
}

// Server serves one engine.DB.
type Server struct {
	streams.UnimplementedStreamsServer

	db       *engine.DB
	cfg      Config
	instance [16]byte // this start of the node, told by gossip
	grpc     *grpc.Server
	groups   *groupRegistry
	stopping chan struct{} // closed when Serve's context ends

	subscriptions atomic.Int64 // open ones
}

// New returns a server that doesn't listen yet. The caller closes db after Serve has returned. It returns invalid faults for cfg.
func New(db *engine.DB, cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Server{db: db, cfg: cfg.withDefaults(), stopping: make(chan struct{})}
	_, _ = rand.Read(s.instance[:])
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxReceive),
		grpc.MaxSendMsgSize(maxSend),
		grpc.ForceServerCodecV2(newWireCodec()),
		grpc.UnknownServiceHandler(unknownService),
		// Clients ping every 10 s, also when idle; without this grpc-go would hang up on them for it.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 10 * time.Second, Timeout: 10 * time.Second}),
	}
	if cfg.TLSCert != "" {
		pair, err := tls.LoadX509KeyPair(cfg.TLSCert, cfg.TLSKey)
		if err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "TLS_UNREADABLE", "the TLS certificate or its key can't be read")
		}
		options = append(options, grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12})))
	}
	s.groups = &groupRegistry{s: s}
	s.grpc = grpc.NewServer(options...)
	streams.RegisterStreamsServer(s.grpc, s)
	persistent.RegisterPersistentSubscriptionsServer(s.grpc, &persistentSubscriptions{s: s, groups: s.groups})
	serverfeatures.RegisterServerFeaturesServer(s.grpc, features{})
	gossip.RegisterGossipServer(s.grpc, gossiper{s: s})
	return s, nil
}

// Subscriptions is how many catch-up subscriptions are open.
func (s *Server) Subscriptions() int64 { return s.subscriptions.Load() }

// Serve accepts connections on l until ctx ends; then subscriptions end with UNAVAILABLE, calls in progress get the grace
// period, and it returns nil. It may be called once. It returns an unavailable fault if the listener fails.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	defer s.groups.close() // when nobody asks them any more
	served := make(chan error, 1)
	go func() { served <- s.grpc.Serve(l) }()
	select {
	case err := <-served:
		close(s.stopping)
		s.grpc.Stop()
		return fault.Wrap(err, fault.Unavailable, "LISTENER_FAILED", "the event store no longer accepts connections")
	case <-ctx.Done():
	}
	close(s.stopping)
	late := time.AfterFunc(s.cfg.Grace, s.grpc.Stop)
	s.grpc.GracefulStop()
	late.Stop()
	if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fault.Wrap(err, fault.Unavailable, "LISTENER_FAILED", "the event store no longer accepts connections")
	}
	return nil
}
