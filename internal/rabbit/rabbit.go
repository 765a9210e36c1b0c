// Package rabbit is Annal's side of RabbitMQ: connections, topology, confirmed publishing, consuming, and the command
// queues with their retries and dead letters. It is the only importer of the AMQP client.
//
// The broker is fast transport, never the record: its data can be wiped at any moment and no effect is lost or doubled.
// Events come back from the store (package feed heals), commands come back from the saga's timers under the same id.
// So this package promises little and keeps it exactly:
//
//   - what a Publisher reports as settled without an error was confirmed by the broker and, where it was mandatory, routed;
//   - a delivery is acknowledged after its effect is committed, never before;
//   - whoever declares gets the arguments of topology.go or a fault that names the queue and how to mend it.
//
// One process opens one Broker. It holds two connections, one to publish and one to consume, so that a broker that
// blocks publishers (memory or disk alarm) doesn't stop acknowledgements. Neither is dialled before it is needed; a lost one
// is dialled again by whoever needs it next. There is no hidden recovery: a Publisher or Consumption dies with its channel and
// says so, and its owner (relay, feed, Bus) opens a new one after Backoff and repeats what was not settled.
//
//	Broker ── publish link ── Publisher (confirm mode, bounded window)     used by relay, Bus
//	      └── consume link ── Consumption (bounded prefetch, manual acks)  used by feed, Bus.Work, Notices
//
// Errors are faults: Unavailable while the broker is away, Denied if it refuses the login, Conflict if a queue exists with other
// arguments (ErrTopology).
package rabbit

import (
	"context"
	"crypto/tls"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/annalhq/annal/internal/fault"
)

// Config says how to reach the broker. The zero value of all but URL is a good default.
type Config struct {
	URL            string        // amqp://user:password@host:port/vhost, or amqps://
	Name           string        // shown as the connection's name in the management UI; default "annal"
	TLS            *tls.Config   // for amqps; default: the system's roots
	Heartbeat      time.Duration // both sides; default 10 s
	DialTimeout    time.Duration // TCP, TLS and AMQP handshake together; default 10 s
	WriteTimeout   time.Duration // longest time one write to the socket may hang; default 30 s
	ConfirmTimeout time.Duration // longest time without any confirm while some are due; default 30 s
	QuietRefresh   time.Duration // a consumption without deliveries for so long is opened afresh; default 20 s
}

func (c Config) withDefaults() Config {
	if c.Name == "" {
		c.Name = "annal"
	}
	setDefault(&c.Heartbeat, 10*time.Second)
	setDefault(&c.DialTimeout, 10*time.Second)
	setDefault(&c.WriteTimeout, 30*time.Second)
	setDefault(&c.ConfirmTimeout, 30*time.Second)
	setDefault(&c.QuietRefresh, 20*time.Second)
	return c
}

func setDefault(d *time.Duration, to time.Duration) {
	if *d <= 0 {
		*d = to
	}
}

// Broker is one process's access to one vhost. Safe for concurrent use.
type Broker struct {
	cfg     Config
	publish *link
	consume *link

	declaring  sync.Mutex
	mismatches sync.Map // "queue name" -> error: declarations that the broker refused because of other arguments
}

// Open checks the configuration; it doesn't dial. Error: Invalid if the URL can't be read.
func Open(cfg Config) (*Broker, error) {
	cfg = cfg.withDefaults()
	if _, err := amqp.ParseURI(cfg.URL); err != nil {
		// The parser's error would quote the URL, which holds a password.
		return nil, fault.New(fault.Invalid, "BROKER_URL_INVALID", "the broker's URL must look like amqp://user:password@host:5672/vhost")
	}
	return &Broker{cfg: cfg, publish: newLink(cfg, "publish"), consume: newLink(cfg, "consume")}, nil
}

// Ping dials if need be and reports whether the broker answers on both connections. Errors: ErrUnavailable, ErrLogin, ErrLost,
// Timeout if ctx ended first; a dial that is under way goes on then. Where the broker is away, the cause is a reach.Error that says
// since when and why.
func (b *Broker) Ping(ctx context.Context) error {
	for _, l := range b.links() {
		if _, _, err := l.channel(ctx, (*amqp.Channel).Close); err != nil {
			return l.explain(err)
		}
	}
	return nil
}

// Close closes both connections, and ends a dial that is under way; publishers and consumptions on them end with ErrLost, and so
// does whoever waits for a connection.
func (b *Broker) Close() {
	for _, l := range b.links() {
		l.close()
	}
	for _, l := range b.links() {
		l.wait()
	}
}

func (b *Broker) links() []*link { return []*link{b.publish, b.consume} }
