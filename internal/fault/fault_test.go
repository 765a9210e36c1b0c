package fault_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/annalhq/annal/internal/fault"
)

var errShipped = fault.New(fault.Conflict, "ALREADY_SHIPPED", "the order has left")

func TestFaultKeepsItsIdentityOnTheWayOut(t *testing.T) {
	err := fmt.Errorf("deciding: %w", errShipped.At("input", "lines").Because("order %s has left", "x"))
	if !errors.Is(err, errShipped) {
		t.Fatal("a fault with a path and another message is no longer itself")
	}
	if errors.Is(err, fault.New(fault.Conflict, "OTHER", "")) {
		t.Fatal("two codes are one fault")
	}
	if fault.KindOf(err) != fault.Conflict || fault.CodeOf(err) != "ALREADY_SHIPPED" || fault.MessageOf(err) != "order x has left" {
		t.Fatalf("kind %v, code %q, message %q", fault.KindOf(err), fault.CodeOf(err), fault.MessageOf(err))
	}
	if len(errShipped.Path) != 0 {
		t.Fatal("At changed the package variable")
	}
}

func TestWrapClassifiesOnce(t *testing.T) {
	if fault.Wrap(nil, fault.Unavailable, "X", "x") != nil {
		t.Fatal("nil became a fault")
	}
	if got := fault.Wrap(errShipped, fault.Unavailable, "X", "x"); !errors.Is(got, errShipped) || fault.KindOf(got) != fault.Conflict {
		t.Fatal("a fault was classified twice")
	}
	got := fault.Wrap(io.ErrUnexpectedEOF, fault.Unavailable, "STORE_UNAVAILABLE", "the store is away")
	if fault.KindOf(got) != fault.Unavailable || !errors.Is(got, io.ErrUnexpectedEOF) {
		t.Fatalf("got %v", got)
	}
	if got := fault.Wrap(context.DeadlineExceeded, fault.Unavailable, "X", "x"); fault.KindOf(got) != fault.Timeout {
		t.Fatalf("a deadline is %v", fault.KindOf(got))
	}
}

func TestWhatNobodyClassifiedIsMasked(t *testing.T) {
	err := errors.New("pq: password of annal is hunter2")
	if fault.KindOf(err) != fault.Internal || fault.CodeOf(err) != "INTERNAL" {
		t.Fatal("an unknown error is not internal")
	}
	if m := fault.MessageOf(err); m == "" || m == err.Error() {
		t.Fatalf("shown to a user: %q", m)
	}
}

func TestEveryKindHasARow(t *testing.T) {
	seen := map[string]bool{}
	for k := fault.Internal; k <= fault.Unavailable; k++ {
		if k.String() == "" || seen[k.String()] || k.HTTP() < 400 || k.Exit() == 0 || k.GraphQL() == "" {
			t.Errorf("kind %d: %q %d %d", k, k, k.HTTP(), k.Exit())
		}
		seen[k.String()] = true
	}
	if fault.Kind(200).HTTP() != 500 {
		t.Error("an unknown kind is not internal")
	}
}
