package eventstore_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/annalhq/annal/eventstore"
)

// The example of docs/envelope.md. Its keys, their order, spelling and form are frozen: stored events have them for ever.
// A new optional key may be added to the type, the example and the golden file; nothing else may ever change.
func example() eventstore.Metadata {
	return eventstore.Metadata{
		Correlation: "0f8b5c1e-7a52-4c53-8d3e-2f1f6f0f9a11",
		Causation:   "3b1c9f0e-5d0a-5b7e-9c55-8a7f0c2d4e66",
		Command:     "1d9a1f64-43cb-5f0d-8d6e-6a3b2c1d0e9f",
		Name:        "PlaceOrder",
		Actor:       eventstore.Actor{Kind: "customer", ID: "c-2f1f6f0f", Roles: []string{"customer"}, Auth: "bearer"},
		InputMAC:    "x3Zk0yqYb1Qe8m5b2n9Jw7Lr4Tt6Uu1VvWwXxYyZz0A",
		OccurredAt:  time.Date(2026, 10, 2, 9, 30, 0, 123456000, time.UTC),
		Schema:      eventstore.MetadataSchema,
		Traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		Reason:      "customer asked by phone",
		Country:     "GB",
		Channel:     "web",
	}
}

func golden(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSpace(b)
}

func indented(t *testing.T, m eventstore.Metadata) string {
	t.Helper()
	compact, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := json.Indent(&b, compact, "", "  "); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTheEnvelopeIsFrozen(t *testing.T) {
	least := example()
	least.Traceparent, least.Reason, least.Country, least.Channel = "", "", "", ""
	for name, m := range map[string]eventstore.Metadata{"envelope.json": example(), "envelope_least.json": least} {
		want := golden(t, name)
		if diff := cmp.Diff(string(want), indented(t, m)); diff != "" {
			t.Errorf("%s (-golden +now):\n%s", name, diff)
		}
		read, err := eventstore.DecodeMetadata(want)
		if diff := cmp.Diff(m, read); err != nil || diff != "" {
			t.Errorf("%s is not read back: %v\n%s", name, err, diff)
		}
	}
}

func TestTheDocPrintsTheWholeEnvelope(t *testing.T) {
	doc, err := os.ReadFile("../docs/envelope.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(doc), "```json\n")
	block, _, _ := strings.Cut(rest, "\n```")
	if diff := cmp.Diff(string(golden(t, "envelope.json")), block); diff != "" {
		t.Errorf("docs/envelope.md prints another envelope (-golden +doc):\n%s", diff)
	}
	for _, key := range regexp.MustCompile(`(?m)^ +"([^"]+)":`).FindAllStringSubmatch(block, -1) {
		if !strings.Contains(string(doc), "| `"+key[1]+"` ") && !strings.Contains(string(doc), "| `actor."+key[1]+"` ") {
			t.Errorf("docs/envelope.md says nothing about %q", key[1])
		}
	}
}

func TestWhatIsNoEnvelopeIsTold(t *testing.T) {
	for _, data := range []string{"", "[]", `{"schema":"1"}`, `{"occurredAt":"yesterday"}`} {
		if _, err := eventstore.DecodeMetadata([]byte(data)); !errors.Is(err, eventstore.ErrMetadata) {
			t.Errorf("%q: %v", data, err)
		}
	}
	if m, err := eventstore.DecodeMetadata([]byte(`{"schema":1,"later":true}`)); err != nil || m.Schema != 1 {
		t.Errorf("a key that is not known yet: %v, %v", m, err)
	}
}

// Computed by another implementation (Python's hashlib). The ids of stored events and of what commands created: a change would make every retry a second order.
func TestDerivedIDsAreFrozen(t *testing.T) {
	command := eventstore.CommandID("customer", "c-1", "PlaceOrder", "key-1")
	for what, id := range map[string][2]string{
		"command":             {command.String(), "8830de5c-7b6b-54a2-9118-fea403b9c591"},
		"command, unicode":    {eventstore.CommandID("service", "日本", "Ä", "🎉").String(), "1de3389c-29be-5116-b80b-bcb580e7d6ad"},
		"event 0":             {eventstore.EventID(command, 0, []byte(`{"a":1}`)).String(), "261dbc86-61a9-5f0d-b3cd-a4077bfb3fdf"},
		"event 1, same data":  {eventstore.EventID(command, 1, []byte(`{"a":1}`)).String(), "a3d39593-26ec-5351-94a7-062cc5779d70"},
		"event 0, other data": {eventstore.EventID(command, 0, []byte(`{"a":2}`)).String(), "bde4a107-5e10-5e05-9a9d-ec9e136a06e3"},
		"event 0, no data":    {eventstore.EventID(uuid.Nil, 0, nil).String(), "851b4179-e15b-5808-8dfa-b33cbe2f9b42"},
	} {
		if id[0] != id[1] {
			t.Errorf("%s: %s, frozen as %s", what, id[0], id[1])
		}
	}
	if eventstore.CommandID("a", "bc", "n", "k") == eventstore.CommandID("ab", "c", "n", "k") {
		t.Error("parts run into each other")
	}
}
