package customer_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/annalhq/annal/aggregates/customer"
	"github.com/annalhq/annal/internal/pii"
)

// TestASnapshotIsWhatItsGoldenSays pins what a history amounts to. If it fails, Evolve or the form changed: raise
// SnapshotSchema and add a golden of the new version, since snapshots of the old one stand in people's stores.
func TestASnapshotIsWhatItsGoldenSays(t *testing.T) {
	var s customer.State
	for _, e := range (events{
		customer.Registered{Customer: id, Name: sealed("n"), Email: sealed("e"), Phone: sealed("p"), Country: "GB", Language: "en", Reference: "17850"},
		home, customer.AddressSet{Customer: id, Label: "work", Address: sealed("w"), Country: "IE"}, customer.AddressSet{Customer: id, Label: "gone", Address: sealed("g"), Country: "FR"},
		customer.AddressRemoved{Customer: id, Label: "gone"}, customer.ProfileUpdated{Customer: id, Email: sealed("e2")},
		customer.PreferencesSet{Customer: id, Mail: true, SMS: true, Language: "de"}, customer.TierChanged{Customer: id, Tier: customer.VIP, Reason: "loyal"},
	}) {
		s = customer.Evolve(s, e)
	}
	golden, err := os.ReadFile(fmt.Sprintf("testdata/snapshot.v%d.json", customer.SnapshotSchema))
	if got := snapshotOf(t, s); err != nil || got != strings.TrimSpace(string(golden)) {
		t.Fatalf("%v: the snapshot is\n%s\nnot\n%s", err, got, golden)
	}
	again, err := customer.Restore(golden)
	if diff := cmp.Diff(s, again); err != nil || diff != "" {
		t.Fatalf("restored: %v\n%s", err, diff)
	}
}

func snapshotOf(t interface{ Fatal(...any) }, s customer.State) string {
	data, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestASnapshotAndTheTailAreTheWhole also shows that a snapshot holds no personal datum but as it was sealed: what it restores is
// ciphertext, byte by byte.
func TestASnapshotAndTheTailAreTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var whole, cut customer.State
		at := rapid.IntRange(0, 20).Draw(t, "cut")
		for i := range rapid.IntRange(at, 40).Draw(t, "steps") {
			if i == at {
				var err error
				if cut, err = customer.Restore([]byte(snapshotOf(t, whole))); err != nil {
					t.Fatal(err)
				}
			}
			e := drawEvent(t)
			whole, cut = customer.Evolve(whole, e), customer.Evolve(cut, e)
			if diff := cmp.Diff(whole, cut, cmpopts.EquateEmpty()); i >= at && diff != "" {
				t.Fatalf("-whole +snapshot and tail\n%s", diff)
			}
		}
	})
}

func drawEvent(t *rapid.T) customer.Event {
	datum := func(name string) pii.Sealed {
		if rapid.Bool().Draw(t, name+" given") {
			return sealed(rapid.StringN(1, 20, -1).Draw(t, name))
		}
		return pii.Sealed{}
	}
	label := rapid.SampledFrom([]string{"home", "work", "mother", "a"}).Draw(t, "label")
	switch rapid.IntRange(0, 7).Draw(t, "what") {
	case 0:
		return customer.Registered{Customer: id, Name: datum("name"), Email: datum("email"), Phone: datum("phone"), Country: "GB", Language: "en"}
	case 1:
		return customer.ProfileUpdated{Customer: id, Name: datum("name"), Email: datum("email"), Phone: datum("phone")}
	case 2:
		return customer.PreferencesSet{Customer: id, SMS: rapid.Bool().Draw(t, "sms"), Push: rapid.Bool().Draw(t, "push"), Language: "de"}
	case 3:
		return customer.TierChanged{Customer: id, Tier: customer.VIP, Reason: "loyal"}
	case 4:
		return customer.AddressRemoved{Customer: id, Label: label}
	default:
		return customer.AddressSet{Customer: id, Label: label, Address: sealed(rapid.StringN(1, 20, -1).Draw(t, "address")), Country: "GB"}
	}
}

func TestWhatIsNoSnapshotIsRefused(t *testing.T) {
	for name, bad := range map[string]string{
		"nothing": ``, "what was cut off": `{`, "a later form": `{"customer":"c","colour":"red"}`,
		"a name in the clear":       `{"customer":"c","name":"Ada"}`,
		"addresses out of order":    `{"addresses":[{"label":"b"},{"label":"a"}]}`,
		"a label that stands twice": `{"addresses":[{"label":"a"},{"label":"a"}]}`,
	} {
		if _, err := customer.Restore([]byte(bad)); !errors.Is(err, customer.ErrSnapshot) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
