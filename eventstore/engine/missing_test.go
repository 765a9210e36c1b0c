package engine_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/annalhq/annal/eventstore/engine"
)

// A table that is gone or cut is damage, named with its file in one line; waiting would not mend it.
func TestAMissingOrCutTableIsDamage(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(path string) error{
		"gone": os.Remove,
		"cut":  func(path string) error { return os.Truncate(path, 100) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			db := open(t, dir, engine.Config{})
			mustAppend(t, db, "order-1", engine.ExpectNoStream, event(1))
			engine.Flush(t, db)
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			tables, err := filepath.Glob(filepath.Join(dir, "log", "*.sst"))
			if err != nil || len(tables) == 0 {
				t.Fatal(tables, err)
			}
			if err := harm(tables[0]); err != nil {
				t.Fatal(err)
			}
			file := strings.TrimSuffix(filepath.Base(tables[0]), ".sst")
			if _, err := engine.Open(dir, engine.Config{Logger: quiet()}); !errors.Is(err, engine.ErrCorrupt) || !strings.Contains(err.Error(), file) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %v", file, err)
			}
		})
	}
}
