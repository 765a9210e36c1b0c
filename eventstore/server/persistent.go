package server

import (
	"context"
	"errors"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/annalhq/annal/eventstore/engine"
	"github.com/annalhq/annal/eventstore/server/groups"
)

// persistentSubscriptions is the service of consumer groups: the server remembers how far a group has come, spreads its messages
// over the consumers, sends again what they don't answer, and parks what they can't take.
//
//	group_request.go    requests in both forms that clients use
//	group_config.go     a group as it is kept in the log
//	group_registry.go   all groups: created, updated, deleted, found
//	group.go            one group at work; its state is package groups
//	group_source.go     what a group delivers, read from the log
//	group_store.go      checkpoints and parked messages, written to the log
//	group_consumer.go   a client that takes messages
//	group_info.go       what can be seen from outside
type persistentSubscriptions struct {
	persistent.UnimplementedPersistentSubscriptionsServer
	s      *Server
	groups *groupRegistry
}

// Create makes a group, durably.
func (p *persistentSubscriptions) Create(ctx context.Context, req *persistent.CreateReq) (*persistent.CreateResp, error) {
	cfg, err := parseCreate(req)
	if err != nil {
		return nil, err
	}
	return &persistent.CreateResp{}, p.set(ctx, cfg, true)
}

// Update replaces the settings of a group, its checkpoint aside, and drops its consumers.
func (p *persistentSubscriptions) Update(ctx context.Context, req *persistent.UpdateReq) (*persistent.UpdateResp, error) {
	cfg, err := parseUpdate(req)
	if err != nil {
		return nil, err
	}
	return &persistent.UpdateResp{}, p.set(ctx, cfg, false)
}

func (p *persistentSubscriptions) set(ctx context.Context, cfg *groupConfig, create bool) error {
	if err := cfg.check(); err != nil {
		return err
	}
	if why := cfg.reason(); why != "" {
		return refuseGroup(ctx, codes.Internal, cfg.groupKey, "persistent-subscription-failed", why)
	}
	if last := p.s.db.Last(); cfg.ofAll() && cfg.Next > uint64(last) && cfg.Next > 0 {
		return refuseGroup(ctx, codes.Internal, cfg.groupKey, "persistent-subscription-failed", "the start position is beyond the end of the log")
	}
	limited, cancel := context.WithTimeout(ctx, p.s.cfg.WriteTimeout)
	defer cancel()
	return p.failed(ctx, cfg.groupKey, p.groups.set(limited, cfg, create))
}

// Delete removes a group with its checkpoint and its parked messages, and drops its consumers.
func (p *persistentSubscriptions) Delete(ctx context.Context, req *persistent.DeleteReq) (*persistent.DeleteResp, error) {
	key, err := parseKey(req.GetOptions())
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, p.s.cfg.WriteTimeout)
	defer cancel()
	return &persistent.DeleteResp{}, p.failed(ctx, key, p.groups.delete(limited, key))
}

// GetInfo describes a group.
func (p *persistentSubscriptions) GetInfo(ctx context.Context, req *persistent.GetInfoReq) (*persistent.GetInfoResp, error) {
	key, err := parseKey(req.GetOptions())
	if err != nil {
		return nil, err
	}
	resp := &persistent.GetInfoResp{}
	err = p.groups.with(ctx, key, func(g *group) error {
		return g.ask(ctx, func(l *groupLoop) (err error) {
			resp.SubscriptionInfo, err = l.info()
			return err
		})
	})
	return resp, p.failed(ctx, key, err)
}

// List describes all groups, or those of one source.
func (p *persistentSubscriptions) List(ctx context.Context, req *persistent.ListReq) (*persistent.ListResp, error) {
	key := groupKey{}
	matches := func(groupKey) bool { return true }
	switch o := req.GetOptions().GetListOption().(type) {
	case *persistent.ListReq_Options_ListAllSubscriptions:
	case *persistent.ListReq_Options_ListForStream:
		key.Stream = string(o.ListForStream.GetStream().GetStreamName())
		if o.ListForStream.GetAll() != nil {
			key.Stream = allStream
		}
		if err := (groupKey{Stream: key.Stream, Group: "any"}).check(); err != nil {
			return nil, err
		}
		matches = func(k groupKey) bool { return k.Stream == key.Stream }
	default:
		return nil, invalid("list_option is missing: name a source, or ask for all groups")
	}
	found, err := p.groups.list(matches)
	if err != nil {
		return nil, p.failed(ctx, key, err)
	}
	if len(found) == 0 && key.Stream != "" {
		return nil, p.failed(ctx, key, errGroupMissing)
	}
	resp := &persistent.ListResp{}
	for _, g := range found {
		err := g.ask(ctx, func(l *groupLoop) error {
			info, err := l.info()
			resp.Subscriptions = append(resp.Subscriptions, info)
			return err
		})
		if err != nil && !errors.Is(err, errGroupDropped) { // one that is gone meanwhile is not in the list
			return nil, p.failed(ctx, g.key, err)
		}
	}
	return resp, nil
}

// ReplayParked sends parked messages to the consumers again. It answers when that has begun.
func (p *persistentSubscriptions) ReplayParked(ctx context.Context, req *persistent.ReplayParkedReq) (*persistent.ReplayParkedResp, error) {
	o := req.GetOptions()
	key, err := parseKey(o)
	if err != nil {
		return nil, err
	}
	var stop *int64
	if s, ok := o.GetStopAtOption().(*persistent.ReplayParkedReq_Options_StopAt); ok {
		if s.StopAt < 0 {
			return nil, refuseGroup(ctx, codes.Internal, key, "persistent-subscription-failed", "stop_at can't be negative")
		}
		stop = &s.StopAt
	}
	err = p.groups.with(ctx, key, func(g *group) error {
		return g.ask(ctx, func(l *groupLoop) error { return l.replay(stop) })
	})
	return &persistent.ReplayParkedResp{}, p.failed(ctx, key, err)
}

// RestartSubsystem drops all consumers and reads the groups again.
func (p *persistentSubscriptions) RestartSubsystem(context.Context, *shared.Empty) (*shared.Empty, error) {
	p.groups.restart()
	return &shared.Empty{}, nil
}

// failed turns the end of a call about a group into a status with the trailers that clients look at.
func (p *persistentSubscriptions) failed(ctx context.Context, key groupKey, err error) error {
	var ended *streamEnded
	switch {
	case err == nil:
		return nil
	case errors.As(err, &ended):
		return refuse(ctx, codes.FailedPrecondition, ended.Error(), "exception", "stream-deleted", "stream-name", ended.stream)
	case errors.Is(err, errGroupExists):
		return refuseGroup(ctx, codes.AlreadyExists, key, "persistent-subscription-exists", "")
	case errors.Is(err, errGroupMissing):
		return refuseGroup(ctx, codes.NotFound, key, "persistent-subscription-does-not-exist", "")
	case errors.Is(err, errGroupDropped):
		return refuseGroup(ctx, codes.Canceled, key, "persistent-subscription-dropped", "")
	case errors.Is(err, groups.ErrTooManyConsumers):
		return refuseGroup(ctx, codes.FailedPrecondition, key, "maximum-subscribers-reached", "")
	case errors.Is(err, engine.ErrClosed):
		return errStopping()
	}
	return p.s.failed(ctx, key.Stream, err)
}

// groupRefusals says in words what the trailers say in keys.
var groupRefusals = map[string]string{
	"persistent-subscription-exists":         "Subscription group %s on stream %s exists.",
	"persistent-subscription-does-not-exist": "Subscription group %s on stream %s does not exist.",
	"persistent-subscription-dropped":        "Subscription group %s on stream %s was dropped.",
	"persistent-subscription-failed":         "Subscription group %s on stream %s failed: ",
	"maximum-subscribers-reached":            "Maximum subscriptions reached for group %s on stream %s.",
}

func refuseGroup(ctx context.Context, code codes.Code, key groupKey, exception, reason string) error {
	trailers := []string{"exception", exception, "stream-name", key.Stream, "group-name", key.Group}
	if reason != "" {
		trailers = append(trailers, "reason", reason)
	}
	text := status.Newf(code, groupRefusals[exception], "'"+key.Group+"'", "'"+key.Stream+"'").Message() + reason
	return refuse(ctx, code, text, trailers...)
}
