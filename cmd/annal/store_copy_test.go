package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/eventstore/server/servertest"
)

func TestAStoreIsCopiedComparedAndCopiedAgain(t *testing.T) {
	source, target := servertest.Start(t), servertest.Start(t)
	client, err := eventstore.Open(source, eventstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, stream := range []eventstore.Stream{"order-o1", "payment-p1", "snapshot-order-o1"} {
		event := eventstore.Event{ID: uuid.New(), Type: "thing.done.v1", Data: []byte(`{}`), Metadata: []byte(`{}`)}
		if _, err := client.Append(t.Context(), stream, eventstore.NoStream, []eventstore.Event{event}); err != nil {
			t.Fatal(err)
		}
	}
	environ := []string{"ANNAL_HOME=" + t.TempDir(), "ANNAL_EVENTSTORE_URL=" + source}
	file := filepath.Join(t.TempDir(), "target.url")
	if err := os.WriteFile(file, []byte(target+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, run := range []struct{ to, want string }{{target, `{"copied":2,"compared":2,`}, {"@" + file, `{"copied":0,"compared":2,`}} {
		var out, stderr bytes.Buffer
		if err := execute(t.Context(), []string{"store", "copy", "--to", run.to}, environ, &out, &stderr); err != nil || !strings.HasPrefix(out.String(), run.want) {
			t.Errorf("%v: %s%s", err, &out, &stderr)
		}
		if !strings.Contains(stderr.String(), "compared 2 events\n") {
			t.Errorf("progress: %q", &stderr)
		}
	}
	refused(t, []string{"store", "copy", "--to", source}, environ, "COPY_SAME_STORE the same event store")
	refused(t, []string{"store", "copy", "--to", "esdb://127.0.0.1:9?tls=false"}, environ, "STORE_UNAVAILABLE 127.0.0.1:9")
}
