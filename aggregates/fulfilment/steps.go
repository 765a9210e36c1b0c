package fulfilment

import "slices"

// Step names what the saga does. It is part of the stored events and of the commands' ids: never renamed.
type Step string

// The steps of the trip, and those that undo.
const (
	Reserve         Step = "reserve"
	Authorise       Step = "authorise"
	Schedule        Step = "schedule"
	Capture         Step = "capture"
	Confirm         Step = "confirm"
	NotifyConfirmed Step = "notify-confirmed"
	Dispatch        Step = "dispatch"
	Ship            Step = "ship"
	MarkShipped     Step = "mark-shipped"
	NotifyShipped   Step = "notify-shipped"
	Deliver         Step = "deliver"
	MarkDelivered   Step = "mark-delivered"

	CancelShipment  Step = "cancel-shipment"
	Void            Step = "void"
	Release         Step = "release"
	CancelOrder     Step = "cancel-order"
	NotifyCancelled Step = "notify-cancelled"
)

// commands says who carries out each step, in the order of the trip.
var commands = [...]Issued{
	{Reserve, "inventory", "ReserveLines"},
	{Authorise, "payment", "AuthorisePayment"},
	{Schedule, "shipment", "ScheduleShipment"},
	{Capture, "payment", "CapturePayment"},
	{Confirm, "order", "ConfirmOrder"},
	{NotifyConfirmed, "notification", "Notify"},
	{Dispatch, "shipment", "DispatchShipment"},
	{Ship, "inventory", "ShipLines"},
	{MarkShipped, "order", "MarkShipped"},
	{NotifyShipped, "notification", "Notify"},
	{Deliver, "shipment", "DeliverShipment"},
	{MarkDelivered, "order", "MarkDelivered"},

	{CancelShipment, "shipment", "CancelShipment"},
	{Void, "payment", "VoidPayment"},
	{Release, "inventory", "ReleaseLines"},
	{CancelOrder, "order", "CancelOrder"},
	{NotifyCancelled, "notification", "Notify"},
}

func issue(steps ...Step) []Issued {
	var issued []Issued
	for _, c := range commands {
		if slices.Contains(steps, c.Step) {
			issued = append(issued, c)
		}
	}
	return issued
}

// forward reports whether the step belongs to the part of the trip that can be undone.
func (step Step) forward() bool {
	return slices.Contains([]Step{Reserve, Authorise, Schedule, Capture, Confirm, Dispatch}, step)
}

func (step Step) notifies() bool {
	return step == NotifyConfirmed || step == NotifyShipped || step == NotifyCancelled
}

// next returns the steps that follow one that succeeded on the way forward. History is delivered and notifies
// nobody.
func (s State) next(done Step) []Step {
	switch done {
	case Reserve:
		return []Step{Authorise}
	case Authorise:
		return []Step{Schedule}
	case Schedule:
		return []Step{Capture}
	case Capture:
		return []Step{Confirm}
	case Confirm:
		return s.telling(NotifyConfirmed, Dispatch)
	case Dispatch:
		return []Step{Ship}
	case Ship:
		return []Step{MarkShipped}
	case MarkShipped:
		if s.History() {
			return []Step{Deliver}
		}
		return []Step{NotifyShipped}
	case Deliver:
		return []Step{MarkDelivered}
	}
	return nil
}

// undo returns the next step of the way back, "" when everything is undone.
func (s State) undo() Step {
	switch {
	case s.begun(Schedule) && !s.begun(CancelShipment):
		return CancelShipment
	case s.begun(Authorise) && !s.begun(Void): // refunds what was captured
		return Void
	case s.begun(Reserve) && !s.begun(Release):
		return Release
	case !s.begun(CancelOrder):
		return CancelOrder
	case !s.History() && !s.touched(NotifyCancelled):
		return NotifyCancelled
	}
	return ""
}

func (s State) touched(step Step) bool {
	_, ok := s.Steps[step]
	return ok
}

// telling returns the steps, without the notification for history.
func (s State) telling(notify Step, rest ...Step) []Step {
	if s.History() {
		return rest
	}
	return append([]Step{notify}, rest...)
}
