package server

import (
	"context"
	"encoding/json"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/annalhq/annal/eventstore/engine"
	"github.com/annalhq/annal/eventstore/server/access"
)

// Services of the protocol.
const (
	streamsCalls  = "/event_store.client.streams.Streams/"
	groupsCalls   = "/event_store.client.persistent_subscriptions.PersistentSubscriptions/"
	gossipCalls   = "/event_store.client.gossip.Gossip/"
	featuresCalls = "/event_store.client.server_features.ServerFeatures/"
)

// open are calls for everybody: clients make them before they send credentials.
const open access.Right = 0

// rules says which right each call needs. A call without a row is refused to everybody, so a new service needs its rows
// (TestEveryCallHasARule); a call that isn't served at all is for whoever has a name, to be told so.
var rules = map[string]access.Right{
	gossipCalls + "Read":                  open,
	featuresCalls + "GetSupportedMethods": open,

	streamsCalls + "Read":        access.Read,
	streamsCalls + "Append":      access.Append, // and see writes
	streamsCalls + "BatchAppend": access.Append, // likewise, for each append
	streamsCalls + "Delete":      access.Delete,
	streamsCalls + "Tombstone":   access.Delete,

	groupsCalls + "Read":             access.Read, // as with the server whose protocol this is
	groupsCalls + "GetInfo":          access.Read,
	groupsCalls + "List":             access.Read,
	groupsCalls + "Create":           access.Groups,
	groupsCalls + "Update":           access.Groups,
	groupsCalls + "Delete":           access.Groups,
	groupsCalls + "ReplayParked":     access.Groups,
	groupsCalls + "RestartSubsystem": access.Groups,
}

// refusal is why a write is not allowed.
type refusal struct {
	code codes.Code
	text string
}

// mayWrite returns why the caller may not append these events to the stream, nil if it may. Where there are no users everybody may.
//
// The right to append is one to the streams of programs and their metadata. The store's own streams ($x) and their metadata ($$$x)
// need the right System. Metadata that truncates or deletes ($tb) needs the right Delete, as the call Delete does, which is nothing
// but such metadata. Metadata with an access list ($acl) is refused to all: nobody enforces it here, and what is stored looks enforced.
func (s *Server) mayWrite(ctx context.Context, stream string, events []engine.Event) *refusal {
	if !s.gate.secure() {
		return nil
	}
	who := s.gate.caller(ctx)
	target, metadata := strings.CutPrefix(stream, engine.MetadataPrefix)
	if strings.HasPrefix(target, "$") && !who.May(access.System) {
		return &refusal{codes.PermissionDenied, "the store's own streams are written by administrators only"}
	}
	if !metadata {
		return nil
	}
	for i := range events {
		if r := mayDescribe(who, events[i].Data); r != nil {
			return r
		}
	}
	return nil
}

func mayDescribe(who access.Principal, data []byte) *refusal {
	var fields map[string]json.RawMessage
	if json.Unmarshal(data, &fields) != nil {
		return nil // what is broken has no effect
	}
	for name := range fields {
		switch {
		case strings.EqualFold(name, "$acl"):
			return &refusal{codes.Unimplemented, "this event store does not enforce $acl, so it doesn't take it: give roles to users instead (docs/eventstore-access.md)"}
		case strings.EqualFold(name, "$tb") && !who.May(access.Delete):
			return &refusal{codes.PermissionDenied, "metadata that truncates a stream ($tb) needs the right to delete"}
		}
	}
	return nil
}

// err is the refusal as the end of a call.
func (r *refusal) err(ctx context.Context) error {
	if r.code == codes.PermissionDenied {
		return refuseAccess(ctx, r.text)
	}
	return refuse(ctx, r.code, r.text)
}
