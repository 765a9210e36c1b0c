package notification_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/annalhq/annal/aggregates/notification"
)

func TestAFactIsToldOnce(t *testing.T) {
	of := notification.Of{Notification: "n1", Order: "o1", Customer: "c1"}
	telling := notification.Telling{Channel: notification.Mail, Template: "order-confirmed", Language: "en"}
	requested := notification.Requested{Of: of, Channel: notification.Mail, Template: "order-confirmed", Language: "en"}
	none := notification.State{}

	events, err := notification.Request(none, of, telling)
	if diff := cmp.Diff([]notification.Event{requested}, events); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	asked := notification.Evolve(none, requested)
	if again, err := notification.Request(asked, of, telling); err != nil || again != nil {
		t.Errorf("asked again: %v, %v", again, err)
	}
	unwanted := telling
	unwanted.Suppress = "not wanted"
	events, err = notification.Request(none, of, unwanted)
	if err != nil || len(events) != 2 || events[1].Type() != notification.TypeSuppressed {
		t.Errorf("not wanted: %v, %v", events, err)
	}
	if _, err := notification.Request(none, of, notification.Telling{Channel: "drum"}); !errors.Is(err, notification.ErrUnknownChannel) {
		t.Errorf("by drum: %v", err)
	}
	for want, answer := range map[string]notification.Answer{
		notification.TypeSent: {MessageID: "m"}, notification.TypeFailed: {Code: "x"}, notification.TypeSuppressed: {Suppressed: "erased"},
	} {
		events, err := notification.Settle(asked, answer)
		if err != nil || len(events) != 1 || events[0].Type() != want {
			t.Errorf("%s: %v, %v", want, events, err)
		}
		ended := notification.Evolve(asked, events[0])
		if late, err := notification.Settle(ended, notification.Answer{MessageID: "late"}); err != nil || late != nil {
			t.Errorf("after %s: %v, %v", want, late, err)
		}
	}
	if _, err := notification.Settle(none, notification.Answer{MessageID: "m"}); err != nil {
		t.Errorf("nothing to settle: %v", err)
	}
}
