package commands

import (
	"context"
	"errors"

	"github.com/annalhq/annal/aggregates"
	"github.com/annalhq/annal/aggregates/order"
	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/pii"
)

// A repeat of a command that carries a typed text is told from other input by a MAC under the key of the person whom the text is
// about. Twice such a MAC is not the one that the stream has, although the input is the same:
//
//	before texts were sealed   the MAC was the shop's. It is reckoned as well, in memory only, and compared (request.also).
//	the person was erased      the key is gone, and with it every way to compare the text. What stands in the event in
//	                           the clear is compared instead (request.remains): cause, lines, tier. The text can't matter any more:
//	                           nobody can read the first one, and the second isn't kept.

// told is the cause as it is compared: the default and nothing are one.
func (s said) told() order.Cause {
	if s.cause == order.OtherCause {
		return ""
	}
	return s.cause
}

// beginSaid is begin for input with a cause and a typed text, which input puts into the command. remains compares an event that has a
// sealed text with the command, without the text. Faults: those of begin.
func (h *Handlers) beginSaid(ctx context.Context, p auth.Principal, name string, m Meta, s said, input func(order.Cause, string) any,
	remains func(recorded any) bool) (request, error) {
	r, err := h.begin(ctx, p, name, m, s.subject, input(s.told(), s.text))
	if err != nil || s.own {
		return r, err
	}
	if s.erased {
		r.remains = remains
	}
	// As it was given before texts were sealed, and with the default spelled out.
	if err := h.alsoAs(ctx, &r, "", input(s.told(), s.typed)); err != nil {
		return request{}, err
	}
	return r, h.alsoAs(ctx, &r, s.subject, input(s.cause, s.text))
}

// alsoAs lets a stored command that has the MAC of the input under the subject's key be the same command. Faults: those of the vault.
func (h *Handlers) alsoAs(ctx context.Context, r *request, subject pii.Subject, input any) error {
	mac, err := h.inputMAC(ctx, subject, input)
	r.also = append(r.also, mac)
	return err
}

// settle decides about a repeat whose MAC is not that of the stored command, by what remains of it. REQUIRES: if got.err is ErrKeyReused,
// got.receipt says where the stored command is. Faults: ErrKeyReused; those of the store.
func settle[S any](ctx context.Context, h *Handlers, r request, got answer[S]) answer[S] {
	if !errors.Is(got.err, ErrKeyReused) {
		return got
	}
	if r.remains == nil {
		return answer[S]{err: got.err} // another command's receipt is not the caller's
	}
	rec, err := h.at(ctx, got.receipt.Stream, got.receipt.Revision)
	if err != nil {
		return answer[S]{err: err}
	}
	recorded, err := aggregates.Decode(rec.Type, rec.Data)
	switch {
	case err != nil:
		return answer[S]{err: err}
	case !r.remains(recorded):
		return answer[S]{err: ErrKeyReused}
	}
	got.err = nil
	return got
}
