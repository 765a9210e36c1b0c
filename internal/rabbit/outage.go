package rabbit

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/annalhq/annal/internal/reach"
)

// setting is where an operator says which broker there is, and as whom.
const setting = "ANNAL_RABBITMQ_URL"

// An outage is what a link knows of a broker that is away: the loss of the connection, or the first dial that failed, begins it, and the
// newest failure is its reason. The zero value: none.
type outage struct {
	since time.Time
	why   *reach.Error
}

// failed records a failure and returns its fault, whose cause is a reach.Error for operators.
func (o *outage) failed(at time.Time, address string, err error) error {
	if o.since.IsZero() {
		o.since = at
	}
	o.why = reach.New(address, setting, reasonOf(err), err).From(o.since)
	return translate(o.why)
}

// lost records that the connection ended, though nobody closed the link.
func (l *link) lost(conn *connection, err *amqp.Error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.conn != conn || l.outage.why != nil {
		return
	}
	if err == nil { // we ended it ourselves (checkProgress)
		err = amqp.ErrClosed
	}
	_ = l.outage.failed(time.Now(), l.address(), err) // recorded; it is nobody's answer
}

// explain adds to err of a caller whose time was over what the link knows of the outage.
func (l *link) explain(err error) error {
	if known := (*reach.Error)(nil); err == nil || errors.As(err, &known) {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	why := l.outage.why
	if why == nil && l.dialled != nil {
		why = reach.New(l.address(), setting, "no answer yet", nil).From(l.dialled.began)
	}
	if why == nil {
		return err
	}
	return fmt.Errorf("%w: %w", err, why)
}

// address is host:port of the broker.
func (l *link) address() string {
	uri, err := amqp.ParseURI(l.cfg.URL)
	if err != nil {
		return "an unreadable address" // not after Open
	}
	return net.JoinHostPort(uri.Host, strconv.Itoa(uri.Port))
}

func reasonOf(err error) string {
	var e *amqp.Error
	switch {
	case !errors.As(err, &e):
		return reach.Reason(err)
	case e.Code == amqp.AccessRefused, e.Code == amqp.NotAllowed:
		return "login refused"
	case e.Code == amqp.ConnectionForced:
		return "connection closed by the broker or its operator"
	}
	return "connection lost, or ended before AMQP's handshake did"
}
