package sagas

import (
	"slices"
	"strings"
	"time"

	"github.com/annalhq/annal/aggregates"
	"github.com/annalhq/annal/aggregates/cart"
	"github.com/annalhq/annal/aggregates/fulfilment"
	"github.com/annalhq/annal/aggregates/order"
	"github.com/annalhq/annal/aggregates/returns"
	"github.com/annalhq/annal/eventstore"
)

// The kinds of rows. A checkout is a cart that was checked out and whose order is not seen yet: most often whoever checks out
// places the order in the next moment, and the row's timer never rings.
const (
	kindFulfilment = "fulfilment"
	kindReturn     = "return"
	kindCheckout   = "checkout"
)

// Statuses of rows; those of the machines are their own.
const (
	statusRunning      = "running"
	statusCompensating = "compensating"
	statusStuck        = "stuck"
	statusCompleted    = "completed"
	statusCancelled    = "cancelled"
)

// row is one saga in the index.
type row struct {
	Stream   string     `db:"stream"`
	Kind     string     `db:"kind"`
	OrderID  string     `db:"orderid"`
	Status   string     `db:"status"`
	Open     string     `db:"open"` // steps, with commas
	Code     string     `db:"code"`
	Reason   string     `db:"reason"`
	Deadline *time.Time `db:"deadline"`
	Due      *time.Time `db:"due"`
	Attempts int32      `db:"attempts"`
	Started  time.Time  `db:"started"`
	Changed  time.Time  `db:"changed"`
	Position int64      `db:"position"`
}

// entry is an event that changes the row of a stream.
type entry struct {
	stream eventstore.Stream
	rec    eventstore.Recorded
	body   any
}

// read picks and decodes the events that change the index.
func read(recs []eventstore.Recorded) ([]entry, error) {
	var entries []entry
	for _, rec := range recs {
		category := rec.Stream.Category()
		if category != eventstore.Fulfilment && category != eventstore.Return && rec.Type != cart.TypeCheckedOut && rec.Type != order.TypePlaced {
			continue
		}
		body, err := aggregates.Decode(rec.Type, rec.Data)
		if err != nil {
			return nil, err
		}
		e := entry{stream: rec.Stream, rec: rec, body: body}
		if placed, ok := body.(order.Placed); ok {
			if placed.Cart == "" {
				continue
			}
			e.stream = eventstore.Cart.Stream(placed.Cart)
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// fold returns the row after the event. An event below the row's position changes nothing.
func (r row) fold(e entry, now time.Time, retry time.Duration) row {
	if r.Stream != "" && r.Position >= int64(e.rec.Position) { //nolint:gosec // positions fit
		return r
	}
	switch body := e.body.(type) {
	case cart.CheckedOut:
		r = begun(e, kindCheckout, body.Order)
		r.Open = placeStep
	case order.Placed:
		if r.Stream == "" {
			return r // the cart's history is older than this table; the order is there, so nothing is to be done
		}
		r.Status, r.Open = statusCompleted, ""
	case fulfilment.Started:
		r = begun(e, kindFulfilment, body.Order)
		r.Deadline = &body.Deadline
		r.Open = join("", "", stepsOf(body.Issued))
	case returns.Started:
		r = begun(e, kindReturn, body.Order)
		for _, i := range body.Issued {
			r.Open = join(r.Open, "", []string{string(i.Step)})
		}
	case fulfilment.Event:
		r = r.foldFulfilment(body)
		r = r.foldReturn(body) // one face for both; only one of them knows the event
	}
	return r.timed(e, now, retry)
}

func begun(e entry, kind, order string) row {
	return row{Stream: string(e.stream), Kind: kind, OrderID: order, Status: statusRunning, Started: e.rec.Created}
}

func (r row) foldFulfilment(e event) row {
	switch e := e.(type) {
	case fulfilment.StepSucceeded:
		r.Open = join(r.Open, string(e.Step), stepsOf(e.Issued))
		if e.Step == fulfilment.Confirm {
			r.Deadline = nil
		}
	case fulfilment.StepRefused:
		r.Open = join(r.Open, string(e.Step), stepsOf(e.Issued))
	case fulfilment.CompensationStarted:
		r.Status, r.Code, r.Reason, r.Deadline = statusCompensating, e.Code, e.Reason, nil
		for _, step := range e.Settled {
			r.Open = join(r.Open, string(step), nil)
		}
		r.Open = join(r.Open, "", stepsOf(e.Issued))
	case fulfilment.Resumed:
		r.Status, r.Code, r.Reason = statusRunning, "", ""
		r.Open = join(r.Open, "", stepsOf(e.Issued))
	case fulfilment.Stuck:
		r.Status, r.Code, r.Reason = statusStuck, e.Code, e.Reason
	case fulfilment.Redriven:
		r.Status = statusRunning // or compensating: the stream knows
		r.Open = join(r.Open, "", stepsOf(e.Issued))
	case fulfilment.Completed:
		r.Status = statusCompleted
	case fulfilment.Cancelled:
		r.Status = statusCancelled
	}
	return r
}

func (r row) foldReturn(e event) row {
	var issued []returns.Issued
	switch e := e.(type) {
	case returns.StepSucceeded:
		r.Open, issued = join(r.Open, string(e.Step), nil), e.Issued
	case returns.StepRefused:
		r.Open = join(r.Open, string(e.Step), nil)
	case returns.Stuck:
		r.Status, r.Code, r.Reason = statusStuck, e.Code, e.Reason
	case returns.Redriven:
		r.Status, issued = statusRunning, e.Issued
	case returns.Completed:
		r.Status = statusCompleted
	}
	for _, i := range issued {
		r.Open = join(r.Open, "", []string{string(i.Step)})
	}
	return r
}

// timed sets the timer after the event: to the next sending of what is open, or the deadline.
func (r row) timed(e entry, now time.Time, retry time.Duration) row {
	r.Changed, r.Position, r.Attempts, r.Due = e.rec.Created, int64(e.rec.Position), 0, nil //nolint:gosec // positions fit
	if r.Open == "" {
		return r
	}
	due := now.Add(retry)
	if r.Deadline != nil && r.Deadline.Before(due) {
		due = *r.Deadline
	}
	r.Due = &due
	return r
}

// join takes a step out of a list and puts others in.
func join(list, out string, in []string) string {
	steps := slices.DeleteFunc(strings.Split(list, ","), func(s string) bool { return s == "" || s == out || slices.Contains(in, s) })
	return strings.Join(append(steps, in...), ",")
}

func stepsOf(issued []fulfilment.Issued) []string {
	steps := make([]string, len(issued))
	for i, c := range issued {
		steps[i] = string(c.Step)
	}
	return steps
}
