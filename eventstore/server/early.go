package server

import (
	"context"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/protobuf/proto"
)

// An append is a stream of messages, and the official Go client tells its caller nothing but "EOF" of an answer that comes while it still
// sends. So a refusal that is ready early waits for the client: at the gate for a moment, since what a stranger sends is not read; behind it
// until the client has sent all.
const (
	doorstep  = 250 * time.Millisecond // for a client on a busy machine to send what it has, as far as the window of a call goes
	atTheDoor = 64                     // strangers who are kept waiting at once, each with a window of memory; others are told at once

	// What is thrown away of a refused append, and how long its client may pause and take, before it is answered all the same.
	outpour      = 64 << 20 // bytes
	outpourPause = 5 * time.Second
	outpourIn    = 30 * time.Second
)

const appendMethod = streamsCalls + "Append"

// hold keeps the refusal of an append back.
func (g *gate) hold(ctx context.Context, method string) {
	if method != appendMethod {
		return
	}
	defer g.held.Add(-1)
	if g.held.Add(1) > atTheDoor {
		return
	}
	timer := time.NewTimer(doorstep)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// outpoured returns when the client has sent what is left of a refused append, has sent far too much, or has paused or gone on for too long.
func (s *Server) outpoured(in streams.Streams_AppendServer) {
	ctx, came := in.Context(), make(chan int)
	go func() { // ends with the call, if not before
		defer close(came)
		for {
			m, err := in.Recv()
			if err != nil {
				return
			}
			select {
			case came <- proto.Size(m) + eventOverhead:
			case <-ctx.Done():
				return
			}
		}
	}()
	pause, whole := time.NewTimer(outpourPause), time.NewTimer(outpourIn)
	defer pause.Stop()
	defer whole.Stop()
	for size := 0; size < outpour; {
		select {
		case n, more := <-came:
			if !more {
				return
			}
			size += n
			pause.Reset(outpourPause)
		case <-pause.C:
			return
		case <-whole.C:
			return
		case <-s.stopping:
			return
		case <-ctx.Done():
			return
		}
	}
}
