package aggregates_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/annalhq/annal/aggregates"
	"github.com/annalhq/annal/internal/pii"
)

// A field of one of these names is a datum of a person, unless it is said here why not.
var personal = []string{"name", "email", "phone", "address", "street", "city", "postal", "recipient", "birth", "note", "comment", "to"}

var impersonal = map[string]string{
	"product.created.v1 name":  "a product's",
	"product.revised.v1 name":  "a product's",
	"cart.checked-out.v1 name": "a product's, in a line",
	"order.placed.v1 name":     "a product's, in a line",
	"order.confirmed.v1 name":  "a product's, in a line",
	"order.cancelled.v1 name":  "a product's, in a line",
}

func TestPersonalDataIsSealed(t *testing.T) {
	for _, typ := range aggregates.Types() {
		plain(t, typ.Name, typ.Go)
	}
}

func plain(t *testing.T, event string, typ reflect.Type) {
	for typ.Kind() == reflect.Slice || typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	if typ.Kind() != reflect.Struct || typ == reflect.TypeFor[pii.Sealed]() {
		return
	}
	for i := range typ.NumField() {
		f := typ.Field(i)
		name := strings.ToLower(jsonName(f))
		for _, p := range personal {
			looks := name == p || len(p) > 2 && strings.HasPrefix(name, p)
			if looks && f.Type != reflect.TypeFor[pii.Sealed]() && impersonal[event+" "+jsonName(f)] == "" {
				t.Errorf("%s: the field %s looks personal and is not sealed", event, jsonName(f))
			}
		}
		plain(t, event, f.Type)
	}
}
