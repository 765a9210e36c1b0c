package payment

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"time"

	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/money"
	"github.com/annalhq/annal/internal/providers/simulator"
)

// The tokens that the simulator knows; every other one is declined. Each stands for a card with a habit.
const (
	TokenOK                = "tok_ok"
	TokenDeclined          = "tok_declined"            // declined
	TokenInsufficient      = "tok_insufficient"        // declined for want of money
	TokenTimeout           = "tok_timeout"             // never answers, and nothing is held
	TokenSlow              = "tok_slow"                // held after two seconds
	TokenErrorAfterSuccess = "tok_error_after_success" // held, but the answer is lost
	TokenCaptureDeclined   = "tok_capture_declined"    // held, but can't be taken
	TokenCaptureLost       = "tok_capture_lost"        // taken, but the answer is lost
	TokenRefundDeclined    = "tok_refund_declined"     // taken, but can't be given back
)

// The operations, for the simulator's faults.
const (
	OpOpen      = "open"
	OpAuthorise = "authorise"
	OpCapture   = "capture"
	OpGet       = "get"
	OpCancel    = "cancel"
	OpRefund    = "refund"
)

// Entry is a line of the simulator's ledger.
type Entry struct {
	At     time.Time    `json:"at"`
	Op     string       `json:"op"` // what happened: an operation, or "decline"
	Ref    string       `json:"ref"`
	Key    string       `json:"key,omitzero"` // of the payment or the refund
	Token  string       `json:"token,omitzero"`
	Amount money.Amount `json:"amount,omitzero"`
	Code   string       `json:"code,omitzero"`
	Reason string       `json:"reason,omitzero"`
}

const opDecline = "decline"

// Booked is a payment as the simulator's books have it. Authorisations and captures are counted, since each must be one at most.
type Booked struct {
	Ref            string
	Key            string
	Token          string
	Status         Status
	Authorisations int
	Captures       int
}

// Simulator is a payment provider with books of its own. Safe for concurrent use, also by several processes on one file.
type Simulator struct {
	Faults simulator.Faults // by operation

	book      *simulator.Book[Entry]
	now       func() time.Time
	forgetful bool
	refs      map[string]*Booked // guarded by book
}

// SimulatorConfig tunes a Simulator.
type SimulatorConfig struct {
	Path string           // of the ledger's file; "" for memory
	Now  func() time.Time // default time.Now

	// Forgetful makes it forget the keys of refunds, as providers do after some time: the same refund again is another one.
	Forgetful bool
}

// ErrAmountRefused answers an amount that can't be paid.
var ErrAmountRefused = fault.New(fault.Invalid, "AMOUNT_REFUSED", "the payment provider takes amounts from zero up in a currency that it knows")

// NewSimulator opens the simulator's books. Fault: simulator.ErrBook.
func NewSimulator(cfg SimulatorConfig) (*Simulator, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Simulator{now: cfg.Now, forgetful: cfg.Forgetful, refs: map[string]*Booked{}}
	book, err := simulator.OpenBook(cfg.Path, s.apply)
	if err != nil {
		return nil, err
	}
	s.book = book
	return s, nil
}

// Close closes the books.
func (s *Simulator) Close() error { return s.book.Close() }

// Open implements Port. The reference follows from the key.
func (s *Simulator) Open(ctx context.Context, key string, amount money.Amount, token string) (string, error) {
	if key == "" || amount.Minor < 0 || !amount.Currency.Known() {
		return "", ErrAmountRefused
	}
	sum := sha256.Sum256([]byte(key))
	ref := "sim_" + hex.EncodeToString(sum[:12])
	return simulator.Play(ctx, s.Faults.Next(OpOpen), ErrUnknown, func(decline bool) (string, error) {
		if decline {
			return "", ErrAmountRefused
		}
		return ref, s.book.Update(func() []Entry {
			if s.refs[ref] != nil {
				return nil
			}
			return []Entry{s.entry(OpOpen, ref, Entry{Key: key, Token: token, Amount: amount})}
		})
	})
}

// Authorise implements Port.
func (s *Simulator) Authorise(ctx context.Context, ref string) (Outcome, error) {
	return s.play(ctx, OpAuthorise, ref, func(b *Booked, decline bool) (Outcome, []Entry) {
		switch b.Status.State {
		case Authorised, Captured:
			return Accepted(), nil
		case Declined:
			return Refused(b.Status.Code, b.Status.Reason), nil
		case Cancelled:
			return cancelled(), nil
		}
		refusal, refused := verdict(b.Token)
		if decline {
			refusal, refused = Refused("card_declined", "the card was declined"), true
		}
		if refused {
			return refusal, []Entry{s.entry(opDecline, ref, Entry{Code: refusal.Code, Reason: refusal.Reason})}
		}
		return Accepted(), []Entry{s.entry(OpAuthorise, ref, Entry{Amount: b.Status.Amount})}
	})
}

// Capture implements Port.
func (s *Simulator) Capture(ctx context.Context, ref string) (Outcome, error) {
	return s.play(ctx, OpCapture, ref, func(b *Booked, decline bool) (Outcome, []Entry) {
		switch {
		case b.Status.State == Captured:
			return Accepted(), nil
		case b.Status.State == Cancelled:
			return cancelled(), nil
		case b.Status.State != Authorised:
			return Refused(CodeNotAuthorised, "nothing is held that could be taken"), nil
		case decline || b.Token == TokenCaptureDeclined:
			return Refused("capture_declined", "the amount could not be taken"), nil
		}
		return Accepted(), []Entry{s.entry(OpCapture, ref, Entry{Amount: b.Status.Amount})}
	})
}

// Get implements Port.
func (s *Simulator) Get(ctx context.Context, ref string) (Status, error) {
	return simulator.Play(ctx, s.Faults.Next(OpGet), ErrUnknown, func(bool) (st Status, err error) {
		found := false
		err = s.book.Update(func() []Entry {
			if b := s.refs[ref]; b != nil {
				st, found = b.Status, true
			}
			return nil
		})
		if err == nil && !found {
			err = ErrNotFound
		}
		return st, err
	})
}

// Cancel implements Port.
func (s *Simulator) Cancel(ctx context.Context, ref string) (Outcome, error) {
	return s.play(ctx, OpCancel, ref, func(b *Booked, _ bool) (Outcome, []Entry) {
		switch b.Status.State {
		case Captured:
			return Refused(CodeCaptured, "the amount was taken already; it has to be refunded"), nil
		case Cancelled:
			return Accepted(), nil
		}
		return Accepted(), []Entry{s.entry(OpCancel, ref, Entry{})}
	})
}

// Refund implements Port.
func (s *Simulator) Refund(ctx context.Context, ref, key string, amount money.Amount) (Outcome, error) {
	return s.play(ctx, OpRefund, ref, func(b *Booked, decline bool) (Outcome, []Entry) {
		given, again := b.Status.Refunds[key]
		again = again && !s.forgetful
		left := b.Status.Captured.Minor
		for _, r := range b.Status.Refunds {
			left -= r.Minor
		}
		switch {
		case again && given == amount:
			return Accepted(), nil
		case again:
			return Refused("key_reused", "there is a refund of another amount under this key"), nil
		case b.Status.State != Captured:
			return Refused("not_captured", "nothing was taken that could be given back"), nil
		case decline || b.Token == TokenRefundDeclined:
			return Refused("refund_declined", "the amount could not be given back"), nil
		case amount.Minor < 0 || amount.Currency != b.Status.Amount.Currency || amount.Minor > left:
			return Refused("exceeds_captured", "more would be given back than was taken"), nil
		}
		return Accepted(), []Entry{s.entry(OpRefund, ref, Entry{Key: key, Amount: amount})}
	})
}

// Payments returns the books, by key: what there is to compare with our events. Fault: simulator.ErrBook.
func (s *Simulator) Payments() ([]Booked, error) {
	var all []Booked
	err := s.book.Update(func() []Entry {
		for _, b := range s.refs {
			all = append(all, *b)
		}
		return nil
	})
	slices.SortFunc(all, func(a, b Booked) int { return cmp.Compare(a.Key, b.Key) })
	return all, err
}

// play runs one operation on one payment, with the fault that hits it or that its token stands for.
func (s *Simulator) play(ctx context.Context, op, ref string, decide func(b *Booked, decline bool) (Outcome, []Entry)) (Outcome, error) {
	x := s.Faults.Next(op)
	if x == (simulator.Fault{}) {
		habit, err := s.habit(op, ref)
		if err != nil {
			return Outcome{}, err
		}
		x = habit
	}
	return simulator.Play(ctx, x, ErrUnknown, func(decline bool) (out Outcome, err error) {
		known := false
		err = s.book.Update(func() (entries []Entry) {
			if b := s.refs[ref]; b != nil {
				known = true
				out, entries = decide(b, decline)
			}
			return entries
		})
		if err == nil && !known {
			err = ErrNotFound
		}
		return out, err
	})
}

// habit returns what the payment's token does to an operation that was not done yet.
func (s *Simulator) habit(op, ref string) (x simulator.Fault, err error) {
	err = s.book.Update(func() []Entry {
		b := s.refs[ref]
		switch {
		case b == nil:
		case op == OpAuthorise && b.Status.State == Open && b.Token == TokenTimeout:
			x.Mode = simulator.Timeout
		case op == OpAuthorise && b.Status.State == Open && b.Token == TokenErrorAfterSuccess:
			x.Mode = simulator.ErrorAfterSuccess
		case op == OpAuthorise && b.Status.State == Open && b.Token == TokenSlow:
			x = simulator.Fault{Mode: simulator.Slow, Delay: 2 * time.Second}
		case op == OpCapture && b.Status.State == Authorised && b.Token == TokenCaptureLost:
			x.Mode = simulator.ErrorAfterSuccess
		}
		return nil
	})
	return x, err
}

// verdict says whether the token's card is declined.
func verdict(token string) (Outcome, bool) {
	switch token {
	case TokenOK, TokenTimeout, TokenSlow, TokenErrorAfterSuccess, TokenCaptureDeclined, TokenCaptureLost, TokenRefundDeclined:
		return Outcome{}, false
	case TokenDeclined:
		return Refused("card_declined", "the card was declined"), true
	case TokenInsufficient:
		return Refused("insufficient_funds", "the card has insufficient funds"), true
	}
	return Refused("unknown_token", "the provider does not know this payment method"), true
}

func cancelled() Outcome { return Refused(CodeCancelled, "the payment was cancelled") }

func (s *Simulator) entry(op, ref string, e Entry) Entry {
	e.At, e.Op, e.Ref = s.now().UTC(), op, ref
	return e
}

// apply folds one entry. REQUIRES: the book's lock.
func (s *Simulator) apply(e Entry) {
	b := s.refs[e.Ref]
	if b == nil {
		b = &Booked{Ref: e.Ref}
		s.refs[e.Ref] = b
	}
	switch e.Op {
	case OpOpen:
		b.Key, b.Token, b.Status = e.Key, e.Token, Status{State: Open, Amount: e.Amount, Captured: money.Of(0, e.Amount.Currency)}
	case opDecline:
		b.Status.State, b.Status.Code, b.Status.Reason = Declined, e.Code, e.Reason
	case OpAuthorise:
		b.Status.State = Authorised
		b.Authorisations++
	case OpCapture:
		b.Status.State, b.Status.Captured = Captured, e.Amount
		b.Captures++
	case OpCancel:
		b.Status.State = Cancelled
	case OpRefund:
		b.Status.Refunds = maps.Clone(b.Status.Refunds) // handed out by Get
		if b.Status.Refunds == nil {
			b.Status.Refunds = map[string]money.Amount{}
		}
		b.Status.Refunds[e.Key] = money.Of(b.Status.Refunds[e.Key].Minor+e.Amount.Minor, e.Amount.Currency)
	}
}
