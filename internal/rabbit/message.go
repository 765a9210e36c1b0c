package rabbit

import (
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Message is what is published. Everything persistent unless Transient.
type Message struct {
	Exchange  string
	Key       string // routing key, 255 bytes at most
	Mandatory bool   // to be routed to at least one queue, else it settles with ErrReturned

	ID          string // message-id; required if Mandatory, a returned message is known by it
	Type        string
	ContentType string
	Correlation string
	ReplyTo     string
	Expiration  string // milliseconds, "" = none
	Transient   bool
	Time        time.Time
	Headers     map[string]any // the publisher owns it from Publish on; a nested table is a map[string]any
	Body        []byte
}

func (m *Message) publishing() amqp.Publishing {
	for k, v := range m.Headers {
		if nested, ok := v.(map[string]any); ok {
			m.Headers[k] = amqp.Table(nested)
		}
	}
	mode := amqp.Persistent
	if m.Transient {
		mode = amqp.Transient
	}
	return amqp.Publishing{
		Headers: amqp.Table(m.Headers), ContentType: m.ContentType, DeliveryMode: mode, CorrelationId: m.Correlation, ReplyTo: m.ReplyTo,
		Expiration: m.Expiration, MessageId: m.ID, Timestamp: m.Time, Type: m.Type, Body: m.Body,
	}
}

// Delivery is a message that came from a queue.
type Delivery struct {
	Message
	Tag         uint64 // for Consumption.Ack; increases within one Consumption
	Redelivered bool   // it may have been delivered before; a hint, nothing is decided by it
}

func delivery(d amqp.Delivery) Delivery {
	headers := map[string]any(d.Headers)
	for k, v := range headers {
		if nested, ok := v.(amqp.Table); ok {
			headers[k] = map[string]any(nested)
		}
	}
	return Delivery{
		Tag: d.DeliveryTag, Redelivered: d.Redelivered,
		Message: Message{
			Exchange: d.Exchange, Key: d.RoutingKey, ID: d.MessageId, Type: d.Type, ContentType: d.ContentType, Correlation: d.CorrelationId,
			ReplyTo: d.ReplyTo, Expiration: d.Expiration, Time: d.Timestamp, Headers: headers, Body: d.Body, Transient: d.DeliveryMode != amqp.Persistent,
		},
	}
}

// text returns a header that is a string, "" if it is absent or something else.
func (m *Message) text(header string) string {
	s, _ := m.Headers[header].(string)
	return s
}
