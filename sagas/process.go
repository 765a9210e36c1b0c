package sagas

import (
	"time"

	"github.com/annalhq/annal/aggregates/fulfilment"
	"github.com/annalhq/annal/aggregates/returns"
	"github.com/annalhq/annal/commands"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/fault"
)

// event is what the machines' events are.
type event interface{ Type() string }

// An issued command is one that a saga waits for.
type issued struct {
	step, service, command string
}

// An outcome is a service's answer to one step's command.
type outcome struct {
	step                        string
	ok                          bool
	code, reason                string
	payment, shipment, tracking string
}

// A process is a state of one of the machines, behind one face. Values are immutable: apply returns a new one.
type process interface {
	apply(body event) process
	outstanding() []issued
	ended() bool
	answer(outcome) []event
	cancel(reason string) []event
	due(now time.Time) []event
	redrive() ([]event, error)
	body(step string, m commands.Meta) any // the command's own struct; nil for a step that has none
	high() bool                            // its commands overtake
	at() time.Time                         // business time of history, zero for what happens now
	country() string
	channel() string
	weight() int // lines
}

var errNoProcess = fault.New(fault.Invalid, "SAGA_STREAM_UNKNOWN", "a saga's stream is fulfilment-<order id> or return-<return id>")

// begin returns the machine of the stream's category before its first event.
func begin(s eventstore.Stream) (process, error) {
	switch s.Category() {
	case eventstore.Fulfilment:
		return fulfilling{}, nil
	case eventstore.Return:
		return returning{}, nil
	}
	return nil, errNoProcess
}

type fulfilling struct{ fulfilment.State }

func (f fulfilling) apply(e event) process { return fulfilling{fulfilment.Evolve(f.State, e)} }

func (f fulfilling) outstanding() []issued {
	var all []issued
	for _, i := range fulfilment.Outstanding(f.State) {
		all = append(all, issued{string(i.Step), i.Service, i.Command})
	}
	return all
}

func (f fulfilling) answer(o outcome) []event {
	return events(fulfilment.OnAnswer(f.State, fulfilment.Answer{Step: fulfilment.Step(o.step), OK: o.ok, Code: o.code, Reason: o.reason,
		Payment: o.payment, Shipment: o.shipment, Tracking: o.tracking}))
}

func (f fulfilling) redrive() ([]event, error) {
	decided, err := fulfilment.Redrive(f.State)
	return events(decided), err
}

func (f fulfilling) at() time.Time {
	if f.History() {
		return f.Started.PlacedAt
	}
	return time.Time{}
}

func (f fulfilling) cancel(reason string) []event {
	return events(fulfilment.OnCancelRequested(f.State, reason))
}
func (f fulfilling) due(now time.Time) []event { return events(fulfilment.OnDue(f.State, now)) }
func (f fulfilling) ended() bool               { return f.Ended() }
func (f fulfilling) high() bool                { return f.Started.Priority == "vip" }
func (f fulfilling) country() string           { return f.Started.Country }
func (f fulfilling) channel() string           { return f.Started.Channel }
func (f fulfilling) weight() int               { return len(f.Started.Lines) }

type returning struct{ returns.State }

func (r returning) apply(e event) process { return returning{returns.Evolve(r.State, e)} }

func (r returning) outstanding() []issued {
	var all []issued
	for _, i := range returns.Outstanding(r.State) {
		all = append(all, issued{string(i.Step), i.Service, i.Command})
	}
	return all
}

func (r returning) answer(o outcome) []event {
	return events(returns.OnAnswer(r.State, returns.Answer{Step: returns.Step(o.step), OK: o.ok, Code: o.code, Reason: o.reason}))
}

func (r returning) redrive() ([]event, error) {
	decided, err := returns.Redrive(r.State)
	return events(decided), err
}

func (r returning) at() time.Time {
	if r.History() {
		return r.Started.ReturnedAt
	}
	return time.Time{}
}

func (r returning) cancel(string) []event { return nil }
func (r returning) due(time.Time) []event { return nil }
func (r returning) ended() bool           { return r.Ended() }
func (r returning) high() bool            { return false }
func (r returning) country() string       { return r.Started.Country }
func (r returning) channel() string       { return r.Started.Channel }
func (r returning) weight() int           { return len(r.Started.Lines) }

func events[E event](decided []E) []event {
	all := make([]event, 0, len(decided))
	for _, e := range decided {
		all = append(all, e)
	}
	return all
}
