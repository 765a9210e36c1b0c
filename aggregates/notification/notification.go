// Package notification is one message to one person over one channel.
//
//	requested -> sent | failed | suppressed
//
// Rules:
//   - a notification's id is derived from what it tells and over which channel, so a fact is told once per channel however
//     often somebody asks for it.
//   - requested is an intent: until an outcome is stored the message may or may not have been taken, and it is tried again
//     with the same message id.
//   - sent, failed and suppressed are final; an outcome that comes late or twice changes nothing.
//
// commands/notification.go is the only caller of the decisions.
package notification

import (
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/pii"
)

// ID identifies a notification.
type ID string

// Status is where a notification stands.
type Status string

// The statuses; None is a notification that nobody asked for.
const (
	None             Status = ""
	StatusRequested  Status = "requested" // outcome unknown
	StatusSent       Status = "sent"
	StatusFailed     Status = "failed"
	StatusSuppressed Status = "suppressed"
)

// State is a notification as its events tell it.
type State struct {
	Of
	Status    Status
	Channel   Channel
	Template  string
	Language  string
	To        pii.Sealed
	Data      map[string]string
	MessageID string
	Code      string
	Reason    string
}

// ErrUnknownChannel refuses a channel that there is not.
var ErrUnknownChannel = fault.New(fault.Invalid, "UNKNOWN_CHANNEL", "a channel is mail, sms or push")

// Evolve returns the state after the event.
func Evolve(s State, e Event) State {
	switch e := e.(type) {
	case Requested:
		s = State{Of: e.Of, Status: StatusRequested, Channel: e.Channel, Template: e.Template, Language: e.Language,
			To: e.To, Data: e.Data}
	case Sent:
		s.Of, s.Status, s.MessageID = e.Of, StatusSent, e.MessageID
	case Failed:
		s.Of, s.Status, s.Code, s.Reason = e.Of, StatusFailed, e.Code, e.Reason
	case Suppressed:
		s.Of, s.Status, s.Channel, s.Reason = e.Of, StatusSuppressed, e.Channel, e.Reason
	}
	return s
}
