package rabbit

import (
	"errors"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/annalhq/annal/internal/fault"
)

// The faults of the broker.
var (
	// ErrLost: the channel or connection ended; what was not settled must be sent again.
	ErrLost = fault.New(fault.Unavailable, "BROKER_CONNECTION_LOST", "the connection to the broker was lost; it is opened again")
	// ErrQuiet: nothing was delivered for a while; the consumption is opened again to be sure that it is alive.
	ErrQuiet = fault.New(fault.Unavailable, "BROKER_QUIET", "nothing was delivered for a while; the queue is consumed afresh")
	// ErrUnavailable: the broker can't be reached.
	ErrUnavailable = fault.New(fault.Unavailable, "BROKER_UNAVAILABLE", "the broker does not answer; try again")
	// ErrReturned: the message reached no queue; the topology is broken and must be declared again.
	ErrReturned = fault.New(fault.Unavailable, "BROKER_UNROUTABLE", "no queue takes this message; the topology must be declared again")
	// ErrNacked: the broker refused the message: a full queue that rejects, or an internal error.
	ErrNacked = fault.New(fault.Unavailable, "BROKER_REFUSED", "the broker refused the message, its queue may be full; try again later")
	// ErrConfirmTimeout: no confirm came in time; the outcome is unknown, the message must be sent again.
	ErrConfirmTimeout = fault.New(fault.Timeout, "BROKER_CONFIRM_TIMEOUT", "the broker did not confirm in time")
	// ErrLogin: wrong user or password, or no access to the vhost.
	ErrLogin = fault.New(fault.Denied, "BROKER_LOGIN_REFUSED", "the broker refuses the login; check user, password, vhost and permissions in ANNAL_RABBITMQ_URL")
	// ErrTopology: a queue or exchange exists with other arguments.
	ErrTopology = fault.New(fault.Conflict, "BROKER_TOPOLOGY_MISMATCH", "a queue or exchange exists with other arguments")
	// ErrMalformed: a message is not one of ours, or was damaged.
	ErrMalformed = fault.New(fault.Invalid, "MESSAGE_MALFORMED", "the message can't be read")
)

// translate classifies an error of the AMQP client.
func translate(err error) error {
	if err == nil {
		return nil
	}
	var e *amqp.Error
	if !errors.As(err, &e) {
		return fault.Wrap(err, ErrUnavailable.Kind, ErrUnavailable.Code, ErrUnavailable.Message)
	}
	switch e.Code {
	case amqp.AccessRefused, amqp.NotAllowed:
		return fault.Wrap(err, ErrLogin.Kind, ErrLogin.Code, ErrLogin.Message)
	case amqp.PreconditionFailed:
		return fault.Wrap(err, ErrTopology.Kind, ErrTopology.Code, ErrTopology.Message)
	default:
		return fault.Wrap(err, ErrLost.Kind, ErrLost.Code, ErrLost.Message)
	}
}
