package commands

import (
	"context"
	"errors"
	"maps"

	"github.com/annalhq/annal/aggregates/customer"
	"github.com/annalhq/annal/aggregates/notification"
	"github.com/annalhq/annal/aggregates/order"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/pii"
	"github.com/annalhq/annal/internal/providers/notify"
	"github.com/annalhq/annal/internal/vault"
)

var notifications = aggregate[notification.State, notification.Event]{category: eventstore.Notification, evolve: notification.Evolve}

// Notify tells the buyer of an order something, over each channel that the customer wants. For services.
type Notify struct {
	Meta
	Order    order.ID          `json:"order"`
	Customer string            `json:"customer,omitzero"` // the order's by default
	Template string            `json:"template"`          // "order-confirmed", "order-cancelled", "order-shipped", "order-refunded"
	Fact     string            `json:"fact,omitzero"`     // tells facts of one template and order apart, such as a return's id
	Data     map[string]string `json:"data,omitzero"`     // beside what the order says (order, number, total); no personal data
}

// Notified answers Notify: what became of the message on each channel.
type Notified struct {
	Receipt                            // of the last channel
	Notifications []NotificationResult `json:"notifications"`
}

// NotificationResult is what became of one message.
type NotificationResult struct {
	Notification notification.ID      `json:"notification"`
	Channel      notification.Channel `json:"channel"`
	Status       notification.Status  `json:"status"`
}

// messageDomain is the right side of the message ids. RFC 5322 wants it to be ours; ".internal" is nobody's.
const messageDomain = "annal.internal"

var errTemplate = fault.New(fault.Invalid, "UNKNOWN_TEMPLATE", "there is no template of this name").At("template")

// Notify needs auth.Operate. A fact is told once per channel, whoever asks and however often. Who can't be reached, does not want
// it or was erased gets nothing, and that is recorded. Faults: order.ErrNotFound, UNKNOWN_TEMPLATE; one of kind Timeout or
// Unavailable while a provider does not take the message.
func (h *Handlers) Notify(ctx context.Context, p auth.Principal, c Notify) (Notified, error) {
	if err := p.Require(auth.Operate); err != nil {
		return Notified{}, err
	}
	if !notify.Known(c.Template) {
		return Notified{}, errTemplate
	}
	if err := c.Order.Validate(); err != nil {
		return Notified{}, order.ErrIDMalformed.At("order")
	}
	meta := c.Meta
	c.Meta = Meta{}
	r, err := h.begin(ctx, p, "Notify", meta, "", c)
	if err != nil {
		return Notified{}, err
	}
	tellings, of, err := h.tellings(ctx, r, c)
	if err != nil {
		return Notified{}, err
	}
	var done Notified
	for _, t := range tellings {
		of.Notification = notification.ID(deriveID("notification", string(c.Order)+"/"+c.Template+"/"+c.Fact+"/"+string(t.Channel)))
		receipt, s, err := h.tell(ctx, r.sub(string(t.Channel)), of, t)
		if err != nil {
			return Notified{}, err
		}
		done.Receipt = receipt
		done.Notifications = append(done.Notifications, NotificationResult{Notification: of.Notification, Channel: t.Channel, Status: s.Status})
	}
	return done, nil
}

// tellings returns what is to be told over which channels: mail for a guest, what the customer prefers for a customer. Who
// wants nothing gets one suppressed mail, so that it can be seen why nothing was sent.
func (h *Handlers) tellings(ctx context.Context, r request, c Notify) ([]notification.Telling, notification.Of, error) {
	o, err := findFixed(ctx, h, orders, r, string(c.Order))
	if err != nil {
		return nil, notification.Of{}, err
	}
	if o.Status == order.None {
		return nil, notification.Of{}, order.ErrNotFound
	}
	of := notification.Of{Order: string(c.Order), Customer: or(c.Customer, o.Customer)}
	data := map[string]string{"order": string(o.Order), "number": o.Number, "total": o.Total.String()}
	maps.Copy(data, c.Data)
	base := notification.Telling{Channel: notification.Mail, Template: c.Template, Language: o.Language, To: o.Email, Data: data}
	if o.Guest {
		return []notification.Telling{reachable(base)}, of, nil
	}
	buyer, err := find(ctx, h, customers, r, of.Customer)
	if err != nil {
		return nil, of, err
	}
	return wanted(base, buyer), of, nil
}

func wanted(base notification.Telling, buyer customer.State) []notification.Telling {
	base.Language = or(buyer.Preferences.Language, base.Language)
	var tellings []notification.Telling
	for _, way := range []struct {
		wanted  bool
		channel notification.Channel
		to      pii.Sealed
	}{
		{buyer.Preferences.Mail, notification.Mail, buyer.Email},
		{buyer.Preferences.SMS, notification.SMS, buyer.Phone},
		{buyer.Preferences.Push, notification.Push, buyer.Phone}, // an app is known by the phone it runs on
	} {
		if way.wanted {
			t := base
			t.Channel, t.To = way.channel, way.to
			tellings = append(tellings, reachable(t))
		}
	}
	if len(tellings) == 0 {
		base.To, base.Suppress = pii.Sealed{}, "the customer wants no messages"
		tellings = append(tellings, base)
	}
	return tellings
}

func reachable(t notification.Telling) notification.Telling {
	if t.To.IsZero() {
		t.Suppress = "there is no address for this channel"
	}
	return t
}

// tell stores the intent, sends the message and stores what became of it.
func (h *Handlers) tell(ctx context.Context, r request, of notification.Of, t notification.Telling) (Receipt, notification.State, error) {
	release, err := h.effects.acquire(ctx, eventstore.Notification.Stream(string(of.Notification)))
	if err != nil {
		return Receipt{}, notification.State{}, err
	}
	defer release()
	id, fresh := string(of.Notification), false
	receipt, s, err := execute(ctx, h, notifications, r, id, func(s notification.State, _ eventstore.Revision) ([]notification.Event, error) {
		events, err := notification.Request(s, of, t)
		fresh = len(events) > 0
		return events, err
	})
	if err == nil && !fresh { // another process may have sent it meanwhile
		s, _, err = look(ctx, h, notifications, r, id, closeLook)
	}
	if err != nil {
		return receipt, s, err
	}
	var answer notification.Answer
	if s.Status == notification.StatusRequested {
		if answer, err = h.send(ctx, s); err != nil {
			return receipt, s, err
		}
	}
	return execute(ctx, h, notifications, r.sub("outcome"), id, func(s notification.State, _ eventstore.Revision) ([]notification.Event, error) {
		return notification.Settle(s, answer)
	})
}

// send opens the address and hands the message over. A person who was erased meanwhile is not told.
func (h *Handlers) send(ctx context.Context, s notification.State) (notification.Answer, error) {
	port, ok := h.ports.Channels[string(s.Channel)]
	if !ok {
		return notification.Answer{Suppressed: "this shop has no such channel"}, nil
	}
	to, err := h.vault.Open(ctx, fieldOf(s.Channel), s.To)
	if errors.Is(err, vault.ErrErased) {
		return notification.Answer{Suppressed: "the recipient was erased"}, nil
	}
	if err != nil {
		return notification.Answer{}, err
	}
	subject, text, err := notify.Render(s.Template, s.Language, s.Data)
	if err != nil {
		return notification.Answer{}, err
	}
	id := string(s.Notification) + "@" + messageDomain
	err = port.Send(ctx, notify.Message{ID: id, To: string(to), Subject: subject, Text: text, Language: s.Language})
	switch {
	case err == nil:
		return notification.Answer{MessageID: id}, nil
	case fault.KindOf(err) == fault.Invalid:
		return notification.Answer{Code: fault.CodeOf(err), Reason: fault.MessageOf(err)}, nil
	}
	return notification.Answer{}, unknown(err)
}

func fieldOf(c notification.Channel) pii.Field {
	if c == notification.Mail {
		return pii.Email
	}
	return pii.Phone
}
