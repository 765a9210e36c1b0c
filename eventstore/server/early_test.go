package server_test

import (
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/annalhq/annal/eventstore/server/servertest"
)

// roundTrip returns when the server has answered another call: whatever it wanted to say of earlier ones at once is here by then.
func roundTrip(t *testing.T, c *grpc.ClientConn) {
	t.Helper()
	if _, err := serverfeatures.NewServerFeaturesClient(c).GetSupportedMethods(within(t), &shared.Empty{}); err != nil {
		t.Fatal(err)
	}
}

// A client that is still sending would be told "EOF".
func TestARefusedAppendIsAnsweredWhenTheClientHasSentAll(t *testing.T) {
	c := dial(t, servertest.Start(t))
	in, err := streams.NewStreamsClient(c).Append(within(t))
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range []*streams.AppendReq{
		appendTo("order-1"), proposing("", nil), proposing("Placed", []byte(`{}`)), proposing("Placed", []byte(`{}`)),
	} {
		if err := in.Send(m); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
		roundTrip(t, c)
	}
	if _, err := in.CloseAndRecv(); status.Code(err) != codes.InvalidArgument {
		t.Error(err)
	}
}

func TestAClientThatNeverEndsARefusedAppendIsAnswered(t *testing.T) {
	c := dial(t, servertest.Start(t))
	in, err := streams.NewStreamsClient(c).Append(within(t))
	if err != nil {
		t.Fatal(err)
	}
	_ = in.Send(appendTo("$all"))
	pad := []byte(strings.Repeat("x", 1<<20))
	sent := 0
	for ; err == nil && sent < 1000; sent++ { // until the answer is there
		err = in.Send(proposing("Placed", pad))
	}
	if sent == 1000 {
		t.Error("a gigabyte was taken")
	}
	if err := in.RecvMsg(&streams.AppendResp{}); status.Code(err) != codes.PermissionDenied {
		t.Error(err)
	}
}

func TestAStrangersAppendIsRefusedAfterAMoment(t *testing.T) {
	c := dialTLS(t, servertest.StartSecured(t, servertest.Someone("shop", "writer")))
	for range 20 {
		begun := time.Now()
		in, err := streams.NewStreamsClient(c).Append(within(t)) // without credentials
		if err != nil {
			t.Fatal(err)
		}
		first := in.Send(appendTo("order-1"))
		roundTrip(t, c)
		second := in.Send(proposing("Placed", []byte(`{}`)))
		if took := time.Since(begun); took > 200*time.Millisecond {
			continue // the machine is too busy to tell
		}
		if first != nil || second != nil {
			t.Error("the answer came while the client was sending:", first, second)
		}
		if _, err := in.CloseAndRecv(); status.Code(err) != codes.PermissionDenied {
			t.Error(err)
		}
		return
	}
	t.Log("not looked at: a round trip takes more than a fifth of a second")
}
