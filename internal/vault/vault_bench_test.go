package vault_test

import (
	"strconv"
	"testing"

	"github.com/annalhq/annal/internal/pii"
	"github.com/annalhq/annal/internal/vault"
)

func BenchmarkSealKnown(b *testing.B) {
	v := open(b, database(b), vault.Config{})
	seal(b, v, anna, pii.Name, "x")
	for b.Loop() {
		seal(b, v, anna, pii.Address, "1 Long Lane, London SE1 4PG, United Kingdom")
	}
}

func BenchmarkSealNewSubject(b *testing.B) {
	v := open(b, database(b), vault.Config{})
	n := 0
	for b.Loop() {
		n++
		seal(b, v, pii.Subject("c-"+strconv.Itoa(n)), pii.Name, "x")
	}
}

func BenchmarkPrepare1000(b *testing.B) {
	v := open(b, database(b), vault.Config{})
	n := 0
	for b.Loop() {
		subjects := make([]pii.Subject, 1000)
		for i := range subjects {
			n++
			subjects[i] = pii.Subject("c-" + strconv.Itoa(n))
		}
		if err := v.Prepare(b.Context(), pii.Fulfilment, subjects); err != nil {
			b.Fatal(err)
		}
	}
}
