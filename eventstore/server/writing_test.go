package server_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/annalhq/annal/eventstore/engine"
	"github.com/annalhq/annal/eventstore/server"
	"github.com/annalhq/annal/eventstore/server/servertest"
)

// result puts the outcome of an append into a word: its revision, "wrong at N" or a status.
func result(resp *streams.AppendResp, err error) string {
	switch {
	case err != nil:
		return status.Code(err).String()
	case resp.GetWrongExpectedVersion() == nil:
		if resp.GetSuccess().GetNoStream() != nil {
			return "none"
		}
		return fmt.Sprint(resp.GetSuccess().GetCurrentRevision())
	case resp.GetWrongExpectedVersion().GetCurrentNoStream() != nil:
		return "wrong, none"
	}
	return fmt.Sprint("wrong, at ", resp.GetWrongExpectedVersion().GetCurrentRevision())
}

func TestExpectedRevisions(t *testing.T) {
	w := onTheWire(t)
	states := []struct {
		name string
		make func(stream string)
	}{
		{"missing", func(string) {}},
		{"described", func(s string) { w.describe(s, `{"x":1}`) }},
		{"at 1", func(s string) { w.must(s, "none", 0, 1) }},
		{"deleted at 1", func(s string) { w.must(s, "none", 0, 1); w.delete(s) }},
		{"tombstoned", func(s string) { w.must(s, "none", 0, 1); w.tombstone(s) }},
	}
	serial := 1000
	for _, row := range []struct {
		expected any
		want     [5]string
	}{
		{"any", [5]string{"0", "0", "2", "2", "FailedPrecondition"}},
		{"none", [5]string{"0", "0", "wrong, at 1", "2", "FailedPrecondition"}},
		{"exists", [5]string{"wrong, none", "0", "2", "FailedPrecondition", "FailedPrecondition"}},
		{0, [5]string{"wrong, none", "wrong, none", "wrong, at 1", "wrong, at 1", "FailedPrecondition"}},
		{1, [5]string{"wrong, none", "wrong, none", "2", "2", "FailedPrecondition"}},
		{7, [5]string{"wrong, none", "wrong, none", "wrong, at 1", "wrong, at 1", "FailedPrecondition"}},
	} {
		for i, state := range states {
			serial++
			stream := fmt.Sprint("s-", serial)
			state.make(stream)
			resp, _, err := w.append(stream, row.expected, proposed(serial))
			if got := result(resp, err); got != row.want[i] {
				t.Errorf("%s, expecting %v: %s, want %s", state.name, row.expected, got, row.want[i])
			}
		}
	}
}

func TestAWrongRevisionSaysWhichItIs(t *testing.T) {
	w := onTheWire(t)
	w.must("s", "none", 0, 1)
	resp, _, err := w.append("s", 7, proposed(2))
	x := resp.GetWrongExpectedVersion()
	if err != nil || x.GetCurrentRevision() != 1 || x.GetExpectedRevision() != 7 || x.GetCurrentRevision_20_6_0() != 1 || x.GetExpectedRevision_20_6_0() != 7 {
		t.Errorf("%v %v", resp, err)
	}
	resp, _, err = w.append("s", "none", proposed(2))
	x = resp.GetWrongExpectedVersion()
	if err != nil || x.GetExpectedNoStream() == nil || x.GetExpectedRevision_20_6_0() != ^uint64(0) {
		t.Errorf("%v %v", resp, err)
	}
	resp, _, err = w.append("nowhere", "exists", proposed(2))
	x = resp.GetWrongExpectedVersion()
	if err != nil || x.GetExpectedStreamExists() == nil || x.GetCurrentNoStream() == nil || x.GetNoStream_20_6_0() == nil || x.GetStreamExists_20_6_0() == nil {
		t.Errorf("%v %v", resp, err)
	}
}

func TestRepeatedAppendsAreRecognised(t *testing.T) {
	store := servertest.StartAt(t, t.TempDir(), "127.0.0.1:0")
	w := wire{t: t, c: streams.NewStreamsClient(dial(t, store.URL)), url: store.URL}
	first := w.must("s", "none", 0, 1, 2)
	w.must("s", 2, 3)
	try := func(what string, x any, want string, numbers ...int) {
		t.Helper()
		var messages []*streams.AppendReq_ProposedMessage
		for _, n := range numbers {
			messages = append(messages, proposed(n))
		}
		resp, _, err := w.append("s", x, messages...)
		if got := result(resp, err); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	check := func(when string) {
		t.Helper()
		resp, _, err := w.append("s", "none", proposed(0), proposed(1), proposed(2))
		if err != nil || resp.GetSuccess().GetCurrentRevision() != 2 || resp.GetSuccess().GetPosition().GetCommitPosition() != first {
			t.Errorf("%s, exact: %v %v, want the first answer, position %d", when, resp, err, first)
		}
		try(when+", a leading part", "none", "1", 0, 1)
		try(when+", beyond the first append", "none", "3", 0, 1, 2, 3)
		try(when+", exact revision", 2, "3", 3)
		try(when+", a later id differs", "none", "wrong, at 3", 0, 99)
		try(when+", the first id differs", "none", "wrong, at 3", 99, 1)
		try(when+", no events", "none", "wrong, at 3")
		try(when+", any", "any", "2", 1, 2)
		try(when+", exists", "exists", "3", 3)
		try(when+", any, a later id is new", "any", "wrong, at 3", 3, 99)
	}
	check("at once")
	store.Restart()
	check("after a restart")
	wantRead(t, w, "nothing was written twice", "0@s 1@s 2@s 3@s", codes.OK, query("", "start", huge))
	w.must("twice", "none", 7, 7)
	wantRead(t, w, "ids within one append are not compared", "0@twice 1@twice", codes.OK, query("twice", "start", huge))
	w.must("other", "none", 0)
	wantRead(t, w, "the same id elsewhere is another event", "0@other", codes.OK, query("other", "start", huge))
}

func TestEmptyAppends(t *testing.T) {
	w := onTheWire(t)
	for _, x := range []struct {
		stream   string
		expected any
		want     string
	}{{"s", "any", "none"}, {"s", "none", "none"}, {"s", "exists", "wrong, none"}} {
		resp, _, err := w.append(x.stream, x.expected)
		if got := result(resp, err); got != x.want || resp.GetSuccess() != nil && resp.GetSuccess().GetNoPosition() == nil {
			t.Errorf("%v: %s, want %s", x.expected, got, x.want)
		}
	}
	w.must("s", "none", 0)
	resp, _, err := w.append("s", "any")
	if got := result(resp, err); got != "0" || resp.GetSuccess().GetNoPosition() == nil {
		t.Errorf("a stream with an event: %s", got)
	}
	wantRead(t, w, "nothing was written", "0@s", codes.OK, query("", "start", huge))
}

// trailers lists what clients look at.
func trailers(md metadata.MD) string {
	var all []string
	for _, k := range []string{"exception", "stream-name", "expected-version", "actual-version", "maximum-append-size", "required-metadata-properties"} {
		if v := md.Get(k); len(v) > 0 {
			all = append(all, k+"="+strings.Join(v, ";"))
		}
	}
	return strings.Join(all, " ")
}

func TestTrailers(t *testing.T) {
	w := onTheWire(t)
	odd := "zażółć\ngęślą 100%"
	deleted := "exception=stream-deleted stream-name="
	for _, s := range []string{"ended", odd} {
		w.must(s, "none", 0)
		w.tombstone(s)
	}
	w.must("s", "none", 1)
	type outcome struct {
		trailer metadata.MD
		err     error
	}
	read := func(stream string, count int64) outcome {
		_, trailer, err := w.read(query(stream, "start", count))
		return outcome{trailer, err}
	}
	appended := func(stream string, messages ...*streams.AppendReq_ProposedMessage) outcome {
		_, trailer, err := w.append(stream, "any", messages...)
		return outcome{trailer, err}
	}
	remove := func(stream string, hard bool, revision uint64) (o outcome) {
		if hard {
			_, o.err = w.c.Tombstone(within(t), &streams.TombstoneReq{Options: &streams.TombstoneReq_Options{
				StreamIdentifier: named(stream), ExpectedStreamRevision: &streams.TombstoneReq_Options_Revision{Revision: revision}}}, trailerOf(&o.trailer))
			return o
		}
		_, o.err = w.c.Delete(within(t), &streams.DeleteReq{Options: &streams.DeleteReq_Options{
			StreamIdentifier: named(stream), ExpectedStreamRevision: &streams.DeleteReq_Options_Revision{Revision: revision}}}, trailerOf(&o.trailer))
		return o
	}
	untyped := proposed(2)
	delete(untyped.Metadata, "type")
	large := proposed(3)
	large.Data = make([]byte, 1<<20)
	for what, x := range map[string]struct {
		got  outcome
		code codes.Code
		want string
	}{
		"read":                        {read("ended", 1), codes.FailedPrecondition, deleted + "ended"},
		"read of its metadata":        {read("$$ended", 1), codes.FailedPrecondition, deleted + "$$ended"},
		"subscription":                {read("ended", -1), codes.FailedPrecondition, deleted + "ended"},
		"append":                      {appended("ended", proposed(4)), codes.FailedPrecondition, deleted + "ended"},
		"metadata":                    {appended("$$ended", proposed(4)), codes.FailedPrecondition, deleted + "$$ended"},
		"delete":                      {remove("ended", false, 0), codes.FailedPrecondition, deleted + "ended"},
		"tombstone":                   {remove("ended", true, 0), codes.FailedPrecondition, deleted + "ended"},
		"a name that no header holds": {read(odd, 1), codes.FailedPrecondition, deleted + "za%C5%BC%C3%B3%C5%82%C4%87%0Ag%C4%99%C5%9Bl%C4%85 100%"},
		"delete, wrong":               {remove("s", false, 5), codes.FailedPrecondition, "exception=wrong-expected-version stream-name=s expected-version=5 actual-version=0"},
		"tombstone, wrong":            {remove("s", true, 5), codes.FailedPrecondition, "exception=wrong-expected-version stream-name=s expected-version=5 actual-version=0"},
		"delete, missing":             {remove("nowhere", false, 0), codes.FailedPrecondition, "exception=wrong-expected-version stream-name=nowhere expected-version=0 actual-version=-1"},
		"no type":                     {appended("s", untyped), codes.InvalidArgument, "exception=missing-required-metadata-property required-metadata-properties=type,content-type"},
		"too large":                   {appended("s", large), codes.InvalidArgument, "exception=maximum-append-size-exceeded maximum-append-size=1048576"},
		"$all":                        {appended("$all", proposed(5)), codes.PermissionDenied, "exception=access-denied"},
	} {
		if status.Code(x.got.err) != x.code || trailers(x.got.trailer) != x.want {
			t.Errorf("%s: %v, trailers %q, want %v %q", what, x.got.err, trailers(x.got.trailer), x.code, x.want)
		}
	}
	if text := remove("s", false, 5).err.Error(); !strings.Contains(text, "WrongExpectedVersion") {
		t.Errorf("clients look for a word: %s", text)
	}
	c := connect(t, w.url)
	s, err := c.ReadStream(within(t), odd, esdb.ReadStreamOptions{From: esdb.Start{}}, 1)
	if err == nil {
		_, err = s.Recv()
	}
	if codeOf(err) != esdb.ErrorCodeStreamDeleted {
		t.Errorf("the official client: %v", err)
	}
}

func TestAnAppendThatIsTooLargeIsRefusedToWhoNeverEndsIt(t *testing.T) {
	w := onTheWire(t)
	in, err := w.c.Append(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Send(&streams.AppendReq{Content: &streams.AppendReq_Options_{Options: expects(&streams.AppendReq_Options{StreamIdentifier: named("s")}, "any")}}); err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		m := proposed(n)
		m.Data = make([]byte, 600<<10)
		if err := in.Send(&streams.AppendReq{Content: &streams.AppendReq_ProposedMessage_{ProposedMessage: m}}); err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
	}
	// The client has not finished: an answer now can't have waited for that.
	if err := in.RecvMsg(&streams.AppendResp{}); status.Code(err) != codes.InvalidArgument {
		t.Fatal(err)
	}
	wantRead(t, w, "nothing of it was written", "missing", codes.OK, query("s", "start", 1))
}

func TestAWriteThatTakesTooLongIsAborted(t *testing.T) {
	w, _ := serve(t, engine.Config{}, server.Config{WriteTimeout: time.Nanosecond, Grace: time.Second})
	_, _, err := w.append("s", "any", proposed(0))
	if status.Code(err) != codes.Aborted || !strings.Contains(err.Error(), "Operation timed out") {
		t.Errorf("append: %v", err)
	}
	_, err = w.c.Delete(within(t), &streams.DeleteReq{Options: &streams.DeleteReq_Options{
		StreamIdentifier: named("s"), ExpectedStreamRevision: &streams.DeleteReq_Options_Any{Any: empty()}}})
	if status.Code(err) != codes.Aborted {
		t.Errorf("delete: %v", err)
	}
}

func TestDeletions(t *testing.T) {
	w := onTheWire(t)
	w.must("s", "none", 0, 1)
	w.describe("s", `{"$maxCount":7,"mine":1}`)
	w.delete("s")
	w.delete("s") // a deleted one again
	wantRead(t, w, "deleted", "missing", codes.OK, query("s", "start", 1))
	if got := w.lastData("$$s"); got != `{"$tb":9223372036854775807}` {
		t.Errorf("a deletion replaces the metadata: %s", got)
	}
	w.must("s", "none", 2)
	wantRead(t, w, "recreated, numbering goes on", "2@s", codes.OK, query("s", "start", huge))
	if got := w.lastData("$$s"); got != `{"$tb":2}` {
		t.Errorf("recreated: %s", got)
	}
	resp, err := w.c.Tombstone(within(t), &streams.TombstoneReq{Options: &streams.TombstoneReq_Options{
		StreamIdentifier: named("never"), ExpectedStreamRevision: &streams.TombstoneReq_Options_NoStream{NoStream: empty()}}})
	if err != nil || resp.GetPosition().GetCommitPosition() == 0 {
		t.Errorf("a tombstone for what never was: %v %v", resp, err)
	}
	wantRead(t, w, "it holds", "", codes.FailedPrecondition, query("never", "start", 1))
}
