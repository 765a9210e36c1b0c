package server_test

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/annalhq/annal/eventstore/engine"
	"github.com/annalhq/annal/eventstore/server"
)

const huge = math.MaxInt64 // a count that clients send for "all"

// wantRead reads and compares; a code other than OK is the status expected.
func wantRead(t *testing.T, w wire, what, want string, code codes.Code, req *streams.ReadReq) {
	t.Helper()
	got, _, err := w.read(req)
	if strings.Join(got, " ") != want || status.Code(err) != code {
		t.Errorf("%s: %q %v, want %q %v", what, strings.Join(got, " "), err, want, code)
	}
}

func TestReadsOfStreams(t *testing.T) {
	w := onTheWire(t)
	w.must("s", "none", 0, 1, 2, 3)
	w.must("emptied", "none", 4, 5)
	w.describe("emptied", `{"$tb":2}`)
	w.must("gone", "none", 6)
	w.delete("gone")
	w.must("ended", "none", 7)
	w.tombstone("ended")
	for what, x := range map[string]struct {
		want string
		code codes.Code
		req  *streams.ReadReq
	}{
		"missing":                     {"missing", codes.OK, query("nowhere", "start", 1)},
		"missing, backwards":          {"missing", codes.OK, query("nowhere", "end", 1, backwards)},
		"deleted softly":              {"missing", codes.OK, query("gone", "start", 1)},
		"tombstoned":                  {"", codes.FailedPrecondition, query("ended", "start", 1)},
		"emptied":                     {"", codes.OK, query("emptied", "start", huge)},
		"emptied, backwards":          {"", codes.OK, query("emptied", "end", huge, backwards)},
		"whole":                       {"0@s 1@s 2@s 3@s", codes.OK, query("s", "start", huge)},
		"counted":                     {"0@s 1@s", codes.OK, query("s", "start", 2)},
		"nothing":                     {"", codes.OK, query("s", "start", 0)},
		"from a revision, inclusive":  {"2@s 3@s", codes.OK, query("s", 2, huge)},
		"from beyond the end":         {"", codes.OK, query("s", 9, huge)},
		"forwards from the end":       {"", codes.InvalidArgument, query("s", "end", 1)},
		"backwards from the end":      {"3@s 2@s", codes.OK, query("s", "end", 2, backwards)},
		"backwards, inclusive":        {"1@s 0@s", codes.OK, query("s", 1, huge, backwards)},
		"backwards from beyond":       {"3@s 2@s 1@s 0@s", codes.OK, query("s", 99, huge, backwards)},
		"backwards from the start":    {"0@s", codes.OK, query("s", "start", huge, backwards)},
		"filter with a named stream":  {"", codes.InvalidArgument, query("s", "start", 1, filtered(true, "", "x"))},
		"a backwards subscription":    {"", codes.InvalidArgument, query("s", "start", -1, backwards)},
		"compatibility tells the end": {"0@s last:3", codes.OK, query("s", "start", 1, newerClient)},
	} {
		wantRead(t, w, what, x.want, x.code, x.req)
	}
}

func TestNewerClientsHearWhereAStreamBeginsAndEnds(t *testing.T) {
	w := onTheWire(t)
	var numbers []int
	for n := range 40 {
		numbers = append(numbers, n)
	}
	w.must("s", "none", numbers...)
	wantRead(t, w, "whole", "38@s 39@s last:39", codes.OK, query("s", 38, huge, newerClient))
	w.describe("s", `{"$tb":38}`)
	wantRead(t, w, "truncated", "first:38 38@s 39@s last:39", codes.OK, query("s", "start", huge, newerClient))
	wantRead(t, w, "truncated, from where it begins", "38@s 39@s last:39", codes.OK, query("s", 38, huge, newerClient))
	wantRead(t, w, "truncated, backwards", "39@s 38@s last:39", codes.OK, query("s", "end", huge, newerClient, backwards))
	wantRead(t, w, "missing", "missing", codes.OK, query("nowhere", "start", huge, newerClient))
	wantRead(t, w, "an older client", "38@s 39@s", codes.OK, query("s", "start", huge))
	got, _, err := w.read(query("", "start", huge, newerClient))
	if len(got) != 41 || err != nil {
		t.Errorf("$all says more than its events: %v %v", got, err)
	}
}

func TestReadsOfTheLog(t *testing.T) {
	w := onTheWire(t)
	w.must("a-1", "none", 0, 1) // 1, 2
	w.must("b-1", "none", 2)    // 3
	w.must("a-2", "none", 3)    // 4
	for what, x := range map[string]struct {
		want string
		req  *streams.ReadReq
	}{
		"whole":                                  {"0@a-1 1@a-1 0@b-1 0@a-2", query("", "start", huge)},
		"nothing":                                {"", query("", "start", 0)},
		"from a position, inclusive":             {"1@a-1 0@b-1", query("", 2, 2)},
		"from 0, as a position without numbers":  {"0@a-1 1@a-1 0@b-1 0@a-2", query("", 0, huge)},
		"backwards from 0":                       {"", query("", 0, huge, backwards)},
		"from beyond the end":                    {"", query("", 1000, huge)},
		"forwards from the end":                  {"", query("", "end", huge)},
		"backwards from the end":                 {"0@a-2 0@b-1", query("", "end", 2, backwards)},
		"backwards, exclusive":                   {"1@a-1 0@a-1", query("", 3, huge, backwards)},
		"backwards from beyond":                  {"0@a-2 0@b-1 1@a-1 0@a-1", query("", 1000, huge, backwards)},
		"backwards from the start":               {"", query("", "start", huge, backwards)},
		"filtered: the count is that of matches": {"0@a-1 1@a-1 0@a-2", query("", "start", 3, filtered(false, "", "a-"))},
		"filtered, backwards":                    {"0@a-2 1@a-1", query("", "end", 2, backwards, filtered(false, "", "a-"))},
		"filtered by type":                       {"1@a-1", query("", "start", huge, filtered(true, "", "type-1"))},
		"filtered by an expression":              {"0@b-1", query("", "start", huge, filtered(false, "^[^a]"))},
	} {
		wantRead(t, w, what, x.want, codes.OK, x.req)
	}
}

func TestTheLogKeepsWhatStreamsHideAndHidesHousekeeping(t *testing.T) {
	w := onTheWire(t)
	w.must("cut", "none", 0, 1)
	w.describe("cut", `{"$tb":2}`)
	w.must("gone", "none", 2)
	w.delete("gone")
	w.must("ended", "none", 3)
	w.tombstone("ended")
	for n, stream := range []string{"$persistentsubscription-$all::g-checkpoint", "$persistentsubscription-$all::g-parked", "$epoch-information"} {
		w.must(stream, "any", 10+n)
	}
	w.must("$persistentsubscription-s::g-parked", "any", 20)
	end := uint64(engine.Tombstone)
	want := fmt.Sprintf("0@cut 1@cut 0@$$cut 0@gone 0@$$gone 0@ended %d@ended 0@$persistentsubscription-s::g-parked", end)
	wantRead(t, w, "the log", want, codes.OK, query("", "start", huge))
	wantRead(t, w, "its own stream shows it", "0@$epoch-information", codes.OK, query("$epoch-information", "start", 1))
}

func TestWhatAnEventSays(t *testing.T) {
	now := time.Date(2026, 2, 3, 4, 5, 6, 789_012_300, time.UTC)
	w, _ := serve(t, engine.Config{Now: func() time.Time { return now }}, server.Config{Grace: time.Second})
	m := proposed(7)
	m.CustomMetadata, m.Metadata["content-type"], m.Metadata["extra"] = []byte("meta"), "text/plain", "dropped"
	if _, _, err := w.append("s", "any", proposed(1), m); err != nil {
		t.Fatal(err)
	}
	event := func(req *streams.ReadReq) *streams.ReadResp_ReadEvent {
		t.Helper()
		r, err := w.c.Read(within(t), req)
		if err != nil {
			t.Fatal(err)
		}
		m, err := r.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return m.GetEvent()
	}
	textIDs := func(o *streams.ReadReq_Options) {
		o.UuidOption.Content = &streams.ReadReq_Options_UUIDOption_String_{String_: empty()}
	}
	for what, e := range map[string]*streams.ReadResp_ReadEvent{
		"stream": event(query("s", 1, 1, textIDs)), "log": event(query("", 2, 1, textIDs)),
	} {
		r := e.GetEvent()
		if e.GetCommitPosition() != 2 || r.GetCommitPosition() != 2 || r.GetPreparePosition() != 2 || r.GetStreamRevision() != 1 || e.GetLink() != nil {
			t.Errorf("%s: places: %v", what, e)
		}
		if r.GetId().GetString_() != idOf(7).String() || string(r.GetCustomMetadata()) != "meta" || string(r.GetData()) != `{"n":7}` {
			t.Errorf("%s: content: %v", what, r)
		}
		created := strconv.FormatInt(now.UnixNano()/100, 10)
		if m := r.GetMetadata(); len(m) != 3 || m["type"] != "type-1" || m["content-type"] != "application/octet-stream" || m["created"] != created || len(created) != 17 {
			t.Errorf("%s: metadata: %v", what, m)
		}
	}
	s := event(query("s", "start", 1)).GetEvent()
	id := idOf(1)
	if got := s.GetId().GetStructured(); fmt.Sprintf("%016x%016x", uint64(got.GetMostSignificantBits()), uint64(got.GetLeastSignificantBits())) != strings.ReplaceAll(id.String(), "-", "") {
		t.Errorf("a structured id: %v, want %v", got, id)
	}
	if s.GetMetadata()["content-type"] != "application/json" {
		t.Error(s.GetMetadata())
	}
}

func TestLinksLeadOneStep(t *testing.T) {
	w := onTheWire(t)
	link := func(n int, data string) *streams.AppendReq_ProposedMessage {
		m := proposed(n)
		m.Metadata["type"], m.Data = "$>", []byte(data)
		return m
	}
	w.must("s", "none", 0, 1, 2)
	w.must("gone", "none", 3)
	w.delete("gone")
	w.must("ended", "none", 4)
	w.tombstone("ended")
	var links []*streams.AppendReq_ProposedMessage
	for n, data := range []string{"1@s", "0@s", "9@s", "0@nowhere", "0@gone", "0@ended", "no link", "x@s", "1@links"} {
		links = append(links, link(100+n, data))
	}
	if _, _, err := w.append("links", "none", links...); err != nil {
		t.Fatal(err)
	}
	w.describe("s", `{"$tb":1}`)
	want := "1@s<-0@links nothing<-1@links nothing<-2@links nothing<-3@links nothing<-4@links nothing<-5@links 6@links 7@links 1@links<-8@links"
	wantRead(t, w, "resolved", want, codes.OK, query("links", "start", huge, resolving))
	wantRead(t, w, "as they are", "0@links 1@links", codes.OK, query("links", "start", 2))
	wantRead(t, w, "a filter sees the link", "1@s<-0@links", codes.OK, query("", "start", 1, resolving, filtered(true, "", "$>")))
	expect, _ := w.follow(query("links", "start", -1, resolving))
	expect("confirmed", "1@s<-0@links", "nothing<-1@links")
	r, err := w.c.Read(within(t), query("links", "start", 1, resolving))
	if err != nil {
		t.Fatal(err)
	}
	m, err := r.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if at := m.GetEvent(); at.GetCommitPosition() != at.GetLink().GetCommitPosition() || at.GetEvent().GetCommitPosition() != 2 {
		t.Errorf("positions: the original's is the link's: %v", at)
	}
}
