package commands

import (
	"sync"
	"testing"

	"github.com/annalhq/annal/aggregates/notification"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/pii"
	"github.com/annalhq/annal/internal/providers/notify/sink"
)

func confirmedMail(key string, o PlacedOrder) Notify {
	return Notify{Meta: Meta{IdempotencyKey: key}, Order: o.Order, Template: "order-confirmed"}
}

func (w *world) mails(t testing.TB) []sink.Mail {
	t.Helper()
	mails, err := w.sink.Mails()
	must(t, err)
	return mails
}

func TestAFactIsMailedOnce(t *testing.T) {
	w := newWorld(t)
	s := w.start(t)
	s.stocked(t)
	o := s.ordered(t, "k")
	var calls sync.WaitGroup
	for range 8 { // the same command at once
		calls.Go(func() {
			if _, err := s.Notify(t.Context(), operator, confirmedMail("n", o)); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	again, err := w.start(t).Notify(t.Context(), operator, confirmedMail("n", o)) // in another process
	must(t, err)
	other, err := s.Notify(t.Context(), operator, confirmedMail("other", o)) // the same fact under another key
	must(t, err)
	equal(t, again.Notifications, other.Notifications)
	mails := w.mails(t)
	if len(mails) != 1 {
		t.Fatalf("%d mails", len(mails))
	}
	equal(t, mails[0].ID, string(again.Notifications[0].Notification)+"@"+messageDomain)
	equal(t, mails[0].To, "<ada@example.org>")
	equal(t, mails[0].Subject, "Your order "+o.Number+" is confirmed")
}

func TestPreferencesDecideWhereItIsTold(t *testing.T) {
	w := newWorld(t)
	s := w.start(t)
	s.stocked(t)
	o := s.ordered(t, "k")
	_, err := s.SetPreferences(t.Context(), buyer("ada"), SetPreferences{Customer: "ada", SMS: true, Language: "de"})
	must(t, err)
	s = w.start(t)
	got, err := s.Notify(t.Context(), operator, confirmedMail("n", o))
	must(t, err)
	equal(t, len(got.Notifications), 1)
	equal(t, got.Notifications[0].Channel, notification.SMS)
	sent, err := s.sms.Sent()
	must(t, err)
	equal(t, len(sent), 1)

	_, err = s.SetPreferences(t.Context(), buyer("ada"), SetPreferences{Customer: "ada"})
	must(t, err)
	got, err = w.start(t).Notify(t.Context(), operator, Notify{Order: o.Order, Template: "order-shipped"})
	must(t, err)
	equal(t, got.Notifications[0].Status, notification.StatusSuppressed)
	equal(t, len(w.mails(t)), 0)
}

func TestWhoCanNotBeToldIsNotTold(t *testing.T) {
	w := newWorld(t)
	s := w.start(t)
	s.stocked(t)
	guest, err := s.PlaceOrder(t.Context(), admin, PlaceOrder{Guest: &Guest{Name: "G"}, Lines: mugs("", 1).Lines, Currency: "GBP", Address: home, Tender: mugs("", 1).Tender})
	must(t, err)
	got, err := s.Notify(t.Context(), operator, confirmedMail("g", guest))
	must(t, err)
	equal(t, got.Notifications[0].Status, notification.StatusSuppressed)

	o := s.ordered(t, "k")
	w.sink.Refuse(451)
	_, err = s.Notify(t.Context(), operator, confirmedMail("n", o))
	if !fault.KindOf(err).Retryable() {
		t.Errorf("a busy mail server must be worth a retry, not %v", err)
	}
	w.sink.Refuse(550)
	got, err = s.Notify(t.Context(), operator, confirmedMail("n", o))
	must(t, err)
	equal(t, got.Notifications[0].Status, notification.StatusFailed)
	w.sink.Refuse(0)

	must(t, s.vault.Shred(t.Context(), "ada", pii.Fulfilment))
	got, err = s.Notify(t.Context(), operator, Notify{Order: o.Order, Template: "order-shipped"})
	must(t, err)
	equal(t, got.Notifications[0].Status, notification.StatusSuppressed)
	equal(t, len(w.mails(t)), 0)
	_, err = s.Notify(t.Context(), operator, Notify{Order: o.Order, Template: "love-letter"})
	refusal(t, err, errTemplate)
}
