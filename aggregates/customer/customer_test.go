package customer_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/annalhq/annal/aggregates/customer"
	"github.com/annalhq/annal/internal/pii"
)

const id = customer.ID("c1")

func sealed(s string) pii.Sealed {
	return pii.Sealed{Key: pii.KeyID{Subject: "c1", Purpose: pii.Fulfilment, Version: 1}, Cipher: []byte(s)}
}

var (
	registered = customer.Registered{Customer: id, Name: sealed("n"), Email: sealed("e"), Country: "GB", Language: "en"}
	home       = customer.AddressSet{Customer: id, Label: "home", Address: sealed("a"), Country: "GB"}
)

type (
	events   = []customer.Event
	decision func(customer.State) ([]customer.Event, error)
)

func register(e customer.Registered) decision {
	return func(s customer.State) ([]customer.Event, error) { return customer.Register(s, e) }
}
func update(name, email pii.Sealed) decision {
	return func(s customer.State) ([]customer.Event, error) {
		return customer.UpdateProfile(s, name, email, pii.Sealed{})
	}
}
func setAddress(label string, a pii.Sealed, country string) decision {
	return func(s customer.State) ([]customer.Event, error) { return customer.SetAddress(s, label, a, country) }
}
func removeAddress(label string) decision {
	return func(s customer.State) ([]customer.Event, error) { return customer.RemoveAddress(s, label) }
}
func prefer(p customer.Preferences) decision {
	return func(s customer.State) ([]customer.Event, error) { return customer.SetPreferences(s, p) }
}
func tier(t customer.Tier, why string) decision {
	return func(s customer.State) ([]customer.Event, error) { return customer.ChangeTier(s, t, sealed(why)) }
}

func TestDecisions(t *testing.T) {
	full := events{registered}
	for i := range customer.MaxAddresses {
		full = append(full, customer.AddressSet{Customer: id, Label: fmt.Sprint("a", i), Address: sealed("a"), Country: "GB"})
	}
	vip := customer.TierChanged{Customer: id, Tier: customer.VIP, Note: sealed("loyal")}
	for name, c := range map[string]struct {
		given   events
		when    decision
		then    events
		refused error
	}{
		"register":                  {nil, register(registered), events{registered}, nil},
		"register again":            {events{registered}, register(registered), nil, customer.ErrExists},
		"register nameless":         {nil, register(customer.Registered{Customer: id}), events{customer.Registered{Customer: id, Language: "en"}}, nil},
		"register nowhere":          {nil, register(customer.Registered{Customer: id, Country: "EIRE"}), nil, customer.ErrCountry},
		"register in no language":   {nil, register(customer.Registered{Customer: id, Language: "English"}), nil, customer.ErrLanguage},
		"update":                    {events{registered}, update(sealed("x"), pii.Sealed{}), events{customer.ProfileUpdated{Customer: id, Name: sealed("x")}}, nil},
		"update nothing":            {events{registered}, update(pii.Sealed{}, pii.Sealed{}), events{customer.ProfileUpdated{Customer: "c1"}}, nil},
		"update nobody":             {nil, update(sealed("x"), pii.Sealed{}), nil, customer.ErrMissing},
		"set an address":            {events{registered}, setAddress("home", sealed("a"), "GB"), events{home}, nil},
		"replace an address":        {full, setAddress("a3", sealed("b"), "FR"), events{customer.AddressSet{Customer: id, Label: "a3", Address: sealed("b"), Country: "FR"}}, nil},
		"set one too many":          {full, setAddress("one-more", sealed("b"), "FR"), nil, customer.ErrBookFull},
		"set an address of nobody":  {nil, setAddress("home", sealed("a"), "GB"), nil, customer.ErrMissing},
		"set an empty address":      {events{registered}, setAddress("home", pii.Sealed{}, "GB"), nil, customer.ErrNothingSealed},
		"set an address nowhere":    {events{registered}, setAddress("home", sealed("a"), ""), nil, customer.ErrCountry},
		"set an address unlabelled": {events{registered}, setAddress("", sealed("a"), "GB"), nil, customer.ErrLabel},
		"remove an address":         {events{registered, home}, removeAddress("home"), events{customer.AddressRemoved{Customer: id, Label: "home"}}, nil},
		"remove what is not there":  {events{registered, home}, removeAddress("work"), nil, customer.ErrAddressMissing},
		"remove twice":              {events{registered, home, customer.AddressRemoved{Customer: id, Label: "home"}}, removeAddress("home"), nil, customer.ErrAddressMissing},
		"prefer":                    {events{registered}, prefer(customer.Preferences{SMS: true, Language: "de"}), events{customer.PreferencesSet{Customer: id, SMS: true, Language: "de"}}, nil},
		"prefer as it is":           {events{registered}, prefer(customer.Preferences{Mail: true}), events{customer.PreferencesSet{Customer: "c1", Mail: true, Language: "en"}}, nil},
		"prefer gibberish":          {events{registered}, prefer(customer.Preferences{Language: "!"}), nil, customer.ErrLanguage},
		"prefer as nobody":          {nil, prefer(customer.Preferences{}), nil, customer.ErrMissing},
		"make a VIP":                {events{registered}, tier(customer.VIP, "loyal"), events{vip}, nil},
		"make a VIP twice":          {events{registered, vip}, tier(customer.VIP, "loyal"), events{vip}, nil},
		"make a standard":           {events{registered}, tier(customer.Standard, "as before"), events{customer.TierChanged{Customer: "c1", Tier: customer.Standard, Note: sealed("as before")}}, nil},
		"make a king":               {events{registered}, tier("king", "loyal"), nil, customer.ErrTier},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.when(fold(c.given))
			if !errors.Is(err, c.refused) || (err == nil) != (c.refused == nil) {
				t.Fatalf("refused with %v, want %v", err, c.refused)
			}
			if diff := cmp.Diff(c.then, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func fold(given events) customer.State {
	var s customer.State
	for _, e := range given {
		s = customer.Evolve(s, e)
	}
	return s
}

// TestTheBookIsAMap compares the address book with a map, and looks that no earlier state changes.
func TestTheBookIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, want := fold(events{registered}), map[string]string{}
		for i := range rapid.IntRange(1, 60).Draw(t, "steps") {
			label := fmt.Sprint("l", rapid.IntRange(0, 30).Draw(t, "label"))
			before := slices.Clone(s.Addresses)
			d := setAddress(label, sealed(fmt.Sprint(i)), "GB")
			set := rapid.Bool().Draw(t, "set")
			if !set {
				d = removeAddress(label)
			}
			es, err := d(s)
			_, there := want[label]
			switch {
			case set && !there && len(want) == customer.MaxAddresses:
				if !errors.Is(err, customer.ErrBookFull) {
					t.Fatalf("full: %v", err)
				}
				continue
			case !set && !there:
				if !errors.Is(err, customer.ErrAddressMissing) {
					t.Fatalf("not there: %v", err)
				}
				continue
			case err != nil:
				t.Fatal(err)
			case set:
				want[label] = fmt.Sprint(i)
			default:
				delete(want, label)
			}
			next := s
			for _, e := range es {
				next = customer.Evolve(next, e)
			}
			if diff := cmp.Diff(before, s.Addresses); len(before) > 0 && diff != "" {
				t.Fatalf("Evolve changed the state it was given: %s", diff)
			}
			s = next
			if len(s.Addresses) != len(want) {
				t.Fatalf("%d addresses, want %d", len(s.Addresses), len(want))
			}
			for label, value := range want {
				if e, ok := s.Address(label); !ok || string(e.Address.Cipher) != value {
					t.Fatalf("%s: %v %v, want %s", label, e, ok, value)
				}
			}
		}
	})
}

func TestWhatPeopleType(t *testing.T) {
	type check struct {
		valid     func(string) bool
		good, bad []string
	}
	for name, c := range map[string]check{
		"name":     {customer.ValidName, []string{"Ada", "Ångström & Söhne", strings.Repeat("ä", 200)}, []string{"", " ", "a\nb", "a\xff", strings.Repeat("ä", 201), "\x00"}},
		"email":    {customer.ValidEmail, []string{"a@b.c", "first.last+tag@example.org"}, []string{"", "a", "a@", "@b", "Ada <a@b.c>", "a@b.c, d@e.f", "a b@c.d", "a@b.c\n", strings.Repeat("a", 251) + "@b.c"}},
		"phone":    {customer.ValidPhone, []string{"+441632960000", "+44 (1632) 960-000"}, []string{"", "01632960000", "+0441632960000", "+44", "+44163296000012345", "+44x632960000"}},
		"country":  {customer.ValidCountry, []string{"GB", "IE", "ZW"}, []string{"", "gb", "UK", "EIRE", "A ", " A", "XX", "G"}},
		"language": {customer.ValidLanguage, []string{"en", "de-CH", "zh-Hant-TW", "gsw"}, []string{"", "e", "EN", "en_GB", "english"}},
		"label":    {customer.ValidLabel, []string{"home", "my work 2"}, []string{"", "Home", "-a", "a@b.c", strings.Repeat("a", 33)}},
	} {
		for _, s := range c.good {
			if !c.valid(s) {
				t.Errorf("%s %q was refused", name, s)
			}
		}
		for _, s := range c.bad {
			if c.valid(s) {
				t.Errorf("%s %q passed", name, s)
			}
		}
	}
	if got := customer.NormalPhone("+44 (1632) 960-000"); got != "+441632960000" {
		t.Error(got)
	}
	good := customer.Address{Line1: "1 High Street", City: "Leeds", Country: "GB"}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for _, bad := range []customer.Address{{}, {Line1: "a", City: "b"}, {Line1: "a", Country: "GB"}, {Line1: "a\x00", City: "b", Country: "GB"}, {Line1: "a", City: "b", Country: "GB", Region: strings.Repeat("a", 201)}} {
		if bad.Validate() == nil {
			t.Errorf("%+v passed", bad)
		}
	}
}
