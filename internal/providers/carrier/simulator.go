package carrier

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/annalhq/annal/internal/providers/simulator"
)

// NoCountry is the country that the simulated carrier does not go to.
const NoCountry = "AQ"

// The operations, for the simulator's faults.
const (
	OpBook     = "book"
	OpCancel   = "cancel"
	OpDispatch = "dispatch"
	OpGet      = "get"
)

// Entry is a line of the simulator's ledger. It holds no name and no address.
type Entry struct {
	At      time.Time `json:"at"`
	Op      string    `json:"op"` // what happened: an operation, or "decline"
	Key     string    `json:"key"`
	Ref     string    `json:"ref,omitzero"` // the reference, or the tracking number
	Country string    `json:"country,omitzero"`
	Pieces  int64     `json:"pieces,omitzero"`
	Code    string    `json:"code,omitzero"`
	Reason  string    `json:"reason,omitzero"`
}

const opDecline = "decline"

// Booking is a booking as the simulator's books have it. Bookings are counted, since there must be one at most.
type Booking struct {
	Key      string
	Country  string
	Pieces   int64
	Status   Status
	Bookings int
}

// Simulator is a carrier with books of its own. Safe for concurrent use, also by several processes on one file.
type Simulator struct {
	Faults simulator.Faults // by operation

	book *simulator.Book[Entry]
	now  func() time.Time
	keys map[string]*Booking // guarded by book
}

// SimulatorConfig tunes a Simulator.
type SimulatorConfig struct {
	Path string           // of the ledger's file; "" for memory
	Now  func() time.Time // default time.Now
}

// NewSimulator opens the simulator's books. Fault: simulator.ErrBook.
func NewSimulator(cfg SimulatorConfig) (*Simulator, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Simulator{now: cfg.Now, keys: map[string]*Booking{}}
	book, err := simulator.OpenBook(cfg.Path, s.apply)
	if err != nil {
		return nil, err
	}
	s.book = book
	return s, nil
}

// Close closes the books.
func (s *Simulator) Close() error { return s.book.Close() }

// Book implements Port.
func (s *Simulator) Book(ctx context.Context, p Parcel) (Outcome, error) {
	return s.play(ctx, OpBook, p.Key, func(b Booking, decline bool) (Outcome, []Entry) {
		switch b.Status.State {
		case Booked, Dispatched:
			return Outcome{Accepted: true, Ref: b.Status.Ref, Tracking: b.Status.Tracking}, nil
		case Cancelled:
			return Refused(CodeCancelled, "the booking was cancelled"), nil
		case Declined:
			return Refused(b.Status.Code, b.Status.Reason), nil
		}
		if decline || p.Country == NoCountry {
			refusal := Refused("not_served", "the carrier does not go there")
			return refusal, []Entry{s.entry(opDecline, p.Key, Entry{Code: refusal.Code, Reason: refusal.Reason})}
		}
		ref := number("bk_", p.Key)
		return Outcome{Accepted: true, Ref: ref}, []Entry{s.entry(OpBook, p.Key, Entry{Ref: ref, Country: p.Country, Pieces: p.Pieces})}
	})
}

// Cancel implements Port.
func (s *Simulator) Cancel(ctx context.Context, key string) (Outcome, error) {
	return s.play(ctx, OpCancel, key, func(b Booking, _ bool) (Outcome, []Entry) {
		switch b.Status.State {
		case Dispatched:
			return Outcome{Code: CodeDispatched, Reason: "the parcel has left", Ref: b.Status.Ref, Tracking: b.Status.Tracking}, nil
		case Cancelled:
			return Outcome{Accepted: true, Ref: b.Status.Ref}, nil
		}
		return Outcome{Accepted: true, Ref: b.Status.Ref}, []Entry{s.entry(OpCancel, key, Entry{})}
	})
}

// Dispatch implements Port.
func (s *Simulator) Dispatch(ctx context.Context, key string) (Outcome, error) {
	return s.play(ctx, OpDispatch, key, func(b Booking, _ bool) (Outcome, []Entry) {
		switch b.Status.State {
		case Dispatched:
			return Outcome{Accepted: true, Ref: b.Status.Ref, Tracking: b.Status.Tracking}, nil
		case Cancelled:
			return Refused(CodeCancelled, "the booking was cancelled"), nil
		case Booked:
			tracking := strings.ToUpper(number("AN", key))
			return Outcome{Accepted: true, Ref: b.Status.Ref, Tracking: tracking}, []Entry{s.entry(OpDispatch, key, Entry{Ref: tracking})}
		}
		return Refused(CodeNotBooked, "there is no booking"), nil
	})
}

// Get implements Port.
func (s *Simulator) Get(ctx context.Context, key string) (Status, error) {
	return simulator.Play(ctx, s.Faults.Next(OpGet), ErrUnknown, func(bool) (st Status, err error) {
		err = s.book.Update(func() []Entry {
			if b := s.keys[key]; b != nil {
				st = b.Status
			}
			return nil
		})
		return st, err
	})
}

// Bookings returns the books, by key: what there is to compare with our events. Fault: simulator.ErrBook.
func (s *Simulator) Bookings() ([]Booking, error) {
	var all []Booking
	err := s.book.Update(func() []Entry {
		for _, b := range s.keys {
			all = append(all, *b)
		}
		return nil
	})
	slices.SortFunc(all, func(a, b Booking) int { return cmp.Compare(a.Key, b.Key) })
	return all, err
}

func (s *Simulator) play(ctx context.Context, op, key string, decide func(b Booking, decline bool) (Outcome, []Entry)) (Outcome, error) {
	return simulator.Play(ctx, s.Faults.Next(op), ErrUnknown, func(decline bool) (out Outcome, err error) {
		err = s.book.Update(func() (entries []Entry) {
			var b Booking
			if known := s.keys[key]; known != nil {
				b = *known
			}
			out, entries = decide(b, decline)
			return entries
		})
		return out, err
	})
}

func (s *Simulator) entry(op, key string, e Entry) Entry {
	e.At, e.Op, e.Key = s.now().UTC(), op, key
	return e
}

// apply folds one entry. REQUIRES: the book's lock.
func (s *Simulator) apply(e Entry) {
	b := s.keys[e.Key]
	if b == nil {
		b = &Booking{Key: e.Key}
		s.keys[e.Key] = b
	}
	switch e.Op {
	case OpBook:
		b.Country, b.Pieces, b.Status.State, b.Status.Ref = e.Country, e.Pieces, Booked, e.Ref
		b.Bookings++
	case opDecline:
		b.Status.State, b.Status.Code, b.Status.Reason = Declined, e.Code, e.Reason
	case OpCancel:
		b.Status.State = Cancelled
	case OpDispatch:
		b.Status.State, b.Status.Tracking = Dispatched, e.Ref
	}
}

func number(prefix, key string) string {
	sum := sha256.Sum256([]byte(prefix + key))
	return prefix + hex.EncodeToString(sum[:6])
}
