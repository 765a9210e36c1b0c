package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/annalhq/annal/internal/fault"
)

func TestWhatIsNotUnderstoodIsRefused(t *testing.T) {
	home := "ANNAL_HOME=" + t.TempDir()
	for line, code := range map[string]string{
		"streams frob":                   "VERB_UNKNOWN",
		"projections digst":              "VERB_UNKNOWN",
		"import online-retail":           "ARGUMENTS",
		"streams read --from x y":        "FLAG_INVALID",
		"token issue":                    "DEVELOPMENT_ONLY",
		"import online-retail /dev/zero": "IMPORT_FILE",
		"import report":                  "NO_IMPORT",
	} {
		err := execute(context.Background(), strings.Fields(line), []string{home}, io.Discard, io.Discard)
		if fault.CodeOf(err) != code {
			t.Errorf("annal %s: %v, want %s", line, err, code)
		}
	}
}

func TestATokenNeedsAKnownRoleOfItsKind(t *testing.T) {
	environ := []string{"ANNAL_HOME=" + t.TempDir(), "ANNAL_MODE=development"}
	for line, fine := range map[string]bool{
		"--kind customer --id c-1 --role customer": true,
		"--kind staff --id ada --role admin":       true,
		"--kind customer --id c-1 --role admin":    false,
		"--kind staff --id ada --role customer":    false,
		"--kind staff --id ada --role god":         false,
		"--kind robot --id x":                      false,
		"--kind staff --role admin":                false,
		"--kind staff --id ada --for -1h":          false,
	} {
		var out bytes.Buffer
		err := execute(context.Background(), append([]string{"token", "issue"}, strings.Fields(line)...), environ, &out, io.Discard)
		if (err == nil) != fine || (out.Len() > 0) != fine {
			t.Errorf("annal token issue %s: %q, %v", line, out.String(), err)
		}
	}
}
