package rabbit

import (
	"time"

	"github.com/google/uuid"
)

// Command asks a service for something. Handling it must be repeatable: it may come again under the same ID.
type Command struct {
	ID          uuid.UUID
	Name        string    // "ReserveLines"
	Service     string    // inventory|payment|shipment|order|notification
	Key         string    // order per key, e.g. the order id
	High        bool      // the queue that is preferred
	ReplyTo     string    // routing key of the reply queue, e.g. "fulfilment.replies"; "" = nobody waits
	Body        []byte    // JSON
	Correlation string    // of the business trip
	Causation   string    // id of the event that made somebody send it
	Traceparent string    // W3C; default that of Send's context
	Deadline    time.Time // zero = none; after it nobody begins to handle it
}

// Reply answers a command.
type Reply struct {
	Command     uuid.UUID
	Name, Key   string
	OK          bool
	Code        string // of the refusal, when !OK
	Message     string // of the refusal
	Kind        string // fault kind name when !OK; "timeout" means that the outcome is unknown
	Body        []byte // JSON result
	Correlation string
	Traceparent string
	Position    uint64 // of the last event that the command appended
}

// The headers of commands and replies. docs/messages.md is their specification.
const (
	headerService     = "annal-service"
	headerKey         = "key"
	headerCausation   = "causationid"
	headerTraceparent = "traceparent"
	headerDeadline    = "annal-deadline"
	headerCommand     = "annal-command"
	headerOK          = "annal-ok"
	headerCode        = "annal-code"
	headerMessage     = "annal-message"
	headerKind        = "annal-kind"
	headerPosition    = "annal-position"
)

const contentType = "application/json"

func (c Command) queue() string { return CommandQueue(c.Service, c.High) }

func (c Command) message() Message {
	h := map[string]any{headerService: c.Service, headerKey: c.Key}
	setText(h, headerCausation, c.Causation)
	setText(h, headerTraceparent, c.Traceparent)
	if !c.Deadline.IsZero() {
		h[headerDeadline] = c.Deadline.UTC().Format(time.RFC3339Nano)
	}
	return Message{
		Exchange: CommandsExchange, Key: c.queue(), Mandatory: true, ID: c.ID.String(), Type: c.Name, ContentType: contentType,
		Correlation: shortText(c.Correlation), ReplyTo: c.ReplyTo, Headers: h, Body: c.Body,
	}
}

// commandOf reads a command. Error: ErrMalformed naming what is wrong.
func commandOf(m Message, high bool) (Command, error) {
	id, err := uuid.Parse(m.ID)
	if err != nil {
		return Command{}, ErrMalformed.Because("a command's message-id must be a UUID")
	}
	c := Command{
		ID: id, Name: m.Type, Service: m.text(headerService), Key: m.text(headerKey), High: high, ReplyTo: m.ReplyTo, Body: m.Body,
		Correlation: m.Correlation, Causation: m.text(headerCausation), Traceparent: m.text(headerTraceparent),
	}
	if c.Name == "" || c.Service == "" {
		return Command{}, ErrMalformed.Because("a command needs a type and the header %s", headerService)
	}
	if deadline := m.text(headerDeadline); deadline != "" {
		if c.Deadline, err = time.Parse(time.RFC3339Nano, deadline); err != nil {
			return Command{}, ErrMalformed.Because("header %s must be an RFC 3339 time", headerDeadline)
		}
	}
	return c, nil
}

func (r Reply) message(to string) Message {
	h := map[string]any{headerCommand: r.Command.String(), headerKey: r.Key, headerOK: r.OK, headerPosition: int64(r.Position)} //nolint:gosec // positions fit
	setText(h, headerCode, r.Code)
	setText(h, headerMessage, r.Message)
	setText(h, headerKind, r.Kind)
	setText(h, headerTraceparent, r.Traceparent)
	return Message{
		Exchange: CommandsExchange, Key: to, Mandatory: true, ID: uuid.NewSHA1(r.Command, []byte("reply")).String(), Type: r.Name, ContentType: contentType,
		Correlation: shortText(r.Correlation), Headers: h, Body: r.Body,
	}
}

func replyOf(m Message) (Reply, error) {
	command, err := uuid.Parse(m.text(headerCommand))
	ok, hasOK := m.Headers[headerOK].(bool)
	if err != nil || !hasOK {
		return Reply{}, ErrMalformed.Because("a reply needs the headers %s and %s", headerCommand, headerOK)
	}
	position, _ := m.Headers[headerPosition].(int64)
	return Reply{
		Command: command, Name: m.Type, Key: m.text(headerKey), OK: ok, Code: m.text(headerCode), Message: m.text(headerMessage), Kind: m.text(headerKind),
		Body: m.Body, Correlation: m.Correlation, Traceparent: m.text(headerTraceparent), Position: uint64(max(position, 0)),
	}, nil
}

func setText(h map[string]any, name, value string) {
	if value != "" {
		h[name] = value
	}
}

// shortText keeps AMQP's limit for properties: what is longer is left out, not cut into something else.
func shortText(s string) string {
	if len(s) > 255 {
		return ""
	}
	return s
}
