package projections_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/annalhq/annal/aggregates/customer"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/pii"
	"github.com/annalhq/annal/internal/vault"
	"github.com/annalhq/annal/projections"
)

// vaultOf opens what sealed made: the plaintext is what follows the salt "x:". It checks the field as the real one does.
type vaultOf struct{ erased string }

func (v vaultOf) OpenMany(_ context.Context, items []vault.Item) ([]vault.Opened, error) {
	out := make([]vault.Opened, len(items))
	for i, item := range items {
		_, plain, _ := strings.Cut(string(item.Sealed.Cipher), ":")
		field, text, _ := strings.Cut(plain, "=")
		switch {
		case string(item.Sealed.Key.Subject) == v.erased:
			out[i].Err = vault.ErrErased
		case field != string(item.Field):
			out[i].Err = vault.ErrForged
		default:
			out[i].Plaintext = []byte(text)
		}
	}
	return out, nil
}

func digests(t *testing.T, pool *pgxpool.Pool, open projections.Opener) []projections.ProjectionDigest {
	t.Helper()
	d, err := projections.Digest(context.Background(), pool, all(t), open)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestTheDigestSeesWhatIsSoAndNotHowItCameAbout(t *testing.T) {
	t.Parallel()
	// The same customer twice: other ciphertext, other positions, other times, one event more on the way.
	one := func(salt string, detour bool, name string) []projections.ProjectionDigest {
		h := &history{}
		if detour {
			received(t, h, "elsewhere", 1)
		}
		seal := func(field, text string) pii.Sealed { return sealed("c1", salt+":"+field+"="+text) }
		add := func(body interface{ Type() string }) { h.add(t, eventstore.Customer.Stream("c1"), body) }
		add(customer.Registered{Customer: "c1", Name: seal("name", "first"), Email: seal("email", "e@example.org"), Language: "en"})
		if detour {
			add(customer.ProfileUpdated{Customer: "c1", Name: seal("name", "second")})
		}
		add(customer.AddressSet{Customer: "c1", Label: "home", Address: seal("address", "street"), Country: "GB"})
		add(customer.ProfileUpdated{Customer: "c1", Name: seal("name", name)})
		pool := database(t)
		if err := projector(t, pool, h, projections.Config{}).RunToEnd(context.Background()); err != nil {
			t.Fatal(err)
		}
		return digests(t, pool, vaultOf{})[3:4] // customers
	}
	want := one("x", false, "third")
	if want[0].Name != "customers" || want[0].Rows != 1 {
		t.Fatalf("%+v", want)
	}
	if diff := cmp.Diff(want, one("y", true, "third")); diff != "" {
		t.Fatalf("another way to the same state has another digest:\n%s", diff)
	}
	if one("x", false, "fourth")[0].Hash == want[0].Hash {
		t.Fatal("another name has the same digest")
	}
}

func TestAnErasedPersonHasADigestToo(t *testing.T) {
	t.Parallel()
	h, pool := &history{}, database(t)
	h.add(t, eventstore.Customer.Stream("c1"), customer.Registered{Customer: "c1", Name: sealed("c1", "x:name=n"), Language: "en"})
	if err := projector(t, pool, h, projections.Config{}).RunToEnd(context.Background()); err != nil {
		t.Fatal(err)
	}
	erased := vaultOf{erased: "c1"}
	if diff := cmp.Diff(digests(t, pool, erased), digests(t, pool, erased)); diff != "" {
		t.Fatal(diff)
	}
	if digests(t, pool, erased)[3] == digests(t, pool, vaultOf{})[3] {
		t.Fatal("erased or not, the digest is the same")
	}
}
