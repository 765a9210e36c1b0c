package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/projections"
)

// Events that nobody projects are counted behind the read models that they concern, and no others.
func TestReadinessCountsWhatAReadModelHasBeforeIt(t *testing.T) {
	d := launch(t, settings(t), "eventstore,api")
	client, err := eventstore.Open(d.cfg.StoreURL(), eventstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var events []eventstore.Event
	for range 3 {
		events = append(events, eventstore.Event{ID: uuid.New(), Type: "order.placed.v1", Data: []byte(`{}`), Metadata: []byte(`{}`)})
	}
	if _, err := client.Append(t.Context(), "order-1", eventstore.NoStream, events); err != nil {
		t.Fatal(err)
	}
	code, text := get(t, "http://"+d.HTTPAddr()+"/readyz?verbose")
	if code != 200 || !strings.Contains(text, "[+]read model orders ok: 3 events behind\n") || !strings.Contains(text, "[+]read model products ok: 0 events behind\n") {
		t.Errorf("%d %s", code, text)
	}
}

// The count is bounded, what was not counted is not claimed, and an old event degrades.
func TestAPageSaysNoMoreThanItSaw(t *testing.T) {
	models, err := projections.All(projections.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	orders, now := models[0], time.Now()
	seen := func(n int, age time.Duration) []eventstore.Recorded {
		events := make([]eventstore.Recorded, n)
		for i := range events {
			events[i] = eventstore.Recorded{Stream: "order-1", Position: eventstore.Position(i + 1), Created: now.Add(-age)}
		}
		return events
	}
	for _, x := range []struct {
		at         eventstore.Position
		status     string
		events     []eventstore.Recorded
		want, code string
	}{
		{0, "running", nil, "0 events behind", ""},
		{5, "running", seen(7, time.Second), "2 events behind", ""},
		{0, "running", seen(lagPage, time.Second), "1000 events behind", ""},
		{0, "running", seen(lagPage+1, time.Second), "more than 1,000 events behind", ""},
		{1, "running", seen(lagPage+1, time.Second), "at least 1000 events behind", ""},
		{lagPage + 1, "running", seen(lagPage+1, time.Second), "not counted yet", "READ_MODEL_UNSEEN"},
		{5, "running", seen(7, 11*time.Second), "2 events behind, the oldest for 11s", "READ_MODEL_BEHIND"},
		{7, "running", seen(7, 11*time.Second), "0 events behind", ""},
		{0, "paused", seen(7, time.Second), "(paused)", "READ_MODEL_STOPPED"},
	} {
		p := page{standings: map[string]projections.Standing{orders.Name(): {Name: orders.Name(), Position: x.at, Status: x.status}}, events: x.events, full: len(x.events) > lagPage}
		text, err := p.behind(orders, now)
		if err != nil {
			text += fault.MessageOf(err)
		}
		if !strings.Contains(text, x.want) || (err == nil) != (x.code == "") || err != nil && fault.CodeOf(err) != x.code {
			t.Errorf("want %s %s, got %s, %v", x.want, x.code, text, err)
		}
	}
}
