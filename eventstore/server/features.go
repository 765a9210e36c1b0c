package server

import (
	"context"
	"net"
	"strconv"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"google.golang.org/grpc/peer"

	"github.com/annalhq/annal/eventstore/engine"
)

// protocolVersion is the server whose protocol this is. Clients want three numbers; below 22.6 they expect other positions.
const protocolVersion = "23.10.0"

const (
	streamsService = "event_store.client.streams.streams"
	groupsService  = "event_store.client.persistent_subscriptions.persistentsubscriptions"
)

// features tells clients what exists here. Names are in lower case by the protocol's custom.
type features struct {
	serverfeatures.UnimplementedServerFeaturesServer
}

// GetSupportedMethods is the first call of every connection.
func (features) GetSupportedMethods(context.Context, *shared.Empty) (*serverfeatures.SupportedMethods, error) {
	method := func(service, name string, features ...string) *serverfeatures.SupportedMethod {
		return &serverfeatures.SupportedMethod{ServiceName: service, MethodName: name, Features: features}
	}
	all := []*serverfeatures.SupportedMethod{
		method(streamsService, "read", "position", "events"),
		method(streamsService, "append"),
		method(streamsService, "batchappend", "deadline_duration"),
		method(streamsService, "delete"),
		method(streamsService, "tombstone"),
		method("event_store.client.gossip.gossip", "read"),
		method("event_store.client.server_features.serverfeatures", "getsupportedmethods"),
	}
	for _, name := range []string{"create", "update", "delete", "read", "getinfo", "replayparked", "list", "restartsubsystem"} {
		all = append(all, method(groupsService, name, "stream", "all"))
	}
	return &serverfeatures.SupportedMethods{EventStoreServerVersion: protocolVersion, Methods: all}, nil
}

// gossiper says that this node is the cluster and leads it.
type gossiper struct {
	gossip.UnimplementedGossipServer
	s *Server
}

// Read answers with one living leader.
func (g gossiper) Read(ctx context.Context, _ *shared.Empty) (*gossip.ClusterInfo, error) {
	host, port := g.endpoint(ctx)
	return &gossip.ClusterInfo{Members: []*gossip.MemberInfo{{
		InstanceId:   structuredID(engine.ID(g.s.instance)),
		TimeStamp:    int64(engine.TicksOf(time.Now())),
		State:        gossip.MemberInfo_Leader,
		IsAlive:      true,
		HttpEndPoint: &gossip.EndPoint{Address: host, Port: port},
	}}}, nil
}

// endpoint is the configured address, or else the one that this very client has reached.
func (g gossiper) endpoint(ctx context.Context) (host string, port uint32) {
	address := g.s.cfg.Advertise
	if p, ok := peer.FromContext(ctx); ok && address == "" && p.LocalAddr != nil {
		address = p.LocalAddr.String()
	}
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "127.0.0.1", 2113
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return host, 2113
	}
	return host, uint32(n)
}
