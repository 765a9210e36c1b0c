package pii_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/annalhq/annal/internal/pii"
)

func TestWireFormIsFrozen(t *testing.T) {
	in := pii.Sealed{Key: pii.KeyID{Subject: "c1", Purpose: pii.Fulfilment, Version: 2}, Cipher: []byte("abc")}
	got, err := json.Marshal(in)
	if want := `{"$pii":{"k":"c1:fulfilment:2","c":"YWJj"}}`; err != nil || string(got) != want {
		t.Fatalf("%s, %v; want %s", got, err, want)
	}
	var out pii.Sealed
	if err := json.Unmarshal(got, &out); err != nil || !cmp.Equal(in, out) {
		t.Fatalf("%v, %v", out, err)
	}
}

func TestOnlySealedValuesAreRead(t *testing.T) {
	for _, in := range []string{`"plain@example.org"`, `{}`, `{"$pii":{}}`, `{"$pii":{"k":"a:b","c":"YQ=="}}`, `{"$pii":{"k":"a:b:0","c":"YQ=="}}`,
		`{"$pii":{"k":"a:b:1","c":""}}`, `{"$pii":{"k":"a:b:1","c":"%"}}`} {
		var s pii.Sealed
		if err := json.Unmarshal([]byte(in), &s); !errors.Is(err, pii.ErrMalformed) {
			t.Errorf("%s: %v", in, err)
		}
	}
}
