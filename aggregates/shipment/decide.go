package shipment

import (
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/pii"
)

// The refusals of a shipment.
var (
	ErrNotFound     = fault.New(fault.Missing, "SHIPMENT_NOT_FOUND", "there is no such shipment")
	ErrEmpty        = fault.New(fault.Invalid, "SHIPMENT_WITHOUT_LINES", "a shipment needs at least one line")
	ErrRefused      = fault.New(fault.Conflict, "SHIPMENT_REFUSED", "the carrier does not carry this parcel")
	ErrCancelled    = fault.New(fault.Conflict, "SHIPMENT_CANCELLED", "the shipment was cancelled")
	ErrNotScheduled = fault.New(fault.Conflict, "SHIPMENT_NOT_SCHEDULED", "the carrier has not taken the booking yet")
	ErrDispatched   = fault.New(fault.Conflict, "SHIPMENT_DISPATCHED", "the parcel has left already")
	ErrNotLeft      = fault.New(fault.Conflict, "SHIPMENT_NOT_DISPATCHED", "the parcel has not left yet")
)

// Answer is what the carrier said: yes, with its reference or tracking number, or no and why.
type Answer struct {
	Accepted bool
	Ref      string
	Tracking string
	Code     string
	Reason   string
}

// Parcel is what is to be carried.
type Parcel struct {
	Carrier string
	Country string
	Name    pii.Sealed
	Address pii.Sealed
	Lines   []Line
}

// Request records the intent to book. Asking again changes nothing. Faults: ErrEmpty, ErrCancelled for the tombstone.
func Request(s State, of Of, p Parcel) ([]Event, error) {
	switch {
	case s.Status == StatusCancelled || s.Status == StatusCancelling:
		return nil, ErrCancelled
	case s.Status != None:
		return nil, nil
	case len(p.Lines) == 0:
		return nil, ErrEmpty.At("lines")
	}
	return []Event{Requested{Of: of, Carrier: p.Carrier, Country: p.Country, Name: p.Name, Address: p.Address, Lines: p.Lines}}, nil
}

// SettleBooking records the carrier's answer, if nothing else was decided meanwhile.
func SettleBooking(s State, a Answer) ([]Event, error) {
	switch {
	case s.Status != StatusRequested:
		return nil, nil
	case a.Accepted:
		return []Event{Scheduled{Of: s.Of, Carrier: s.Carrier, Ref: a.Ref}}, nil
	}
	return []Event{Refused{Of: s.Of, Code: a.Code, Reason: a.Reason}}, nil
}

// RequestCancel records the intent to cancel: the tombstone if it was never requested, nothing if it is over.
// Fault: ErrDispatched.
func RequestCancel(s State, of Of, reason string) ([]Event, error) {
	switch s.Status {
	case None:
		return []Event{Cancelled{Of: of, Reason: reason}}, nil
	case StatusRequested, StatusScheduled:
		return []Event{CancelRequested{Of: s.Of, Reason: reason}}, nil
	case StatusDispatched, StatusDelivered:
		return nil, ErrDispatched
	}
	return nil, nil
}

// SettleCancel records that the carrier cancelled, or that the parcel had left before: then it is dispatched after all.
func SettleCancel(s State, a Answer) ([]Event, error) {
	switch {
	case s.Status != StatusCancelling:
		return nil, nil
	case a.Accepted:
		return []Event{Cancelled{Of: s.Of, Reason: s.Reason}}, nil
	}
	return []Event{Dispatched{Of: s.Of, Tracking: a.Tracking}}, nil
}

// Dispatch records that the carrier has the parcel, also if it was being cancelled meanwhile. Faults: ErrNotFound, ErrNotScheduled, ErrRefused, ErrCancelled.
func Dispatch(s State, tracking string) ([]Event, error) {
	switch s.Status {
	case StatusScheduled, StatusCancelling:
		return []Event{Dispatched{Of: s.Of, Tracking: tracking}}, nil
	case StatusDispatched, StatusDelivered:
		return nil, nil
	case StatusRequested:
		return nil, ErrNotScheduled
	}
	return nil, s.Refusal()
}

// Deliver records that the parcel arrived. Faults: ErrNotFound, ErrNotLeft, ErrRefused, ErrCancelled.
func Deliver(s State) ([]Event, error) {
	switch s.Status {
	case StatusDispatched:
		return []Event{Delivered{Of: s.Of}}, nil
	case StatusDelivered:
		return nil, nil
	case StatusRequested, StatusScheduled:
		return nil, ErrNotLeft
	}
	return nil, s.Refusal()
}

// Refusal returns why a shipment that is over, or never began, does not go on; nil if it does.
func (s State) Refusal() error {
	switch s.Status {
	case None:
		return ErrNotFound
	case StatusRefused:
		if s.Reason == "" {
			return ErrRefused
		}
		return ErrRefused.Because("%s: %s", ErrRefused.Message, s.Reason)
	case StatusCancelling, StatusCancelled:
		return ErrCancelled
	}
	return nil
}
