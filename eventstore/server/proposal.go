package server

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"

	"github.com/annalhq/annal/eventstore/engine"
)

// Reasons to refuse a proposed message.
var (
	errTooLarge   = errors.New("the append exceeds the maximum append size")
	errProperties = errors.New("an event lacks type or content-type")
	errID         = errors.New("an event has no id, or a malformed or zero one")
	errType       = fmt.Errorf("an event's type has more than %d bytes", maxType)
	errBusy       = errors.New("Server Is Too Busy: the appends in progress hold too much memory")                                   //nolint:staticcheck // the protocol's own words
	errUnfinished = errors.New("Operation timed out: the append was not complete in time, nothing was written; send it again whole") //nolint:staticcheck // likewise
)

const (
	maxType       = 4096 // bytes of an event's type, as of a stream's name
	eventOverhead = 128  // bytes that an event costs in memory beside what it holds
)

// proposed is a proposed message of Append or BatchAppend.
type proposed interface {
	GetId() *shared.UUID
	GetMetadata() map[string]string
	GetCustomMetadata() []byte
	GetData() []byte
}

// proposal collects the events of one append within its limit. What it holds of the memory of all appends it loses when it isn't complete
// a while after its first event: otherwise a few clients that send all but the end would keep everybody else from writing.
type proposal struct {
	limit    int
	memory   *budget
	patience time.Duration // from the first event until it must be complete
	size     int           // the receiver's

	mu     sync.Mutex
	events []engine.Event
	held   int64 // of memory
	late   bool  // the patience has ended before it was whole
	whole  bool
	timer  *time.Timer
}

func (p *proposal) add(m proposed) error {
	id, ok := parseID(m.GetId())
	if !ok {
		return errID
	}
	kind, content := m.GetMetadata()["type"], m.GetMetadata()["content-type"]
	if kind == "" || content == "" {
		return errProperties
	}
	if len(kind) > maxType {
		return errType
	}
	size := len(m.GetData()) + len(m.GetCustomMetadata()) + 2*len(kind)
	if p.size+size > p.limit {
		return errTooLarge
	}
	err := p.keep(int64(size)+eventOverhead, engine.Event{
		ID: id, Type: kind, JSON: content == contentJSON, Metadata: m.GetCustomMetadata(), Data: m.GetData(),
	})
	if err == nil {
		p.size += size
	}
	return err
}

func (p *proposal) keep(cost int64, e engine.Event) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.late {
		return errUnfinished
	}
	if !p.memory.take(cost) {
		return errBusy
	}
	if p.timer == nil {
		p.timer = time.AfterFunc(p.patience, p.expire)
	}
	p.held += cost
	p.events = append(p.events, e)
	return nil
}

// complete returns the events, which the proposal still holds memory for, or errUnfinished if they have come too late.
func (p *proposal) complete() ([]engine.Event, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Stop()
	}
	if p.late {
		return nil, errUnfinished
	}
	p.whole = true
	return p.events, nil
}

func (p *proposal) expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.whole {
		return // the timer was about to fire when the end came
	}
	p.late = true
	p.drop()
}

// release gives back what the proposal holds of the budget. The proposal is of no use then.
func (p *proposal) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Stop()
	}
	p.drop()
}

// drop is called with mu held.
func (p *proposal) drop() {
	p.memory.give(p.held)
	p.held, p.events = 0, nil
}
