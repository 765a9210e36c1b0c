package aggregates_test

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/annalhq/annal/aggregates"
	"github.com/annalhq/annal/internal/money"
	"github.com/annalhq/annal/internal/pii"
)

// go test ./aggregates -update writes the goldens that are missing, and docs/events.md. A golden that exists is never
// written again: it is what stands in people's logs.
var update = flag.Bool("update", false, "write missing goldens and docs/events.md")

func TestEveryGoldenDecodesForEver(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no goldens: %v", err)
	}
	for _, file := range files {
		name, _, _ := strings.Cut(strings.TrimSuffix(filepath.Base(file), ".json"), "+") // order.placed.v1+guest.json: another golden of the type
		golden, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		e, err := aggregates.Decode(name, golden)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		again, err := aggregates.Encode(e.(interface{ Type() string }))
		if err != nil || string(again) != string(golden) {
			t.Errorf("%s: %v\n%s", file, err, cmp.Diff(string(golden), string(again)))
		}
	}
}

// grown are the types that got an optional field after their first golden, and which golden has all fields now. The older ones decode
// for ever all the same.
var grown = map[string]string{
	"order.cancel-requested.v1": "+note",
	"order.returned.v1":         "+note",
	"customer.tier-changed.v1":  "+note",
}

func TestEveryTypeHasAGoldenOfAllItsFields(t *testing.T) {
	for _, typ := range aggregates.Types() {
		file := filepath.Join("testdata", typ.Name+grown[typ.Name]+".json")
		v := reflect.New(typ.Go).Elem()
		fill(v, "")
		full, err := aggregates.Encode(v.Interface().(interface{ Type() string }))
		if err != nil {
			t.Fatalf("%s: %v", typ.Name, err)
		}
		golden, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) && *update {
			golden, err = full, os.WriteFile(file, full, 0o644)
		}
		if err != nil {
			t.Errorf("%s: run go test ./aggregates -update (%v)", typ.Name, err)
			continue
		}
		if diff := cmp.Diff(members(t, golden), members(t, full)); diff != "" {
			t.Errorf("%s: the type's fields are no longer the golden's. An optional field more: add a second golden <type>+<what>.json and say so here.\n%s", typ.Name, diff)
		}
	}
}

func TestTheRegisterIsSound(t *testing.T) {
	for _, typ := range aggregates.Types() {
		category, rest, ok := strings.Cut(typ.Name, ".")
		event, version, versioned := strings.Cut(rest, ".v")
		if !ok || category != typ.Category || event == "" || !versioned || version == "" {
			t.Errorf("%s of category %s: a name is <category>.<event>.v<version>", typ.Name, typ.Category)
		}
		if typ.Doc == "" || len(typ.FoldKeys) == 0 {
			t.Errorf("%s has no sentence or no key to fold by", typ.Name)
		}
		for _, key := range typ.FoldKeys {
			if !has(typ.Go, strings.Split(key, ".")) {
				t.Errorf("%s: readers are to fold by %s, which the event does not carry", typ.Name, key)
			}
		}
		if found, ok := aggregates.Lookup(typ.Name); !ok || found.Go != typ.Go {
			t.Errorf("%s is not found", typ.Name)
		}
	}
}

func TestWhatIsNoEventIsRefused(t *testing.T) {
	if _, err := aggregates.Decode("order.exploded.v9", []byte(`{}`)); !errors.Is(err, aggregates.ErrUnknownEvent) {
		t.Errorf("an unknown name: %v", err)
	}
	const secret = "ada@example.org"
	for _, data := range []string{"", "{", "null{}", `{"sku":1}`, `{"sku":"A"} {}`, `{"email":"` + secret + `"}`, `[]`, `{"quantity":1.5}`, `{"quantity":"` + secret + `"}`} {
		for _, name := range []string{"inventory.received.v1", "customer.registered.v1"} {
			_, err := aggregates.Decode(name, []byte(data))
			if err != nil && !errors.Is(err, aggregates.ErrEventMalformed) {
				t.Errorf("%s %s: %v", name, data, err)
			}
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("%s: the error repeats the data: %v", name, err)
			}
		}
	}
	if _, err := aggregates.Decode("customer.registered.v1", []byte(`{"email":"`+secret+`"}`)); !errors.Is(err, aggregates.ErrEventMalformed) {
		t.Errorf("personal data in the clear was read: %v", err)
	}
	if e, err := aggregates.Decode("inventory.received.v1", []byte(`{"sku":"A","quantity":1,"colour":"red"}`)); err != nil || e == nil {
		t.Errorf("an optional field of a newer program: %v", err)
	}
	if _, err := aggregates.Encode(impostor{}); !errors.Is(err, aggregates.ErrUnknownEvent) {
		t.Errorf("another type under a registered name: %v", err)
	}
}

type impostor struct{}

func (impostor) Type() string { return "inventory.received.v1" }

func FuzzDecode(f *testing.F) {
	for _, typ := range aggregates.Types() {
		golden, err := os.ReadFile(filepath.Join("testdata", typ.Name+".json"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(typ.Name, golden)
	}
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		e, err := aggregates.Decode(name, data)
		if err != nil {
			return
		}
		first, err := aggregates.Encode(e.(interface{ Type() string }))
		if err != nil {
			t.Skip() // a time beyond year 9999 and the like: decodable, not storable
		}
		again, err := aggregates.Decode(name, first)
		if err != nil {
			t.Fatalf("what was encoded can't be decoded: %v", err)
		}
		second, err := aggregates.Encode(again.(interface{ Type() string }))
		if err != nil || string(first) != string(second) {
			t.Fatalf("%v\n%s\n%s", err, first, second)
		}
	})
}

// fill sets every field, so that the golden shows all of them.
func fill(v reflect.Value, name string) {
	switch v.Interface().(type) {
	case money.Amount:
		v.Set(reflect.ValueOf(money.Of(1250, "GBP")))
		return
	case time.Time:
		v.Set(reflect.ValueOf(time.Date(2010, 12, 1, 8, 26, 0, 0, time.UTC)))
		return
	case pii.Sealed:
		v.Set(reflect.ValueOf(pii.Sealed{Key: pii.KeyID{Subject: "4s9mz8c1", Purpose: pii.Fulfilment, Version: 1}, Cipher: []byte(name)}))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), jsonName(v.Type().Field(i)))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), name)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), name)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, "key")
		fill(value, "value")
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString(sample(name))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(3)
	default:
		panic("no sample for " + v.Type().String())
	}
}

func sample(name string) string {
	switch name {
	case "sku":
		return "85123A"
	case "country":
		return "GB"
	case "currency":
		return "GBP"
	case "language":
		return "en"
	}
	return "a-" + name
}

func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

// has reports whether JSON of the type has the path.
func has(t reflect.Type, path []string) bool {
	for t.Kind() == reflect.Slice || t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if len(path) == 0 {
		return true
	}
	if t.Kind() != reflect.Struct {
		return false
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous && has(f.Type, path) || jsonName(f) == path[0] && has(f.Type, path[1:]) {
			return true
		}
	}
	return false
}

// members returns the names of all members of the JSON, with what kind of value each holds.
func members(t *testing.T, data []byte) map[string]string {
	t.Helper()
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	collect(found, "", v)
	return found
}

func collect(found map[string]string, path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			collect(found, path+"."+name, value)
		}
	case []any:
		for _, value := range v {
			collect(found, path+"[]", value)
		}
	default:
		found[path] = reflect.TypeOf(v).String()
	}
}
