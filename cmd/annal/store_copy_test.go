package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
		if !strings.Contains(stderr.String(), "compared 2 events, 100%\n") {
			t.Errorf("progress: %q", &stderr)
		}
	}
	refused(t, []string{"store", "copy", "--to", source}, environ, "COPY_SAME_STORE the same event store")
	const away = "esdb://127.0.0.1:9?tls=false"
	refused(t, []string{"store", "copy", "--to", away}, environ, "STORE_UNAVAILABLE (asked: target, the event store at 127.0.0.1:9);")
	environ[1] = "ANNAL_EVENTSTORE_URL=" + away
	refused(t, []string{"store", "copy", "--to", target}, environ, "STORE_UNAVAILABLE (asked: source, the event store at 127.0.0.1:9);")
}

func TestTheCourseOfACopySaysWhatIsLeft(t *testing.T) {
	k := &course{first: 1000, last: 5000}
	for at, want := range map[eventstore.Position]string{1000: "", 2000: ", 25%, about 30s left", 3000: ", 50%, about 10s left", 5000: ", 100%, about 0s left", 9000: ", 100%, about 0s left"} {
		if got := k.rest(at, 10*time.Second); got != want {
			t.Errorf("at %d: %q, want %q", at, got, want)
		}
	}
	var shown bytes.Buffer
	k = &course{w: &shown, what: "copied", last: 300, eol: "\n"}
	k.tell(eventstore.Copied{Events: 1, Position: 100})
	k.tell(eventstore.Copied{Events: 7, Position: 200})
	if lines := shown.String(); !strings.HasPrefix(lines, "copied 1 events\ncopied 7 events, 50%, about ") {
		t.Errorf("%q", lines)
	}
}
