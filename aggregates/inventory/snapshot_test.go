package inventory_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/annalhq/annal/aggregates/inventory"
)

// TestASnapshotIsWhatItsGoldenSays pins what a history amounts to. If it fails, Evolve or the form changed: raise
// SnapshotSchema and add a golden of the new version, since snapshots of the old one stand in people's stores.
func TestASnapshotIsWhatItsGoldenSays(t *testing.T) {
	var s inventory.State
	for _, e := range (events{
		received(100), threshold(5), reserved("p", 2, 10), reserved("o", 1, 7), reserved("o", 2, 3), low(80, 90),
		released("o", 2, 3, inventory.ReasonShort), released("q", 1, 0, "changed my mind"), shipped("p", 2, 10), adjusted(-4, inventory.WriteOff),
		returned("p", "r1", 2, 4), returned("p", "r2", 2, 1),
	}) {
		s = inventory.Evolve(s, e)
	}
	got := snapshotOf(t, s)
	golden, err := os.ReadFile(fmt.Sprintf("testdata/snapshot.v%d.json", inventory.SnapshotSchema))
	if err != nil || got != strings.TrimSpace(string(golden)) {
		t.Fatalf("%v: the snapshot is\n%s\nnot\n%s", err, got, golden)
	}
	again, err := inventory.Restore(golden)
	if err != nil || snapshotOf(t, again) != got {
		t.Fatalf("restored: %v", err)
	}
	if e := again.Line("p", 2); e.Step != inventory.Gone || e.Returned != 5 || len(e.Returns) != 2 {
		t.Errorf("a line that came back: %+v", e)
	}
}

func snapshotOf(t interface{ Fatal(...any) }, s inventory.State) string {
	data, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestASnapshotAndTheTailAreTheWhole cuts random histories anywhere: the state restored at the cut and evolved to the end is the
// state of the whole, in what it shows, in every line, and in what it decides.
func TestASnapshotAndTheTailAreTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var whole, cut inventory.State
		at := rapid.IntRange(0, 80).Draw(t, "cut")
		for i := range rapid.IntRange(at, 120).Draw(t, "steps") {
			if i == at {
				var err error
				if cut, err = inventory.Restore([]byte(snapshotOf(t, whole))); err != nil {
					t.Fatal(err)
				}
			}
			d, _ := draw(t)
			happened, err := d(whole)
			if i >= at {
				if also, otherwise := d(cut); fmt.Sprint(happened) != fmt.Sprint(also) || !errors.Is(otherwise, err) {
					t.Fatalf("the whole decides %v, %v; the snapshot %v, %v", happened, err, also, otherwise)
				}
			}
			for _, e := range happened {
				whole = inventory.Evolve(whole, e)
				cut = inventory.Evolve(cut, e)
			}
			if i >= at && snapshotOf(t, whole) != snapshotOf(t, cut) {
				t.Fatalf("the whole is %s; snapshot and tail are %s", snapshotOf(t, whole), snapshotOf(t, cut))
			}
		}
	})
}

// TestALongLedgerIsRestoredWhole goes beyond what fits into one bucket, and evolves what was restored.
func TestALongLedgerIsRestoredWhole(t *testing.T) {
	s := inventory.Evolve(inventory.State{}, received(1_000_000))
	for i := range 5000 {
		s = inventory.Evolve(s, reserved(fmt.Sprint("order-", i), i%7+1, int64(i%3+1)))
	}
	again, err := inventory.Restore([]byte(snapshotOf(t, s)))
	if err != nil {
		t.Fatal(err)
	}
	again = inventory.Evolve(again, shipped("order-77", 77%7+1, 77%3+1))
	for i := range 5000 {
		want, got := s.Line(fmt.Sprint("order-", i), i%7+1), again.Line(fmt.Sprint("order-", i), i%7+1)
		if i == 77 {
			want.Step = inventory.Gone
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("order-%d: %+v, want %+v", i, got, want)
		}
	}
}

func TestWhatIsNoSnapshotIsRefused(t *testing.T) {
	const good = `{"onHand":9,"reserved":3,"threshold":0,"orders":["o","p"],"lines":[1,1],"steps":"AQI=","quantities":[3,1],"why":[0,1],"reasons":["x"],"backs":[{"row":1,"quantity":1,"returns":["r"]}]}`
	if _, err := inventory.Restore([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"a line without its order":  {`["o","p"]`, `["o"]`},
		"a line twice":              {`["o","p"]`, `["o","o"]`},
		"lines out of order":        {`["o","p"]`, `["p","o"]`},
		"a reason that is not":      {`[0,1]`, `[0,2]`},
		"a return of no line":       {`"row":1`, `"row":2`},
		"another sum of promises":   {`"reserved":3`, `"reserved":4`},
		"a member of a later form":  {`"onHand"`, `"colour":1,"onHand"`},
		"what is no number":         {`[3,1]`, `[3,"1"]`},
		"what was cut off":          {`"backs"`, ``},
		"a quantity without a line": {`[3,1]`, `[3,1,1]`},
	} {
		if _, err := inventory.Restore([]byte(strings.Replace(good, change[0], change[1], 1))); !errors.Is(err, inventory.ErrSnapshot) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzRestore(f *testing.F) {
	golden, err := os.ReadFile("testdata/snapshot.v1.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := inventory.Restore(data)
		if err != nil {
			return
		}
		again, err := inventory.Restore([]byte(snapshotOf(t, s)))
		if err != nil || snapshotOf(t, again) != snapshotOf(t, s) {
			t.Fatalf("what was restored can't be kept: %v", err)
		}
	})
}
