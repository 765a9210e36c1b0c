package server

import (
	"context"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
)

// Delete hides a stream until it is written again.
func (s *Server) Delete(ctx context.Context, req *streams.DeleteReq) (*streams.DeleteResp, error) {
	o := req.GetOptions()
	if o == nil || o.GetExpectedStreamRevision() == nil {
		return nil, invalid("the deletion needs a stream and an expected revision")
	}
	stream := string(o.GetStreamIdentifier().GetStreamName())
	if stream == "$all" {
		return nil, refuseAccess(ctx, "$all can't be deleted")
	}
	limited, cancel := context.WithTimeout(ctx, s.cfg.WriteTimeout)
	defer cancel()
	p, err := s.db.Delete(limited, stream, expectation(o))
	if err != nil {
		return nil, s.failed(ctx, stream, err)
	}
	return &streams.DeleteResp{PositionOption: &streams.DeleteResp_Position_{
		Position: &streams.DeleteResp_Position{CommitPosition: uint64(p), PreparePosition: uint64(p)},
	}}, nil
}

// Tombstone ends a stream for ever.
func (s *Server) Tombstone(ctx context.Context, req *streams.TombstoneReq) (*streams.TombstoneResp, error) {
	o := req.GetOptions()
	if o == nil || o.GetExpectedStreamRevision() == nil {
		return nil, invalid("the tombstone needs a stream and an expected revision")
	}
	stream := string(o.GetStreamIdentifier().GetStreamName())
	if stream == "$all" {
		return nil, refuseAccess(ctx, "$all can't be deleted")
	}
	limited, cancel := context.WithTimeout(ctx, s.cfg.WriteTimeout)
	defer cancel()
	p, err := s.db.Tombstone(limited, stream, expectation(o))
	if err != nil {
		return nil, s.failed(ctx, stream, err)
	}
	return &streams.TombstoneResp{PositionOption: &streams.TombstoneResp_Position_{
		Position: &streams.TombstoneResp_Position{CommitPosition: uint64(p), PreparePosition: uint64(p)},
	}}, nil
}
