package product_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/annalhq/annal/aggregates/product"
	"github.com/annalhq/annal/internal/money"
)

// TestASnapshotIsWhatItsGoldenSays pins what a history amounts to. If it fails, Evolve or the form changed: raise
// SnapshotSchema and add a golden of the new version, since snapshots of the old one stand in people's stores.
func TestASnapshotIsWhatItsGoldenSays(t *testing.T) {
	dearer := money.Of(300, "GBP")
	s := fold(events{created, product.Revised{SKU: sku, Name: new("Holder & lid"), Price: &dearer}, product.Revised{SKU: sku, Description: new("red")}, gone})
	golden, err := os.ReadFile(fmt.Sprintf("testdata/snapshot.v%d.json", product.SnapshotSchema))
	if got := snapshotOf(t, s); err != nil || got != strings.TrimSpace(string(golden)) {
		t.Fatalf("%v: the snapshot is\n%s\nnot\n%s", err, got, golden)
	}
	if again, err := product.Restore(golden); err != nil || again != s {
		t.Fatalf("restored %+v, %v; want %+v", again, err, s)
	}
}

func snapshotOf(t interface{ Fatal(...any) }, s product.State) string {
	data, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestASnapshotAndTheTailAreTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var whole, cut product.State
		at := rapid.IntRange(0, 10).Draw(t, "cut")
		for i := range rapid.IntRange(at, 20).Draw(t, "steps") {
			if i == at {
				var err error
				if cut, err = product.Restore([]byte(snapshotOf(t, whole))); err != nil {
					t.Fatal(err)
				}
			}
			e := drawEvent(t)
			whole, cut = product.Evolve(whole, e), product.Evolve(cut, e)
			if i >= at && whole != cut {
				t.Fatalf("the whole is %+v; snapshot and tail are %+v", whole, cut)
			}
		}
	})
}

func drawEvent(t *rapid.T) product.Event {
	price := money.Of(rapid.Int64().Draw(t, "minor"), "GBP")
	name, text := rapid.String().Draw(t, "name"), rapid.String().Draw(t, "description")
	switch rapid.IntRange(0, 6).Draw(t, "what") {
	case 0:
		return product.Created{SKU: sku, Name: name, Description: text, Price: price}
	case 1:
		return gone
	case 2:
		return product.Revised{SKU: sku, Name: &name}
	case 3:
		return product.Revised{SKU: sku, Description: &text}
	default:
		return product.Revised{SKU: sku, Price: &price}
	}
}

func TestWhatIsNoSnapshotIsRefused(t *testing.T) {
	for _, bad := range []string{``, `{`, `[]`, `{"sku":1}`, `{"sku":"A","colour":"red"}`, `{"price":"1"}`} {
		if _, err := product.Restore([]byte(bad)); !errors.Is(err, product.ErrSnapshot) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
