package auth_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/fault"
)

func key(t *testing.T, fill string) *auth.Key {
	t.Helper()
	k, err := auth.NewKey(base64.StdEncoding.EncodeToString([]byte(strings.Repeat(fill, 32))))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestATokenIsItsPrincipal(t *testing.T) {
	k := key(t, "a")
	p := auth.Principal{Kind: auth.Customer, ID: "c1", Roles: []auth.Role{auth.RoleCustomer}, Method: "bearer"}
	token, err := k.Issue(p, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	got, err := k.Verify(token)
	if err != nil || !cmp.Equal(got, p) {
		t.Fatalf("%+v, %v", got, err)
	}
}

func TestForgedTokensAreRefused(t *testing.T) {
	k, other := key(t, "a"), key(t, "b")
	p := auth.Principal{Kind: auth.Staff, ID: "s", Roles: []auth.Role{auth.RoleAdmin}}
	issue := func(k *auth.Key, p auth.Principal, at time.Time) string {
		token, err := k.Issue(p, at, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	good := issue(k, p, time.Now())
	header, rest, _ := strings.Cut(good, ".")
	none, err := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims{"sub": "s", "aud": "annal", "iss": "annal", "exp": time.Now().Add(time.Hour).Unix(),
		"kind": "staff"}).SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": "s", "aud": "annal", "iss": "annal", "exp": time.Now().Add(time.Hour).Unix()}).
		SignedString([]byte(strings.Repeat("a", 32)))
	if err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]string{
		"empty": "", "garbage": "a.b.c", "another key": issue(other, p, time.Now()), "expired": issue(k, p, time.Now().Add(-2*time.Hour)),
		"not yet": issue(k, p, time.Now().Add(time.Hour)), "algorithm none": none, "a symmetric algorithm": plain,
		"importer": issue(k, auth.Principal{Kind: auth.Importer, ID: "i"}, time.Now()), "no subject": issue(k, auth.Principal{Kind: auth.Staff}, time.Now()),
		"cut": good[:len(good)-4], "another header": strings.Replace(header, header[:4], "abcd", 1) + "." + rest, "huge": strings.Repeat("a", 1<<20),
	} {
		if got, err := k.Verify(token); !errors.Is(err, auth.ErrToken) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestNothingIsAllowedByDefault(t *testing.T) {
	customer := auth.Principal{Kind: auth.Customer, ID: "c1", Roles: []auth.Role{auth.RoleCustomer}}
	if err := customer.Owns("c1", auth.ReadOrders); err != nil {
		t.Errorf("one's own: %v", err)
	}
	if err := customer.Owns("c2", auth.ReadOrders); !errors.Is(err, auth.ErrDenied) {
		t.Errorf("another's: %v", err)
	}
	if err := (auth.Principal{Kind: auth.Customer}).Owns("", auth.ReadOrders); !errors.Is(err, auth.ErrDenied) {
		t.Errorf("a customer without an id owns what is nobody's: %v", err)
	}
	if err := customer.Require(auth.ManageStock); !errors.Is(err, auth.ErrDenied) || !strings.HasSuffix(fault.MessageOf(err), "it needs the permission stock.manage") {
		t.Errorf("whoever may not is not told what is missing: %v", err)
	}
	if err := auth.Nobody().Require(auth.Shop); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("nobody: %v", err)
	}
	if (auth.Principal{Kind: auth.Staff, ID: "s", Roles: []auth.Role{"root"}}).May(auth.Administer) {
		t.Error("an unknown role may administer")
	}
}
