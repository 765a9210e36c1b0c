package eventstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/binding/spec"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/annalhq/annal/eventstore"
)

func exampleMessage() eventstore.Message {
	return eventstore.Message{
		Store: "6f1f3c0e-0000-4000-8000-000000000001",
		After: eventstore.After{"order": 41, "payment": 7},
		Event: eventstore.Recorded{
			Stream: "order-3f", Revision: 3, Position: 42, ID: uuid.MustParse("b1c6a9d4-2e57-5f80-8a43-7d90e2f6c522"), Type: "order.placed.v1",
			Data:     []byte(`{"lines":[]}`),
			Metadata: []byte(`{"$correlationId":"c-1","$causationId":"k-1","occurredAt":"2010-12-01T08:26:00Z","traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","country":"GB","channel":"import", "unknown" : 1 }`),
			Created:  time.Date(2026, 1, 2, 3, 4, 5, 678_901_200, time.UTC),
		},
	}
}

func TestAMessageRebuildsTheEventToTheByte(t *testing.T) {
	want := exampleMessage()
	headers, body := want.Encode()
	got, err := eventstore.DecodeMessage(headers, body)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAWatermarkKeepsItsPositionAndAfter(t *testing.T) {
	want := eventstore.Message{Store: "s", After: eventstore.After{"cart": 9}, Watermark: true, Event: eventstore.Recorded{Position: 10}}
	headers, body := want.Encode()
	got, err := eventstore.DecodeMessage(headers, body)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTheCloudEventsSDKReadsOurHeaders(t *testing.T) {
	m := exampleMessage()
	headers, body := m.Encode()
	e, err := binding.ToEvent(t.Context(), &amqpMessage{headers, body})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Validate(); err != nil {
		t.Fatal(err)
	}
	got := []string{e.ID(), e.Source(), e.Type(), e.Subject(), e.DataContentType(), e.DataSchema(), e.SpecVersion(), e.Time().UTC().Format(time.RFC3339), string(e.Data())}
	want := []string{"b1c6a9d4-2e57-5f80-8a43-7d90e2f6c522", "/annal/stores/6f1f3c0e-0000-4000-8000-000000000001", "order.placed.v1", "order-3f",
		"application/json", "urn:annal:event:order.placed.v1", "1.0", "2010-12-01T08:26:00Z", `{"lines":[]}`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestForeignAndDamagedHeadersAreRefused(t *testing.T) {
	for name, change := range map[string]func(map[string]any){
		"nothing":           func(h map[string]any) { clear(h) },
		"position as text":  func(h map[string]any) { h[eventstore.HeaderPosition] = "42" },
		"negative position": func(h map[string]any) { h[eventstore.HeaderPosition] = int64(-1) },
		"no store":          func(h map[string]any) { delete(h, eventstore.HeaderStore) },
		"no after":          func(h map[string]any) { delete(h, eventstore.HeaderAfter) },
		"after is a list":   func(h map[string]any) { h[eventstore.HeaderAfter] = []any{int64(1)} },
		"after holds text":  func(h map[string]any) { h[eventstore.HeaderAfter] = "order=x" },
		"id":                func(h map[string]any) { h[eventstore.HeaderID] = "x" },
		"no metadata":       func(h map[string]any) { delete(h, eventstore.HeaderMetadata) },
		"system stream":     func(h map[string]any) { h[eventstore.HeaderSubject] = "$settings" },
		"foreign category":  func(h map[string]any) { h[eventstore.HeaderSubject] = "invoice-1" },
	} {
		headers, body := exampleMessage().Encode()
		change(headers)
		if _, err := eventstore.DecodeMessage(headers, body); !errors.Is(err, eventstore.ErrMessage) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOtherPrefixesAreRead(t *testing.T) {
	for _, prefix := range []string{"cloudEvents_", "ce-"} {
		headers, body := exampleMessage().Encode()
		for k, v := range headers {
			if name, ok := strings.CutPrefix(k, "cloudEvents:"); ok {
				delete(headers, k)
				headers[prefix+name] = v
			}
		}
		got, err := eventstore.DecodeMessage(headers, body)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(exampleMessage(), got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestWhatIsTooLargeTravelsWithoutContent(t *testing.T) {
	m := exampleMessage()
	m.Event.Metadata = bytes.Repeat([]byte("x"), 100_000)
	headers, body := m.Encode()
	got, err := eventstore.DecodeMessage(headers, body)
	if err != nil || !got.Omitted || len(got.Event.Data)+len(got.Event.Metadata) > 0 || got.Event.Position != 42 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestRoutingKeysAreTypesWithoutVersion(t *testing.T) {
	for in, want := range map[[2]string]string{
		{"order-1", "order.placed.v1"}:                  "order.placed",
		{"inventory-X", "inventory.lines-reserved.v12"}: "inventory.lines-reserved",
		{"order-1", "tested"}:                           "order.tested",
		{"cart-1", "cart." + strings.Repeat("x", 300)}:  "cart.unnamed",
		{"order-1", "payment.captured.v1"}:              "order.payment.captured",
	} {
		m := eventstore.Message{Event: eventstore.Recorded{Stream: eventstore.Stream(in[0]), Type: in[1]}}
		if got := m.RoutingKey(); got != want {
			t.Errorf("%v: %s, want %s", in, got, want)
		}
	}
}

func FuzzDecodeMessage(f *testing.F) {
	f.Add(int64(1), "s", "order-1", "order.placed.v1", "b1c6a9d4-2e57-5f80-8a43-7d90e2f6c522", int64(0), []byte("{}"))
	f.Fuzz(func(t *testing.T, position int64, store, subject, eventType, id string, revision int64, body []byte) {
		headers := map[string]any{
			eventstore.HeaderPosition: position, eventstore.HeaderStore: store, eventstore.HeaderAfter: fmt.Sprint("order=", position),
			eventstore.HeaderSubject: subject, eventstore.HeaderType: eventType, eventstore.HeaderID: id, eventstore.HeaderRevision: revision,
			eventstore.HeaderCreated: position, eventstore.HeaderMetadata: store,
		}
		m, err := eventstore.DecodeMessage(headers, body)
		if err == nil && !m.Event.Domain() {
			t.Errorf("accepted %q of type %q", subject, eventType)
		}
	})
}

// amqpMessage shows the SDK a message as its own AMQP 1.0 protocol would: application properties with the prefix of the binding.
type amqpMessage struct {
	headers map[string]any
	body    []byte
}

var ceSpecs = spec.WithPrefix("cloudEvents:")

func (m *amqpMessage) ReadEncoding() binding.Encoding { return binding.EncodingBinary }
func (m *amqpMessage) Finish(error) error             { return nil }
func (m *amqpMessage) ReadStructured(context.Context, binding.StructuredWriter) error {
	return binding.ErrNotStructured
}

func (m *amqpMessage) GetAttribute(k spec.Kind) (spec.Attribute, any) {
	a := ceSpecs.Version("1.0").AttributeFromKind(k)
	return a, m.headers[a.PrefixedName()]
}
func (m *amqpMessage) GetExtension(name string) any { return m.headers["cloudEvents:"+name] }

func (m *amqpMessage) ReadBinary(ctx context.Context, w binding.BinaryWriter) error {
	version := ceSpecs.Version(m.headers["cloudEvents:specversion"].(string))
	if err := w.SetAttribute(version.AttributeFromKind(spec.DataContentType), "application/json"); err != nil {
		return err
	}
	for k, v := range m.headers {
		name, ours := strings.CutPrefix(k, "cloudEvents:")
		if !ours {
			continue
		}
		var err error
		if a := version.Attribute(k); a != nil {
			err = w.SetAttribute(a, v)
		} else {
			err = w.SetExtension(name, v)
		}
		if err != nil {
			return err
		}
	}
	return w.SetData(io.NopCloser(bytes.NewReader(m.body)))
}
