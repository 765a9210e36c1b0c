package notification

import "github.com/annalhq/annal/internal/pii"

// Telling is what is to be told, to whom, and how.
type Telling struct {
	Channel  Channel
	Template string
	Language string
	To       pii.Sealed
	Data     map[string]string
	// Suppress says why it is not to be sent at all: not wanted, nowhere to send it. "" to send it.
	Suppress string
}

// Request records the intent to tell, or that it is not to be told. Asking again changes nothing. Fault: ErrUnknownChannel.
func Request(s State, of Of, t Telling) ([]Event, error) {
	if t.Channel != Mail && t.Channel != SMS && t.Channel != Push {
		return nil, ErrUnknownChannel.At("channel")
	}
	if s.Status != None {
		return nil, nil
	}
	requested := Requested{Of: of, Channel: t.Channel, Template: t.Template, Language: t.Language, To: t.To, Data: t.Data}
	if t.Suppress != "" {
		return []Event{requested, Suppressed{Of: of, Channel: t.Channel, Reason: t.Suppress}}, nil
	}
	return []Event{requested}, nil
}

// Answer is what became of the message. Exactly one of MessageID, Code and Suppressed is set.
type Answer struct {
	MessageID  string // the provider took it
	Code       string // the provider refused it for good
	Reason     string // of a refusal
	Suppressed string // it could not be sent any more, and why
}

// Settle records what became of the message, if nothing was recorded yet.
func Settle(s State, a Answer) ([]Event, error) {
	switch {
	case s.Status != StatusRequested:
		return nil, nil
	case a.Suppressed != "":
		return []Event{Suppressed{Of: s.Of, Channel: s.Channel, Reason: a.Suppressed}}, nil
	case a.Code != "":
		return []Event{Failed{Of: s.Of, Channel: s.Channel, Code: a.Code, Reason: a.Reason}}, nil
	}
	return []Event{Sent{Of: s.Of, Channel: s.Channel, MessageID: a.MessageID}}, nil
}
