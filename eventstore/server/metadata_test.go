package server_test

import (
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/codes"

	"github.com/annalhq/annal/eventstore/engine"
	"github.com/annalhq/annal/eventstore/server"
)

func TestMetadataOfAStream(t *testing.T) {
	w := onTheWire(t)
	w.must("s", "none", 0, 1, 2, 3, 4)
	w.describe("s", `{"$maxCount":3}`)
	wantRead(t, w, "$maxCount", "2@s 3@s 4@s", codes.OK, query("s", "start", huge))
	w.describe("s", `{"$maxCount":3,"$tb":4}`)
	wantRead(t, w, "$tb", "4@s", codes.OK, query("s", "start", huge))
	wantRead(t, w, "its stream shows the last only, under its own revision", "1@$$s", codes.OK, query("$$s", "start", huge))
	wantRead(t, w, "also backwards", "1@$$s", codes.OK, query("$$s", "end", huge, backwards))
	for _, broken := range []string{`{"$maxCount":`, `{"$maxCount":"3"}`, `{"$maxCount":-1}`, `{"$tb":-1,"$maxCount":1}`, `[]`, `7`, `{"$MAXCOUNT":1}`, `{"$maxCount":9,"$MaxCount":1,"$TB":4}`} {
		w.describe("s", broken)
		wantRead(t, w, "no limits by "+broken, "0@s 1@s 2@s 3@s 4@s", codes.OK, query("s", "start", huge))
	}
	w.describe("s", `{"$tb":9007199254740993}`)
	wantRead(t, w, "emptied by a number that no float64 holds", "", codes.OK, query("s", "start", huge))
	w.must("s", 4, 5)
	if got := w.lastData("$$s"); got != `{"$tb":9007199254740993}` {
		t.Errorf("an append changed the metadata: %s", got)
	}
}

func TestAStreamWithMetadataAloneIsMissingButExpected(t *testing.T) {
	w := onTheWire(t)
	w.describe("s", `{"$maxCount":3}`)
	wantRead(t, w, "read", "missing", codes.OK, query("s", "start", 1))
	w.must("s", "exists", 0)
	wantRead(t, w, "written", "0@s", codes.OK, query("s", "start", 1))
}

func TestEventsOfAnAgeAreHidden(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	w, _ := serve(t, engine.Config{Now: func() time.Time { return now }}, server.Config{Grace: time.Second})
	w.describe("s", `{"$maxAge":60}`)
	w.must("s", "none", 0)
	now = now.Add(40 * time.Second)
	w.must("s", 0, 1)
	wantRead(t, w, "young", "0@s 1@s", codes.OK, query("s", "start", huge))
	now = now.Add(40 * time.Second)
	wantRead(t, w, "one is too old", "1@s", codes.OK, query("s", "start", huge))
	expect, _ := w.follow(query("s", "start", -1))
	expect("confirmed", "1@s", "caught-up")
	now = now.Add(40 * time.Second)
	wantRead(t, w, "emptied, not missing", "", codes.OK, query("s", "start", huge))
	w.must("s", 1, 2)
	wantRead(t, w, "revisions go on", "2@s", codes.OK, query("s", "start", huge))
}

func TestMetadataUndeletesAStream(t *testing.T) {
	w := onTheWire(t)
	w.must("s", "none", 0, 1)
	w.delete("s")
	w.describe("s", `{"mine":"<kept>","$maxCount":9}`)
	wantRead(t, w, "it is there again, and empty", "", codes.OK, query("s", "start", huge))
	if got := w.lastData("$$s"); got != `{"$maxCount":9,"$tb":2,"mine":"<kept>"}` {
		t.Errorf("the event that follows: %s", got)
	}
	w.must("s", 1, 2)
	wantRead(t, w, "written again", "2@s", codes.OK, query("s", "start", huge))
}

func TestAccessListsAreStoredToTheByte(t *testing.T) {
	w := onTheWire(t)
	for _, data := range []string{
		`{ "$acl" : {"$r":["a","b"], "$w":"c"}, "$cacheControl": 5,  "x": 1.50 }`,
		`{"$acl":"$userStreamAcl"}`, `{"$acl":"$systemStreamAcl"}`, `{"$acl":{"$r":"<>&","$d":[]}}`,
	} {
		w.describe("s", data)
		if got := w.lastData("$$s"); got != data {
			t.Errorf("stored %s, read %s", data, got)
		}
	}
	c := connect(t, w.url)
	var acl esdb.Acl
	acl.AddReadRoles("admin")
	var m esdb.StreamMetadata
	m.SetAcl(acl)
	m.SetMaxAge(time.Hour)
	if _, err := c.SetStreamMetadata(within(t), "s", esdb.AppendToStreamOptions{ExpectedRevision: esdb.Revision(3)}, m); err != nil {
		t.Fatal(err)
	}
	back, err := c.GetStreamMetadata(within(t), "s", esdb.ReadStreamOptions{})
	if err != nil || back.Acl() == nil || back.MaxAge() == nil || *back.MaxAge() != time.Hour {
		t.Errorf("the official client reads %+v %v", back, err)
	}
}
