package eventstore

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/annalhq/annal/internal/fault"
)

// maxMessage is the largest answer taken: what all official clients take.
const maxMessage = 17 << 20

// node is the member of the store that was found, with an open connection to it.
type node struct {
	address     string
	conn        *grpc.ClientConn
	batchAppend bool
}

// target returns the official client's configuration for this very node. Looking for another is our part: one attempt.
func (n node) target(base *esdb.Configuration, cfg Config) esdb.Configuration {
	t := *base
	t.Address, t.GossipSeeds, t.DnsDiscover = n.address, nil, false
	t.MaxDiscoverAttempts, t.DiscoveryInterval = 1, 1
	t.GossipTimeout = max(1, int(cfg.ConnectTimeout.Seconds()))
	t.DefaultDeadline = &cfg.AppendTimeout
	return t
}

// discover connects to the single node, or to the preferred member of the cluster that the first answering seed names.
func discover(ctx context.Context, target *esdb.Configuration) (node, error) {
	if !target.DnsDiscover && len(target.GossipSeeds) == 0 {
		return probe(ctx, target, target.Address)
	}
	seeds := []string{target.Address}
	if len(target.GossipSeeds) > 0 {
		seeds = seeds[:0]
		for _, s := range target.GossipSeeds {
			seeds = append(seeds, s.String())
		}
	}
	err := error(ErrUnavailable)
	for _, seed := range seeds {
		var address string
		if address, err = askGossip(ctx, target, seed); err != nil {
			continue
		}
		var found node
		if found, err = probe(ctx, target, address); err == nil {
			return found, nil
		}
	}
	return node{}, err
}

// askGossip returns the address of the member to speak to, as the seed sees the cluster.
func askGossip(ctx context.Context, target *esdb.Configuration, seed string) (string, error) {
	conn, err := dial(target, seed)
	if err != nil {
		return "", err
	}
	defer conn.Close() //nolint:errcheck // nothing was written over it
	info, err := gossip.NewGossipClient(conn).Read(ctx, &shared.Empty{})
	if err != nil {
		return "", away(ctx, target, seed, err)
	}
	members := slices.DeleteFunc(info.GetMembers(), func(m *gossip.MemberInfo) bool { return !m.GetIsAlive() || rank(target, m) < 0 })
	if len(members) == 0 {
		return "", ErrUnavailable.Because("the event store's cluster has no member that can answer; try again")
	}
	best := slices.MinFunc(members, func(a, b *gossip.MemberInfo) int { return rank(target, a) - rank(target, b) })
	end := best.GetHttpEndPoint()
	return net.JoinHostPort(end.GetAddress(), strconv.FormatUint(uint64(end.GetPort()), 10)), nil
}

// rank orders members by the URL's node preference: the leader by default, since only it has every acknowledged event.
// Negative: not usable.
func rank(target *esdb.Configuration, m *gossip.MemberInfo) int {
	preferred := map[esdb.NodePreference][]gossip.MemberInfo_VNodeState{
		esdb.NodePreferenceLeader:          {gossip.MemberInfo_Leader},
		esdb.NodePreferenceFollower:        {gossip.MemberInfo_Follower},
		esdb.NodePreferenceReadOnlyReplica: {gossip.MemberInfo_ReadOnlyReplica, gossip.MemberInfo_PreReadOnlyReplica, gossip.MemberInfo_ReadOnlyLeaderless},
	}[target.NodePreference]
	if slices.Contains(preferred, m.GetState()) {
		return 0
	}
	return slices.Index([]gossip.MemberInfo_VNodeState{-1, gossip.MemberInfo_Leader, gossip.MemberInfo_Follower,
		gossip.MemberInfo_ReadOnlyReplica, gossip.MemberInfo_PreReadOnlyReplica, gossip.MemberInfo_ReadOnlyLeaderless}, m.GetState())
}

// probe connects to the address and asks what the server can do.
func probe(ctx context.Context, target *esdb.Configuration, address string) (node, error) {
	conn, err := dial(target, address)
	if err != nil {
		return node{}, err
	}
	n := node{address: address, conn: conn}
	methods, err := serverfeatures.NewServerFeaturesClient(conn).GetSupportedMethods(ctx, &shared.Empty{})
	switch status.Code(err) {
	case codes.OK:
		n.batchAppend = slices.ContainsFunc(methods.GetMethods(), func(m *serverfeatures.SupportedMethod) bool {
			return m.GetServiceName() == "event_store.client.streams.streams" && m.GetMethodName() == "batchappend"
		})
	case codes.Unimplemented, codes.NotFound: // a server of before 21.10
	case codes.Unauthenticated, codes.PermissionDenied:
		_ = conn.Close() // nothing was written over it
		return node{}, wrap(refused(address, err), ErrCredentials)
	default:
		_ = conn.Close() // nothing was written over it
		return node{}, away(ctx, target, address, err)
	}
	return n, nil
}

// dial prepares a connection as the official client does, with tracing. It does not connect yet.
func dial(target *esdb.Configuration, address string) (*grpc.ClientConn, error) {
	conf, err := tlsOf(target)
	if err != nil {
		return nil, err
	}
	security := insecure.NewCredentials()
	if conf != nil {
		security = credentials.NewTLS(conf)
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(security),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		// A batch lives as long as its session: a span of it says nothing. Appends have spans of their own.
		grpc.WithStatsHandler(otelgrpc.NewClientHandler(otelgrpc.WithFilter(func(info *stats.RPCTagInfo) bool {
			return !strings.HasSuffix(info.FullMethodName, "/BatchAppend")
		}))),
	}
	if target.KeepAliveInterval >= 0 {
		options = append(options, grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: target.KeepAliveInterval, Timeout: target.KeepAliveTimeout, PermitWithoutStream: true,
		}))
	}
	if target.Username != "" && !target.DisableTLS {
		options = append(options, grpc.WithPerRPCCredentials(basicAuth(target.Username+":"+target.Password)))
	}
	conn, err := grpc.NewClient(address, options...)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "STORE_URL_MALFORMED", "the event store's address can't be used")
	}
	return conn, nil
}

// tlsOf returns what the target says of TLS, nil for none.
func tlsOf(target *esdb.Configuration) (*tls.Config, error) {
	if target.DisableTLS {
		return nil, nil //nolint:nilnil // no TLS is an answer, and tls.Config has no value for it
	}
	conf := &tls.Config{RootCAs: target.RootCAs, InsecureSkipVerify: target.SkipCertificateVerification, MinVersion: tls.VersionTLS12} // tlsVerifyCert=false is the operator's own words
	if target.UserCertFile != "" {
		pair, err := tls.LoadX509KeyPair(target.UserCertFile, target.UserKeyFile)
		if err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "STORE_CERTIFICATE", "the client certificate for the event store can't be read")
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return conf, nil
}

// basicAuth is "user:password", sent with every call over TLS only.
type basicAuth string

func (b basicAuth) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte(b))}, nil
}

func (basicAuth) RequireTransportSecurity() bool { return true }
