package server_test

import (
	"math"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/annalhq/annal/eventstore/engine"
	"github.com/annalhq/annal/eventstore/server"
)

// On a disk that is nearly full both ways to append answer RESOURCE_EXHAUSTED with a sentence, and reads are answered (invariant 8).
func TestALowDiskIsToldToClients(t *testing.T) {
	w, stop := serve(t, engine.Config{ReserveBytes: math.MaxInt64}, server.Config{})
	defer stop()
	if _, _, err := w.append("s", "any", proposed(1)); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "nearly full") {
		t.Errorf("Append: %v", err)
	}
	answer := w.exchange(1, batchOf(0, "s", true, 1))[0].GetError()
	if answer.GetCode() != int32(codes.ResourceExhausted) || !strings.Contains(answer.GetMessage(), "nearly full") {
		t.Errorf("BatchAppend: %v", answer)
	}
	if _, _, err := w.read(query("s", "start", 10)); err != nil {
		t.Errorf("a read: %v", err)
	}
}
