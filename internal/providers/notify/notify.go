// Package notify is the port to whoever carries messages to people: mail over SMTP, and simulators of SMS and push.
//
// A message has one ID that never changes however often it is tried; over SMTP it is the Message-ID, so that a second
// delivery, which can only follow an unknown outcome, is recognisable. Send returns nil when the provider took the message.
// A fault of kind Invalid says that the provider refused it for good; any other error says that the outcome is unknown or
// that it is worth another try. Faults hold no address: what a mail server answers may quote one, so it is not passed on.
//
// templates.go renders what we tell, per event and language. sink/ is a small local mail server for development. The
// handler in commands/notification.go opens the address just before it calls Send; nothing here keeps it.
package notify

import (
	"context"

	"github.com/annalhq/annal/internal/fault"
)

// Port is one channel to people.
type Port interface {
	// Send hands the message over. ErrRefused (kind Invalid) is final; any other fault is worth another try.
	Send(ctx context.Context, m Message) error
}

// Message is something to tell one person. To is personal data in the clear: an adapter passes it on and keeps none.
type Message struct {
	ID       string // globally unique, "local@domain" without brackets
	To       string // mail address, phone number or device
	Subject  string
	Text     string
	Language string // BCP 47
}

// The faults of a channel.
var (
	// ErrRefused says that the provider won't ever take this message.
	ErrRefused = fault.New(fault.Invalid, "MESSAGE_REFUSED", "the provider refused the message")
	// ErrUnavailable says that the provider could not be asked, or did not answer.
	ErrUnavailable = fault.New(fault.Unavailable, "MESSAGE_NOT_SENT", "the provider could not take the message now; it is tried again")
)
