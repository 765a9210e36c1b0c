package fulfilment

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A world is the four services as a saga meets them: each remembers what it did, refuses for good, and keeps tombstones. Its
// books are what the invariants are about.
type world struct {
	stock, money, parcel string // "", held, gone | held, taken, back, refused | booked, left, cancelled, refused
	order                string // placed, confirmed, shipped, delivered, cancelled
	asked                bool   // the order's cancellation was requested
	refuse               map[Step]bool
	told                 map[Step]int
	undone               []string // effects that were taken back, in order
	took                 []string // effects in the order in which they happened
}

func (w *world) effect(what string) { w.took = append(w.took, what) }
func (w *world) undo(what string)   { w.undone = append(w.undone, what) }

// do carries a command out; carried out again it answers the same and changes nothing.
func (w *world) do(step Step) Answer {
	code := ""
	switch step {
	case Reserve:
		switch {
		case w.stock == "" && w.refuse[step]:
			w.stock, code = "barred", "OUT_OF_STOCK"
		case w.stock == "":
			w.stock = "held"
			w.effect("stock")
		case w.stock == "barred":
			code = "OUT_OF_STOCK"
		}
	case Authorise:
		switch {
		case w.money == "" && w.refuse[step]:
			w.money, code = "refused", "PAYMENT_DECLINED"
		case w.money == "":
			w.money = "held"
			w.effect("money")
		case w.money == "refused" || w.money == "barred":
			code = "PAYMENT_DECLINED"
		}
	case Capture:
		switch {
		case w.money == "held" && w.refuse[step]:
			w.money, code = "refused", "PAYMENT_FAILED"
		case w.money == "held":
			w.money = "taken"
		case w.money != "taken":
			code = "PAYMENT_VOIDED"
		}
	case Schedule:
		switch {
		case w.parcel == "" && w.refuse[step]:
			w.parcel, code = "refused", "SHIPMENT_REFUSED"
		case w.parcel == "":
			w.parcel = "booked"
			w.effect("parcel")
		case w.parcel == "refused" || w.parcel == "barred":
			code = "SHIPMENT_CANCELLED"
		}
	case Confirm:
		switch {
		case w.order == "cancelled":
			code = "ORDER_CANCELLED"
		case w.order == "placed" && w.asked:
			code = askedToCancel
		case w.order == "placed":
			w.order = "confirmed"
		}
	case Dispatch:
		switch {
		case w.parcel == "booked" && w.refuse[step]:
			w.parcel, code = "refused", "SHIPMENT_REFUSED"
		case w.parcel == "booked":
			w.parcel = "left"
		case w.parcel != "left":
			code = "SHIPMENT_CANCELLED"
		}
	case Ship:
		if w.stock == "held" {
			w.stock = "gone"
		}
		if w.stock != "gone" {
			code = "NOT_RESERVED"
		}
	case MarkShipped:
		if w.order == "confirmed" {
			w.order = "shipped"
		}
		if w.order != "shipped" && w.order != "delivered" {
			code = "ORDER_NOT_CONFIRMED"
		}
	case Deliver:
	case MarkDelivered:
		w.order = "delivered"
	case CancelShipment:
		switch w.parcel {
		case "left":
			code = "SHIPMENT_DISPATCHED"
		case "booked":
			w.parcel = "barred"
			w.undo("parcel")
		case "":
			w.parcel = "barred"
		}
	case Void:
		switch w.money {
		case "held", "taken":
			w.money = "barred"
			w.undo("money")
		case "":
			w.money = "barred"
		}
	case Release:
		switch w.stock {
		case "held":
			w.stock = "barred"
			w.undo("stock")
		case "":
			w.stock = "barred"
		}
	case CancelOrder:
		if w.order == "shipped" || w.order == "delivered" {
			code = "ORDER_ALREADY_SHIPPED"
		} else {
			w.order = "cancelled"
		}
	default:
		w.told[step]++
		if w.refuse[step] {
			code = "MAIL_REFUSED"
		}
	}
	return Answer{Step: step, OK: code == "", Code: code, Reason: code}
}

// Whatever is refused, lost, doubled, late or out of order, and whenever somebody asks to cancel or time runs out: every saga
// ends, and when it does the services' books are square (invariants 22 to 26, 29, 31, 32).
func TestEverySagaEndsWithSquareBooks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{order: "placed", refuse: map[Step]bool{}, told: map[Step]int{}}
		for _, step := range []Step{Reserve, Authorise, Schedule, Capture, Dispatch, NotifyConfirmed, NotifyCancelled} {
			w.refuse[step] = rapid.IntRange(0, 7).Draw(t, "refuse "+string(step)) == 0
		}
		channel := rapid.SampledFrom([]string{"web", "import"}).Draw(t, "channel")
		var s State
		var commands []Step  // on their way to the services; also those that were carried out and come again
		var answers []Answer // on their way back
		move := func(events []Event) {
			was := s.Ended()
			for _, e := range events {
				s = Evolve(s, e)
			}
			if was && len(events) > 0 {
				t.Fatalf("an ended saga moved: %v", events)
			}
			for _, c := range Outstanding(s) {
				if len(events) > 0 {
					commands = append(commands, c.Step)
				}
			}
		}
		move(Start(s, placed(channel)))
		pick := func(n int, what string) int { return rapid.IntRange(0, n-1).Draw(t, what) }
		carryOut := func() {
			if len(commands) == 0 {
				return
			}
			i := pick(len(commands), "command")
			answers = append(answers, w.do(commands[i]))
			if rapid.Bool().Draw(t, "once") {
				commands = slices.Delete(commands, i, i+1)
			}
		}
		answer := func() {
			if len(answers) == 0 {
				return
			}
			i := pick(len(answers), "answer")
			move(OnAnswer(s, answers[i]))
			if rapid.Bool().Draw(t, "once") {
				answers = slices.Delete(answers, i, i+1)
			}
		}
		for range rapid.IntRange(0, 120).Draw(t, "happenings") {
			switch rapid.IntRange(0, 19).Draw(t, "what") {
			case 0:
				if w.order == "placed" || w.order == "confirmed" {
					w.asked = true
					move(OnCancelRequested(s, "asked"))
				}
			case 1:
				move(OnDue(s, deadline.Add(time.Hour)))
			case 2:
				commands = nil // the broker is wiped
			case 3:
				answers = nil
			case 4, 5, 6, 7, 8, 9, 10:
				carryOut()
			case 11:
				for _, c := range Outstanding(s) { // a timer rings
					commands = append(commands, c.Step)
				}
			default:
				answer()
			}
		}
		for round := 0; !s.Ended(); round++ { // the faults end
			if round > 60 || s.Status == StatusStuck {
				t.Fatalf("it does not end: %+v, world %+v", s, w)
			}
			for _, c := range Outstanding(s) {
				move(OnAnswer(s, w.do(c.Step)))
			}
		}
		square(t, s, w)
		for _, step := range commands { // what is still on its way changes nothing any more
			move(OnAnswer(s, w.do(step)))
		}
		for _, a := range answers {
			move(OnAnswer(s, a))
		}
		square(t, s, w)
	})
}

func square(t *rapid.T, s State, w *world) {
	t.Helper()
	if got := fmt.Sprint(w.order, w.stock, w.money, w.parcel); s.Status == StatusCompleted {
		want := "shipped"
		if s.History() {
			want = "delivered"
		}
		if w.order != want || w.stock != "gone" || w.money != "taken" || w.parcel != "left" || len(w.undone) > 0 {
			t.Fatalf("completed with %s, undone %v", got, w.undone)
		}
	}
	if s.Status == StatusCancelled {
		if w.order != "cancelled" || w.stock == "held" || w.stock == "gone" || w.money == "held" || w.money == "taken" || w.parcel == "booked" || w.parcel == "left" {
			t.Fatalf("cancelled with order %s, stock %s, money %s, parcel %s", w.order, w.stock, w.money, w.parcel)
		}
		backwards := slices.Clone(w.took) // exactly what took effect, in reverse, except what its own refusal ended
		slices.Reverse(backwards)
		backwards = slices.DeleteFunc(backwards, func(e string) bool {
			return e == "money" && w.money == "refused" || e == "parcel" && w.parcel == "refused"
		})
		if !slices.Equal(w.undone, backwards) {
			t.Fatalf("took effect %v, undone %v", w.took, w.undone)
		}
	}
	if s.History() && len(w.told) > 0 {
		t.Fatalf("history told %v", w.told)
	}
	if w.told[NotifyConfirmed] > 0 && s.Steps[Confirm] != Succeeded {
		t.Fatal("a confirmation of a non-event")
	}
}
