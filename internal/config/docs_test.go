package config_test

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/annalhq/annal/internal/config"
)

var update = flag.Bool("update", false, "write the table of docs/configuration.md anew")

const (
	page  = "../../docs/configuration.md"
	begin = "<!-- printed from internal/config/config.go by `go test ./internal/config -update` -->\n"
	end   = "<!-- end of what is printed -->\n"
)

// The page's table is the one of the program: name, default and sentence of each setting.
func TestThePageOfSettingsIsTrue(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, opened := strings.Cut(string(text), begin)
	printed, after, closed := strings.Cut(rest, end)
	if !opened || !closed {
		t.Fatalf("%s has lost the two marks around its table", page)
	}
	want := settings()
	if *update {
		if err := os.WriteFile(page, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if printed != want {
		t.Errorf("docs/configuration.md does not say what the table says; run go test ./internal/config -update. Wanted:\n%s", want)
	}
}

// settings prints the table.
func settings() string {
	var b strings.Builder
	b.WriteString("| setting | default | what |\n|---|---|---|\n")
	fields := reflect.TypeFor[config.Config]()
	for i := range fields.NumField() {
		tag := fields.Field(i).Tag
		unset, secret := "", ""
		if v := tag.Get("envDefault"); v != "" {
			unset = "`" + v + "`"
		}
		if tag.Get("secret") != "" {
			secret = " *Secret.*"
		}
		doc := strings.NewReplacer("|", "\\|", "<", "&lt;").Replace(tag.Get("doc"))
		fmt.Fprintf(&b, "| `%s` | %s | %s.%s |\n", tag.Get("env"), unset, doc, secret)
	}
	return b.String()
}
