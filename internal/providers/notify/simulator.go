package notify

import (
	"context"
	"time"

	"github.com/annalhq/annal/internal/providers/simulator"
)

// OpSend is the operation, for the simulator's faults.
const OpSend = "send"

// Entry is a line of the simulator's ledger. It holds no address and no text.
type Entry struct {
	At       time.Time `json:"at"`
	ID       string    `json:"id"`
	Language string    `json:"language,omitzero"`
	Length   int       `json:"length"` // of the text, in bytes
}

// Simulator is a provider of SMS or push messages with books of its own. Safe for concurrent use, also by several
// processes on one file.
type Simulator struct {
	Faults simulator.Faults // of OpSend

	book *simulator.Book[Entry]
	now  func() time.Time
	sent map[string]int // how often each message was taken, by id; guarded by book
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
	s := &Simulator{now: cfg.Now, sent: map[string]int{}}
	book, err := simulator.OpenBook(cfg.Path, func(e Entry) { s.sent[e.ID]++ })
	if err != nil {
		return nil, err
	}
	s.book = book
	return s, nil
}

// Close closes the books.
func (s *Simulator) Close() error { return s.book.Close() }

// Send implements Port.
func (s *Simulator) Send(ctx context.Context, m Message) error {
	if m.To == "" {
		return ErrRefused
	}
	_, err := simulator.Play(ctx, s.Faults.Next(OpSend), ErrUnavailable, func(decline bool) (struct{}, error) {
		if decline {
			return struct{}{}, ErrRefused
		}
		return struct{}{}, s.book.Update(func() []Entry {
			return []Entry{{At: s.now().UTC(), ID: m.ID, Language: m.Language, Length: len(m.Text)}}
		})
	})
	return err
}

// Sent returns how often each message was taken, by id. Fault: simulator.ErrBook.
func (s *Simulator) Sent() (map[string]int, error) {
	counts := map[string]int{}
	err := s.book.Update(func() []Entry {
		for id, n := range s.sent {
			counts[id] = n
		}
		return nil
	})
	return counts, err
}
