package commands

import (
	"context"
	"errors"

	"github.com/annalhq/annal/aggregates/order"
	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/pii"
	"github.com/annalhq/annal/internal/vault"
)

// What people type may hold personal data, of themselves or of others, and events are for ever. So a reason is two things: a Cause
// in the clear, which sagas, mails and payments may carry on, and a note, sealed under the key of the order's customer.
type said struct {
	cause   order.Cause
	typed   string
	text    string      // what is kept of typed: all, or nothing of an erased person
	sealed  pii.Sealed  // the text
	subject pii.Subject // whose key seals the text and the input's MAC; "" if nobody's
	erased  bool        // the person whom the text would be about
	own     bool        // the import's own words, which are about an invoice and stand in the clear
}

var (
	errReason = fault.New(fault.Invalid, "REASON_MALFORMED", "give a reason of 1 to 500 characters without control characters").At("reason")
	errCause  = fault.New(fault.Invalid, "CAUSE_UNKNOWN", "a cause is CHANGED_MIND, ORDERED_WRONGLY, TOO_SLOW, DAMAGED, WRONG_ITEM, NOT_AS_DESCRIBED or OTHER").At("cause")
)

// reason is what stands in the event in the clear.
func (s said) reason() string {
	if s.own {
		return s.text
	}
	return string(s.cause)
}

// said checks and seals what somebody gives as the reason of a change of an order. Of a person whose data was erased nothing is kept
// any more, and the change is made all the same. Faults: REASON_MALFORMED, CAUSE_UNKNOWN, order.ErrIDMalformed, order.ErrNotFound also if
// the order is somebody else's, those of the vault.
func (h *Handlers) said(ctx context.Context, p auth.Principal, id order.ID, cause order.Cause, text string) (said, error) {
	if cause == "" {
		cause = order.OtherCause
	}
	switch {
	case !printable(text, 1, 500):
		return said{}, errReason
	case !cause.Known():
		return said{}, errCause
	case id.Validate() != nil:
		return said{}, order.ErrIDMalformed.At("order")
	case p.Kind == auth.Importer:
		return said{cause: cause, typed: text, text: text, own: true}, nil
	}
	o, err := findFixed(ctx, h, orders, request{}, string(id))
	if err == nil {
		err = owned(p, o)
	}
	if err != nil {
		return said{}, err
	}
	subject := pii.Subject(o.Customer)
	if o.Guest {
		subject = guestOf(id)
	}
	sealed, err := h.vault.Seal(ctx, subject, pii.Fulfilment, pii.Note, []byte(text))
	if errors.Is(err, vault.ErrErased) {
		return said{cause: cause, typed: text, erased: true}, nil
	}
	return said{cause: cause, typed: text, text: text, sealed: sealed, subject: subject}, err
}
