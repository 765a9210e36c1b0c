package aggregates_test

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/annalhq/annal/aggregates"
	"github.com/annalhq/annal/internal/money"
	"github.com/annalhq/annal/internal/pii"
)

const docs = "../docs/events.md"

func TestTheListOfEventsIsTrue(t *testing.T) {
	want := list()
	if *update {
		if err := os.MkdirAll("../docs", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(docs, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(docs); err != nil || string(got) != want {
		t.Errorf("docs/events.md does not say what the register says (%v); run go test ./aggregates -update", err)
	}
}

// freeText says of every field that somebody types into what becomes of it.
const freeText = `
## What people type

Events are for ever, and what somebody types may say anything about anybody. So:

| who types | what | where it stands |
|---|---|---|
| customers, staff | why an order is cancelled or lines come back | sealed in ` + "`note`" + `, under the key of the order's customer (or guest); beside it one word in the clear, ` + "`reason`" + ` (` + "`aggregates/order/cause.go`" + `), which sagas, refunds and mails carry on. Events from before there was ` + "`note`" + ` have the text in ` + "`reason`" + `, and the order's timeline shows it to whom it shows the person's e-mail, to others ` + "`OTHER`" + ` |
| staff | why a customer's tier changed | sealed in ` + "`note`" + `, under the customer's key |
| customers | name, e-mail, phone, address | sealed |
| customers | label of an address | in the clear: at most 32 small letters, digits, ` + "`_ -`" + ` and spaces, to name a place in the book |
| anybody | idempotency key | nowhere: a hash of it is the command's id |
| staff | name, description, end of a product; why stock was adjusted or released; delivery note | in the clear: about things |
| staff, services | why a payment is voided or refunded, a shipment cancelled | in the clear: no field of the API leads there, sagas give a code or a cause |
| the import | why a price differs, why lines came back, numbers of the old system | in the clear: words of the import's own, and numbers |
| providers, carriers | why they refuse | in the clear: their words. A carrier knows name and address, so the adapter of a real one (there is none yet) must say it in words of its own |
| nobody | ` + "`reason`" + ` of the envelope | no field of the API leads there |
`

// list prints the register.
func list() string {
	var b strings.Builder
	b.WriteString(`# The events

Printed from the register (` + "`aggregates/aggregates.go`" + `) by ` + "`go test ./aggregates -update`" + `; a test keeps it true. Stored names never change, and an
event of each is pinned by a golden file in ` + "`aggregates/testdata`" + `. **Bold** are the keys that readers fold by: they stand in the
event itself, so that no reader looks anything up. A ` + "`?`" + ` marks what may be absent. *Sealed* values are personal data,
ciphertext under the person's key. Money is integer minor units with an ISO 4217 code.
`)
	b.WriteString(freeText)
	category := ""
	for _, typ := range aggregates.Types() {
		if typ.Category != category {
			category = typ.Category
			fmt.Fprintf(&b, "\n## %s\n\n| event | what happened | carries |\n|---|---|---|\n", category)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", typ.Name, typ.Doc, strings.Join(carries(typ.Go, "", typ.FoldKeys), ", "))
	}
	return b.String()
}

// carries lists the fields of the type's JSON.
func carries(t reflect.Type, prefix string, keys []string) []string {
	var fields []string
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			fields = append(fields, carries(f.Type, prefix, keys)...)
			continue
		}
		name := prefix + jsonName(f)
		shown := name
		for _, key := range keys {
			if key == name {
				shown = "**" + name + "**"
			}
		}
		if strings.Contains(f.Tag.Get("json"), ",omit") {
			shown += "?"
		}
		inner := f.Type
		for inner.Kind() == reflect.Slice || inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		switch {
		case inner == reflect.TypeFor[pii.Sealed]():
			fields = append(fields, shown+" (*sealed*)")
		case inner == reflect.TypeFor[money.Amount]():
			fields = append(fields, shown+" (money)")
		case inner == reflect.TypeFor[time.Time]():
			fields = append(fields, shown+" (time)")
		case f.Type.Kind() == reflect.Slice && inner.Kind() == reflect.Struct:
			fields = append(fields, shown+" [ "+strings.Join(carries(inner, name+".", keys), ", ")+" ]")
		case inner.Kind() == reflect.Struct:
			fields = append(fields, carries(inner, name+".", keys)...)
		default:
			fields = append(fields, shown)
		}
	}
	return fields
}
