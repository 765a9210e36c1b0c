package commands

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/annalhq/annal/aggregates/inventory"
	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/fault"
)

// TestEveryHandlerCanBeReachedByMessage looks at the methods of Handlers: whatever takes a principal and a command is in the list,
// under the name of both.
func TestEveryHandlerCanBeReachedByMessage(t *testing.T) {
	handlers, found := reflect.TypeFor[*Handlers](), 0
	for i := range handlers.NumMethod() {
		m := handlers.Method(i)
		if m.Type.NumIn() != 4 || m.Type.In(2) != reflect.TypeFor[auth.Principal]() || m.Type.In(3).Kind() != reflect.Struct {
			continue
		}
		found++
		c := m.Type.In(3)
		if c.Name() != m.Name || handlings[m.Name] == nil {
			t.Errorf("%s takes %s and is dispatched: %v", m.Name, c.Name(), handlings[m.Name] != nil)
		}
		if f, ok := c.FieldByName("Meta"); !ok || !f.Anonymous {
			t.Errorf("%s does not embed Meta", c.Name())
		}
		empty, err := json.Marshal(reflect.New(c).Interface())
		if err != nil || strings.Contains(string(empty), "idempotencyKey") {
			t.Errorf("%s: the input without its Meta still shows it: %s, %v", c.Name(), empty, err)
		}
	}
	if found != len(handlings) || len(Names()) != found {
		t.Errorf("%d handlers, %d names", found, len(handlings))
	}
}

func TestCommandsComeAsMessages(t *testing.T) {
	p := newHouse(t).process(t, Ports{})
	body, err := json.Marshal(ReceiveStock{Meta: Meta{IdempotencyKey: "k"}, SKU: "A", Quantity: 5})
	must(t, err)
	for range 2 {
		got, err := p.Dispatch(t.Context(), stockWorker, "ReceiveStock", body)
		if err != nil || got.(StockChanged).OnHand != 5 {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	got, err := p.Dispatch(t.Context(), stockWorker, "ReserveLines", []byte(`{"order":"o","lines":[{"line":1,"sku":"A","quantity":6}]}`))
	if !errors.Is(err, inventory.ErrOutOfStock) || got.(LinesMoved).Short[0] != "A" {
		t.Errorf("beside the refusal: %+v, %v", got, err)
	}
}

func TestMalformedMessagesAreRefusedForGood(t *testing.T) {
	p := newHouse(t).process(t, Ports{})
	const secret = "ada@example.org"
	for name, body := range map[string]string{
		"nothing": "", "a number": "7", "null": "null", "a list": "[]", "half": `{"sku":"A"`, "two": `{"sku":"A"}{"sku":"B"}`,
		"an unknown field": `{"sku":"A","quantity":1,"price":1}`, "a wrong type": `{"sku":"A","quantity":"` + secret + `"}`,
		"a fraction": `{"sku":"A","quantity":1.5}`, "too large": `{"sku":"A","quantity":99999999999999999999}`, "broken UTF-8": "{\"sku\":\"A\",\"quantity\":1,\"reference\":\"\xff\"}",
		"a time": `{"sku":"A","quantity":1,"at":"` + secret + `"}`,
	} {
		_, err := p.Dispatch(t.Context(), stockWorker, "ReceiveStock", []byte(body))
		if !errors.Is(err, ErrCommandMalformed) || fault.KindOf(err).Retryable() {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the fault repeats the body: %v", name, err)
		}
	}
	if _, err := p.Dispatch(t.Context(), stockWorker, "DropEverything", nil); !errors.Is(err, ErrUnknownCommand) {
		t.Errorf("%v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"sku":"A","quantity":1,"idempotencyKey":"k"}`))
	f.Add([]byte(`{"at":"2010-12-01T08:26:00Z"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := read[ReceiveStock](body)
		if err != nil {
			if !errors.Is(err, ErrCommandMalformed) {
				t.Fatal(err)
			}
			return
		}
		again, err := json.Marshal(c)
		if err != nil {
			t.Skip()
		}
		if same, err := read[ReceiveStock](again); err != nil || same != c {
			t.Fatalf("%+v, %+v, %v", c, same, err)
		}
	})
}
