package commands

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/annalhq/annal/aggregates/customer"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/eventstore/server/servertest"
	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/pii"
	"github.com/annalhq/annal/internal/vault"
)

var support = auth.Principal{Kind: auth.Staff, ID: "s1", Roles: []auth.Role{auth.RoleSupport}, Method: "bearer"}

func (h *Handlers) found(t testing.TB, field pii.Field, value string) []pii.Subject {
	t.Helper()
	got, err := h.vault.Find(t.Context(), field, value)
	must(t, err)
	return got
}

func TestACustomerIsRegisteredOnceAndFound(t *testing.T) {
	h := newHouse(t)
	p, q := h.process(t, Ports{}), h.process(t, Ports{})
	c := RegisterCustomer{Meta: Meta{IdempotencyKey: "k"}, Name: "Ada Lovelace", Email: "Ada@Example.org", Phone: "+44 1632 960000", Country: "GB", Reference: "17850"}
	first, err := p.RegisterCustomer(t.Context(), support, c)
	must(t, err)
	again, err := q.RegisterCustomer(t.Context(), support, c)
	if err != nil || again.Customer != first.Customer || !again.Replayed {
		t.Errorf("first %+v, again %+v, %v", first, again, err)
	}
	c.Name = "Charles Babbage"
	if _, err := q.RegisterCustomer(t.Context(), support, c); !errors.Is(err, ErrKeyReused) {
		t.Errorf("another person under the key: %v", err)
	}
	want := []pii.Subject{pii.Subject(first.Customer)}
	if got := q.found(t, pii.Email, "ada@example.org"); !slices.Equal(got, want) {
		t.Errorf("by e-mail: %v", got)
	}
	if got := q.found(t, pii.Phone, "+441632960000"); !slices.Equal(got, want) {
		t.Errorf("by phone: %v", got)
	}
	self, err := p.RegisterCustomer(t.Context(), buyer("c7"), RegisterCustomer{Name: "Grace"})
	if err != nil || self.Customer != "c7" {
		t.Errorf("oneself: %+v, %v", self, err)
	}
	if _, err := p.RegisterCustomer(t.Context(), buyer("c7"), RegisterCustomer{Name: "Grace"}); !errors.Is(err, customer.ErrExists) {
		t.Errorf("oneself again: %v", err)
	}
}

func TestARepeatedUpdateBringsNoOldAddressBack(t *testing.T) {
	h := newHouse(t)
	p := h.process(t, Ports{})
	id, err := p.RegisterCustomer(t.Context(), support, RegisterCustomer{Email: "one@example.org"})
	must(t, err)
	update := func(key, email string) {
		t.Helper()
		_, err := p.UpdateProfile(t.Context(), support, UpdateProfile{Meta: Meta{IdempotencyKey: key}, Customer: id.Customer, Email: &email})
		must(t, err)
	}
	update("a", "two@example.org")
	update("b", "three@example.org")
	update("a", "two@example.org") // the network brings the first once more
	if got := p.found(t, pii.Email, "three@example.org"); len(got) != 1 {
		t.Errorf("not found by the newest: %v", got)
	}
	for _, old := range []string{"one@example.org", "two@example.org"} {
		if got := p.found(t, pii.Email, old); len(got) != 0 {
			t.Errorf("found by %s: %v", old, got)
		}
	}
	s, _, err := look(t.Context(), p, customers, request{}, string(id.Customer), closeLook)
	must(t, err)
	if plain, err := p.vault.Open(t.Context(), pii.Email, s.Email); err != nil || string(plain) != "three@example.org" {
		t.Errorf("%s, %v", plain, err)
	}
}

func TestCustomersManageThemselvesAlone(t *testing.T) {
	p := newHouse(t).process(t, Ports{})
	ada, eve := buyer("ada"), buyer("eve")
	_, err := p.RegisterCustomer(t.Context(), ada, RegisterCustomer{Name: "Ada"})
	must(t, err)
	for name, c := range map[string]struct {
		run  func(auth.Principal) error
		self error // what the customer itself is told
		help error // what support is told
	}{
		"update": {func(who auth.Principal) error {
			return second(p.UpdateProfile(t.Context(), who, UpdateProfile{Customer: "ada", Name: new("A")}))
		}, nil, nil},
		"address": {func(who auth.Principal) error {
			return second(p.SetAddress(t.Context(), who, SetAddress{Customer: "ada", Label: "home", Address: *home}))
		}, nil, nil},
		"remove": {func(who auth.Principal) error {
			return second(p.RemoveAddress(t.Context(), who, RemoveAddress{Customer: "ada", Label: "nowhere"}))
		}, customer.ErrAddressMissing, customer.ErrAddressMissing},
		"prefer": {func(who auth.Principal) error {
			return second(p.SetPreferences(t.Context(), who, SetPreferences{Customer: "ada", SMS: true}))
		}, nil, nil},
		"tier": {func(who auth.Principal) error {
			return second(p.ChangeTier(t.Context(), who, ChangeTier{Customer: "ada", Tier: customer.VIP, Why: "I like me"}))
		}, auth.ErrDenied, auth.ErrDenied},
	} {
		for _, try := range []struct {
			who  auth.Principal
			want error
		}{{ada, c.self}, {support, c.help}, {eve, auth.ErrDenied}, {auth.Nobody(), auth.ErrUnauthenticated}} {
			if err := c.run(try.who); !errors.Is(err, try.want) {
				t.Errorf("%s as %s %s: %v, want %v", name, try.who.Kind, try.who.ID, err, try.want)
			}
		}
	}
	if _, err := p.ChangeTier(t.Context(), admin, ChangeTier{Customer: "ada", Tier: customer.VIP, Why: "loyal"}); err != nil {
		t.Error(err)
	}
	if _, err := p.UpdateProfile(t.Context(), support, UpdateProfile{Customer: "nobody", Name: new("A")}); !errors.Is(err, customer.ErrMissing) {
		t.Errorf("nobody's profile: %v", err)
	}
}

func second[R any](_ R, err error) error { return err }

func TestAnErasedCustomerIsChangedNoMore(t *testing.T) {
	p := newHouse(t).process(t, Ports{})
	id, err := p.RegisterCustomer(t.Context(), support, RegisterCustomer{Name: "Ada", Email: "ada@example.org"})
	must(t, err)
	must(t, p.vault.Shred(t.Context(), pii.Subject(id.Customer), pii.Fulfilment))
	if _, err := p.UpdateProfile(t.Context(), support, UpdateProfile{Customer: id.Customer, Name: new("Ada")}); !errors.Is(err, vault.ErrErased) {
		t.Errorf("%v", err)
	}
	if got := p.found(t, pii.Email, "ada@example.org"); len(got) != 0 {
		t.Errorf("still found: %v", got)
	}
}

// TestWhatPeopleTypeStandsNowhereInTheClear looks through the store's own files.
func TestWhatPeopleTypeStandsNowhereInTheClear(t *testing.T) {
	dir := t.TempDir()
	h := newHouse(t)
	store := servertest.StartAt(t, dir, "127.0.0.1:0")
	h.store = store.URL
	p := h.process(t, Ports{})
	_, err := p.RegisterCustomer(t.Context(), buyer("ada"), RegisterCustomer{Name: "Sentinel-Name", Email: "sentinel-mail@example.org", Phone: "+4416329600071"})
	must(t, err)
	_, err = p.SetAddress(t.Context(), buyer("ada"), SetAddress{Customer: "ada", Label: "home", Address: *home})
	must(t, err)
	must(t, p.store.Close())
	store.Stop()
	readable := false // that the files can be searched at all: the command's name stands in every envelope
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		readable = readable || bytes.Contains(data, []byte(`"command":"RegisterCustomer"`))
		for _, sentinel := range []string{"Sentinel", "sentinel", "16329600071"} {
			if bytes.Contains(data, []byte(sentinel)) {
				t.Errorf("%s holds %q", filepath.Base(path), sentinel)
			}
		}
		return nil
	}))
	if !readable {
		t.Error("nothing was found that is there: the search proves nothing")
	}
}

func TestTheEnvelopeSaysWho(t *testing.T) {
	p := newHouse(t).process(t, Ports{})
	got, err := p.RegisterCustomer(t.Context(), support, RegisterCustomer{Meta: Meta{Correlation: "call-7", Reason: "by phone"}, Country: "FR"})
	must(t, err)
	for rec, err := range p.store.ReadStream(t.Context(), got.Stream, 0) {
		must(t, err)
		m, err := eventstore.DecodeMetadata(rec.Metadata)
		must(t, err)
		if m.Actor.Kind != "staff" || m.Actor.ID != "s1" || m.Name != "RegisterCustomer" || m.Command != got.Command.String() ||
			m.Correlation != "call-7" || m.Reason != "by phone" || m.Country != "FR" || m.InputMAC == "" {
			t.Errorf("%+v", m)
		}
	}
}
