package server_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/annalhq/annal/eventstore/server/servertest"
)

// raw sends bytes as they are for messages, and keeps answers as they come.
type raw struct{}

func (raw) Marshal(v any) ([]byte, error)      { return v.([]byte), nil }
func (raw) Unmarshal(data []byte, v any) error { *v.(*[]byte) = data; return nil }
func (raw) Name() string                       { return "proto" }

func TestGarbageOnThePortHurtsNobodyElse(t *testing.T) {
	store := servertest.StartWith(t, storeConfig())
	c := connect(t, store.URL)
	write(t, c, "order-1", esdb.NoStream{}, 0)
	preface := "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	for name, text := range map[string]string{
		"HTTP/1.1":                "GET /streams HTTP/1.1\r\nHost: x\r\n\r\n",
		"an HTTP/1.1 upgrade":     "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
		"noise":                   strings.Repeat("\x00\xff\x13\x37", 4096),
		"nothing":                 "",
		"a preface and noise":     preface + strings.Repeat("\xff", 1<<16),
		"a frame of 16 MiB":       preface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00" + "\xff\xff\xff\x00\x00\x00\x00\x00\x01",
		"headers that don't end":  preface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00" + strings.Repeat("\x00\x00\x01\x01\x00\x00\x00\x00\x01\x82", 100),
		"data without a call":     preface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00" + "\x00\x00\x01\x00\x00\x00\x00\x00\x05x",
		"ten thousand resets":     preface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00" + strings.Repeat("\x00\x00\x04\x03\x00\x00\x00\x00\x01\x00\x00\x00\x08", 10_000),
		"settings of other sizes": preface + strings.Repeat("\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x04\xff\xff\xff\xff", 100),
	} {
		conn, err := net.Dial("tcp", store.Addr())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write([]byte(text))
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
			t.Errorf("%s: the connection is kept", name)
		}
		_ = conn.Close()
	}
	if conn, err := tls.Dial("tcp", store.Addr(), &tls.Config{InsecureSkipVerify: true}); err == nil {
		_ = conn.Close()
		t.Error("TLS where there is none")
	}
	write(t, c, "order-1", esdb.Revision(0), 1)
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

func TestMalformedMessagesEndTheirCallAlone(t *testing.T) {
	store := servertest.StartWith(t, storeConfig())
	conn := dial(t, store.URL)
	garbage := [][]byte{{0xff}, {0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f}, bytes.Repeat([]byte{0x0a}, 10_000), bytes.Repeat([]byte{0x0b}, 100_000),
		[]byte("\x0a\x04\x0a\x02\x0a\xc0"), []byte("not a message at all")}
	for method := range store.Server().Served() {
		for _, g := range garbage {
			s, err := conn.NewStream(within(t), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method, grpc.ForceCodec(raw{}))
			if err != nil {
				t.Fatal(err)
			}
			err = s.SendMsg(g)
			_ = s.CloseSend()
			var answer []byte
			for err == nil || errors.Is(err, io.EOF) && answer == nil {
				answer = []byte{}
				if err = s.RecvMsg(&answer); errors.Is(err, io.EOF) {
					break
				}
			}
			if code := status.Code(err); code != codes.Internal && code != codes.InvalidArgument && !errors.Is(err, io.EOF) {
				t.Errorf("%s, %.20q: %v", method, g, err)
			}
		}
	}
	write(t, connect(t, store.URL), "order-1", esdb.NoStream{}, 0)
	all, err := connect(t, store.URL).ReadAll(within(t), esdb.ReadAllOptions{From: esdb.Start{}}, 100)
	if got := drain(t, all, err); len(got) != 1 {
		t.Errorf("garbage was stored: %v", got)
	}
}

// count reads to the end and returns how many events came, or how it failed.
func count(ctx context.Context, c streams.StreamsClient, req *streams.ReadReq) (n int, err error) {
	r, err := c.Read(ctx, req)
	for err == nil {
		var m *streams.ReadResp
		if m, err = r.Recv(); err == nil && m.GetEvent() != nil {
			n++
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

func TestNumbersBeyondReason(t *testing.T) {
	store := servertest.StartWith(t, storeConfig())
	write(t, connect(t, store.URL), "order-1", esdb.NoStream{}, 0, 1, 2)
	c := streams.NewStreamsClient(dial(t, store.URL))
	huge := []uint64{math.MaxUint64, math.MaxUint64 - 1, math.MaxInt64 + 1, math.MaxInt64, 1 << 53}
	for _, n := range huge {
		for what, x := range map[string]struct {
			bend []func(*reading)
			want int
		}{
			"count":                        {[]func(*reading){counting(n)}, 3},
			"count of a stream":            {[]func(*reading){ofStream("order-1"), counting(n)}, 3},
			"position":                     {[]func(*reading){fromPosition(n, n), counting(n)}, 0},
			"position backwards":           {[]func(*reading){fromPosition(n, 0), backwards, counting(n)}, 3},
			"prepare beyond commit":        {[]func(*reading){fromPosition(2, n), counting(n)}, 2},
			"revision":                     {[]func(*reading){fromRevision("order-1", n), counting(n)}, 0},
			"revision backwards":           {[]func(*reading){fromRevision("order-1", n), backwards, counting(n)}, 3},
			"revision of a missing stream": {[]func(*reading){fromRevision("order-2", n), counting(n)}, 0},
		} {
			if got, err := count(within(t), c, request(x.bend...)); err != nil || got != x.want {
				t.Errorf("%s %d: %d events, %v", what, n, got, err)
			}
		}
		// Subscriptions from beyond the end wait: nothing comes but the confirmation and caught_up.
		for _, from := range []func(*reading){fromPosition(n, n), fromRevision("order-1", n)} {
			ctx, cancel := context.WithCancel(within(t))
			r, err := c.Read(ctx, request(from, subscribing))
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"confirmation", "caught up"} {
				m, err := r.Recv()
				if err != nil || m.GetEvent() != nil {
					t.Fatalf("subscribed beyond the end, at %d: %v %v, want the %s", n, m, err, want)
				}
			}
			cancel()
		}
		// An expected revision beyond all is wrong; it is none of the store's own numbers for "any" or "exists".
		in, err := c.Append(within(t))
		if err != nil {
			t.Fatal(err)
		}
		_ = in.Send(&streams.AppendReq{Content: &streams.AppendReq_Options_{Options: &streams.AppendReq_Options{
			StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte("order-1")}, ExpectedStreamRevision: &streams.AppendReq_Options_Revision{Revision: n}}}})
		_ = in.Send(proposing("t", []byte("{}")))
		if resp, err := in.CloseAndRecv(); err != nil || resp.GetWrongExpectedVersion() == nil {
			t.Errorf("appended at %d: %v %v", n, resp, err)
		}
		b, err := c.BatchAppend(within(t))
		if err != nil {
			t.Fatal(err)
		}
		_ = b.Send(&streams.BatchAppendReq{CorrelationId: textID(), IsFinal: true, ProposedMessages: []*streams.BatchAppendReq_ProposedMessage{batched("t", nil)},
			Options: &streams.BatchAppendReq_Options{StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte("order-1")},
				ExpectedStreamPosition: &streams.BatchAppendReq_Options_StreamPosition{StreamPosition: n}}})
		if resp, err := b.Recv(); err != nil || codes.Code(resp.GetError().GetCode()) != codes.AlreadyExists {
			t.Errorf("batch-appended at %d: %v %v", n, resp, err)
		}
		_, err = c.Delete(within(t), &streams.DeleteReq{Options: &streams.DeleteReq_Options{StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte("order-1")},
			ExpectedStreamRevision: &streams.DeleteReq_Options_Revision{Revision: n}}})
		if status.Code(err) != codes.FailedPrecondition {
			t.Errorf("deleted at %d: %v", n, err)
		}
		_, err = c.Tombstone(within(t), &streams.TombstoneReq{Options: &streams.TombstoneReq_Options{StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte("order-1")},
			ExpectedStreamRevision: &streams.TombstoneReq_Options_Revision{Revision: n}}})
		if status.Code(err) != codes.FailedPrecondition {
			t.Errorf("tombstoned at %d: %v", n, err)
		}
	}
	if n, err := count(within(t), c, request(counting(0))); n != 0 || err != nil {
		t.Errorf("a count of 0: %d %v", n, err)
	}
	if n, err := count(within(t), c, request(counting(math.MaxUint64))); n != 3 || err != nil {
		t.Errorf("the log has changed: %d events, %v", n, err)
	}
}

// appendOf sends the messages as one append.
func appendOf(ctx context.Context, c streams.StreamsClient, messages ...*streams.AppendReq) (*streams.AppendResp, metadata.MD, error) {
	in, err := c.Append(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, m := range messages {
		if in.Send(m) != nil {
			break // the answer says why
		}
	}
	resp, err := in.CloseAndRecv()
	return resp, in.Trailer(), err
}

func TestNamesAndTypesOfAnyLength(t *testing.T) {
	c := streams.NewStreamsClient(dial(t, servertest.StartWith(t, storeConfig()).URL))
	long := strings.Repeat("ä", 2048) // 4096 bytes
	for _, name := range []string{long, "with spaces/and slashes", "emoji-🦀", "nul\x00byte", "-", "$", "$$", strings.Repeat("$", 64)} {
		resp, _, err := appendOf(within(t), c, appendTo(name), proposing(long, nil))
		if name == "$$" { // the metadata of a stream without a name
			if status.Code(err) != codes.InvalidArgument && err != nil {
				t.Errorf("%q: %v", name, err)
			}
			continue
		}
		if err != nil || resp.GetSuccess() == nil {
			t.Errorf("%.30q: %v %v", name, resp, err)
			continue
		}
		if n, err := count(within(t), c, request(ofStream(name), counting(9))); n != 1 || err != nil {
			t.Errorf("%.30q: %d events, %v", name, n, err)
		}
	}
	for _, name := range []string{"", long + "x", strings.Repeat("x", 1<<20), "\xff", "cut \xe4\xb8"} {
		identifier := &shared.StreamIdentifier{StreamName: []byte(name)}
		_, _, appending := appendOf(within(t), c, appendTo(name), proposing("t", nil))
		_, reading := count(within(t), c, request(ofStream(name)))
		_, subscribed := count(within(t), c, request(ofStream(name), subscribing))
		_, deleting := c.Delete(within(t), &streams.DeleteReq{Options: &streams.DeleteReq_Options{StreamIdentifier: identifier, ExpectedStreamRevision: &streams.DeleteReq_Options_Any{Any: &shared.Empty{}}}})
		_, ending := c.Tombstone(within(t), &streams.TombstoneReq{Options: &streams.TombstoneReq_Options{StreamIdentifier: identifier, ExpectedStreamRevision: &streams.TombstoneReq_Options_Any{Any: &shared.Empty{}}}})
		b, err := c.BatchAppend(within(t))
		if err != nil {
			t.Fatal(err)
		}
		_ = b.Send(&streams.BatchAppendReq{CorrelationId: textID(), IsFinal: true, ProposedMessages: []*streams.BatchAppendReq_ProposedMessage{batched("t", nil)},
			Options: &streams.BatchAppendReq_Options{StreamIdentifier: identifier, ExpectedStreamPosition: &streams.BatchAppendReq_Options_Any{Any: &emptypb.Empty{}}}})
		answer, err := b.Recv()
		if err == nil {
			err = status.Error(codes.Code(answer.GetError().GetCode()), "")
		}
		for i, err := range []error{appending, reading, subscribed, deleting, ending, err} {
			if status.Code(err) != codes.InvalidArgument {
				t.Errorf("%.30q, call %d: %v", name, i, err)
			}
		}
	}
	if _, _, err := appendOf(within(t), c, appendTo("s"), proposing(long+"x", nil)); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a type of 4097 bytes: %v", err)
	}
}

func TestAppendsOfManyAndOfLargeEvents(t *testing.T) {
	c := streams.NewStreamsClient(dial(t, servertest.StartWith(t, storeConfig()).URL))
	many := []*streams.AppendReq{appendTo("many")}
	for range 100_000 {
		many = append(many, proposing("t", nil))
	}
	resp, _, err := appendOf(within(t), c, many...)
	if err != nil || resp.GetSuccess().GetCurrentRevision() != 99_999 {
		t.Errorf("100,000 events at once: %v %v", resp, err)
	}
	if n, err := count(within(t), c, request(ofStream("many"), counting(math.MaxUint64))); n != 100_000 || err != nil {
		t.Errorf("read %d: %v", n, err)
	}
	_, trailer, err := appendOf(within(t), c, appendTo("large"), proposing("t", make([]byte, 2<<20)))
	if status.Code(err) != codes.InvalidArgument || strings.Join(trailer.Get("maximum-append-size"), "") != "1048576" {
		t.Errorf("an event of 2 MiB: %v %v", err, trailer)
	}
	if _, _, err = appendOf(within(t), c, appendTo("large"), proposing("t", make([]byte, 17<<20))); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("an event of 17 MiB: %v", err)
	}
	resp, _, err = appendOf(within(t), c, appendTo("large"), proposing("t", make([]byte, 1<<20-2)))
	if err != nil || resp.GetSuccess() == nil {
		t.Errorf("an event of just 1 MiB: %v %v", resp, err)
	}
	huge := metadata.AppendToOutgoingContext(within(t), "x", strings.Repeat("x", 1<<20))
	if _, _, err = appendOf(huge, c, appendTo("s"), proposing("t", nil)); err == nil {
		t.Error("a header of 1 MiB was taken")
	}
	if n, err := count(within(t), c, request(ofStream("large"), counting(9))); n != 1 || err != nil {
		t.Errorf("%d of the large ones are stored: %v", n, err)
	}
}

func TestAFilterThatExplodesEndsItsOwnReadOnly(t *testing.T) {
	store := servertest.StartWith(t, storeConfig())
	other := connect(t, store.URL)
	write(t, other, strings.Repeat("a", 64)+"!", esdb.NoStream{}, 0)
	c := streams.NewStreamsClient(dial(t, store.URL))
	for _, regex := range []string{`^(a+)+$`, `^(?:a|aa)+$`, `(a*)*b`, `^(?=(a+)+$)`, `(x+x+)+y|^(\w+\s?)+$`} {
		began := time.Now()
		n, err := count(within(t), c, request(matching(regex), counting(9)))
		if status.Code(err) != codes.InvalidArgument && (err != nil || n > 1) {
			t.Errorf("%s: %d, %v", regex, n, err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s took %v", regex, took)
		}
	}
	if _, err := count(within(t), c, request(matching(`^(a+)+$`), counting(9))); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "too long") {
		t.Errorf("an explosion is not told: %v", err)
	}
	manyPrefixes := make([]string, 5000)
	for name, bend := range map[string]func(*reading){
		"large":              matching(strings.Repeat("x", 17<<10)),
		"deep":               matching(strings.Repeat("(", 5000) + "x" + strings.Repeat(")", 5000)),
		"unclosed":           matching("(?<name"),
		"repeats of repeats": matching("((((x{9999}){9999}){9999}){9999}){99999999999}"),
		"no such group":      matching(`\k<nobody>`),
		"too many prefixes":  matching("", manyPrefixes...),
		"neither":            matching(""),
	} {
		began := time.Now()
		_, err := count(within(t), c, request(bend, counting(9)))
		if name == "deep" && err == nil {
			continue // taken and answered is fine, too
		}
		if status.Code(err) != codes.InvalidArgument || time.Since(began) > 5*time.Second {
			t.Errorf("%s: %v after %v", name, err, time.Since(began))
		}
	}
	write(t, other, "order-1", esdb.NoStream{}, 1)
}
