package rabbit

import (
	"fmt"
	"time"
)

// The whole topology stands in this file: names, types, limits, what happens when a queue is full. The deploy folder's
// definitions.json is generated from it, and both ends declare from it.
//
//	events (topic)          order.placed, payment.captured …, watermark ──> one bounded queue a consumer group, drops its oldest
//	  └─ all ─> events.headers (headers)   for consumers that select by country or channel and need no order
//	commands (direct)       inventory.commands.high … ──> the queue of that name, refuses when full
//	  ├─ commands.retry.1s … (fanout) ──> a queue of that name; expired messages go back to commands under their own key
//	dead (direct)           inventory.commands.high … ──> inventory.commands.dead
//	notices (fanout)        ──> one exclusive queue a process

// The exchanges.
const (
	EventsExchange   = "events"         // topic: <category>.<event>, and WatermarkKey
	HeadersExchange  = "events.headers" // headers: the same messages
	CommandsExchange = "commands"       // direct: the key is the queue's name
	DeadExchange     = "dead"           // direct: the key is the name of the queue that the message failed in
	NoticesExchange  = "notices"        // fanout
)

// WatermarkKey is the routing key of the relay's watermarks; every event queue is bound to it.
const WatermarkKey = "watermark"

// RepliesQueue takes the answers to the sagas' commands.
const RepliesQueue = "fulfilment.replies"

// The limits.
const (
	eventQueueLength   = 200_000   // messages; the oldest are dropped, feed heals
	eventQueueBytes    = 512 << 20 // of bodies
	commandQueueLength = 500_000   // messages; then publishers are refused
	commandQueueBytes  = 1 << 30
	deadQueueLength    = 500_000
	noticeQueueLength  = 10_000
	noticeTTL          = 30 * time.Second
	eventRedeliveries  = 1_000_000 // consumer deaths with one message in hand; feed heals what is dropped
	commandDeliveries  = 20        // handler crashes with one command in hand, then it is a dead letter
)

// Services are those that take commands.
func Services() []string {
	return []string{"inventory", "payment", "shipment", "order", "notification"}
}

// EventQueues are the queues of the consumer groups that Annal itself runs. Those of Categories "all" bind every category.
// The relay declares them too, so that events wait for a consumer that was not started yet.
func EventQueues() map[string][]string {
	return map[string][]string{
		"projections.events": {"#"},
		"sagas.events":       {"order", "cart", "fulfilment", "return"},
	}
}

// retryDelays are the steps of the exponential backoff of commands; the last one repeats.
var retryDelays = [...]time.Duration{time.Second, 5 * time.Second, 30 * time.Second, 2 * time.Minute}

// Exchange is one exchange. All are durable.
type Exchange struct {
	Name, Kind string
}

// Queue is one durable queue with all of its arguments.
type Queue struct {
	Name string
	Args map[string]any // int64, string, bool
}

// Binding routes from an exchange to a queue, or to another exchange.
type Binding struct {
	From, Key, To string
	ToExchange    bool
}

// Layout is a set of things to declare.
type Layout struct {
	Exchanges []Exchange
	Queues    []Queue
	Bindings  []Binding
}

// Plus returns both layouts together.
func (l Layout) Plus(m Layout) Layout {
	return Layout{append(l.Exchanges[:len(l.Exchanges):len(l.Exchanges)], m.Exchanges...),
		append(l.Queues[:len(l.Queues):len(l.Queues)], m.Queues...), append(l.Bindings[:len(l.Bindings):len(l.Bindings)], m.Bindings...)}
}

// Topology is everything that outlives a process.
func Topology() Layout {
	all := EventsLayout()
	for _, service := range Services() {
		all = all.Plus(ServiceLayout(service))
	}
	return all.Plus(RepliesLayout()).Plus(Layout{Exchanges: []Exchange{{NoticesExchange, "fanout"}}})
}

// EventsLayout is what the relay publishes to.
func EventsLayout() Layout {
	l := eventExchanges()
	for _, name := range sortedKeys(EventQueues()) {
		l = l.Plus(eventQueue(name, EventQueues()[name]))
	}
	return l
}

// EventQueue is the queue of one ordered consumer of whole categories, with what it is bound to. "#" stands for all of them.
// It is bounded and drops its oldest, so that a dead consumer stops nobody else; one consumer at a time is active.
func EventQueue(name string, categories []string) Layout {
	return eventExchanges().Plus(eventQueue(name, categories))
}

func eventExchanges() Layout {
	return Layout{
		Exchanges: []Exchange{{EventsExchange, "topic"}, {HeadersExchange, "headers"}},
		Bindings:  []Binding{{From: EventsExchange, Key: "#", To: HeadersExchange, ToExchange: true}},
	}
}

func eventQueue(name string, categories []string) Layout {
	l := Layout{
		Queues: []Queue{{name, map[string]any{
			"x-queue-type": "quorum", "x-overflow": "drop-head", "x-max-length": int64(eventQueueLength), "x-max-length-bytes": int64(eventQueueBytes),
			"x-single-active-consumer": true, "x-delivery-limit": int64(eventRedeliveries),
		}}},
		Bindings: []Binding{{From: EventsExchange, Key: WatermarkKey, To: name}},
	}
	for _, c := range categories {
		key := c + ".#"
		if c == "#" {
			key = "#"
		}
		l.Bindings = append(l.Bindings, Binding{From: EventsExchange, Key: key, To: name})
	}
	return l
}

// CommandQueue is the name of a service's queue for a priority level.
func CommandQueue(service string, high bool) string {
	if high {
		return service + ".commands.high"
	}
	return service + ".commands.normal"
}

// DeadQueue is the name of the queue that keeps a service's dead letters.
func DeadQueue(service string) string { return service + ".commands.dead" }

// ServiceLayout is what commands to one service need: two queues, the delays, the dead letters.
func ServiceLayout(service string) Layout {
	high, normal, dead := CommandQueue(service, true), CommandQueue(service, false), DeadQueue(service)
	return workExchanges().Plus(Layout{
		Queues: []Queue{workQueue(high, false), workQueue(normal, false), deadQueue(dead)},
		Bindings: []Binding{{From: CommandsExchange, Key: high, To: high}, {From: CommandsExchange, Key: normal, To: normal},
			{From: DeadExchange, Key: high, To: dead}, {From: DeadExchange, Key: normal, To: dead}},
	})
}

// RepliesLayout is what replies need. One consumer at a time is active, so that replies keep their order per key.
func RepliesLayout() Layout {
	dead := RepliesQueue + ".dead"
	return workExchanges().Plus(Layout{
		Queues:   []Queue{workQueue(RepliesQueue, true), deadQueue(dead)},
		Bindings: []Binding{{From: CommandsExchange, Key: RepliesQueue, To: RepliesQueue}, {From: DeadExchange, Key: RepliesQueue, To: dead}},
	})
}

func workExchanges() Layout {
	l := Layout{Exchanges: []Exchange{{CommandsExchange, "direct"}, {DeadExchange, "direct"}}}
	for _, delay := range retryDelays {
		name := retryName(delay)
		l = l.Plus(Layout{Exchanges: []Exchange{{name, "fanout"}}, Queues: []Queue{delayQueue(name, delay)}, Bindings: []Binding{{From: name, To: name}}})
	}
	return l
}

func retryName(delay time.Duration) string {
	return fmt.Sprintf("commands.retry.%ds", int(delay.Seconds()))
}

// deadLettering without confirms: what is lost between two queues is sent again by the sagas' durable timers. With
// "at-least-once" RabbitMQ 3.10 can lose the supervisor of that strategy (rabbit_fifo_dlx_sup) when a vhost is deleted while
// queues are declared in it; from then on no such queue can be declared in any vhost until the broker is restarted.
const deadLettering = "at-most-once"

// A work queue refuses publishes when it is full, and dead-letters what crashes its consumers again and again.
// REQUIRES: its dead letters are bound under its own name.
func workQueue(name string, single bool) Queue {
	return Queue{name, map[string]any{
		"x-queue-type": "quorum", "x-overflow": "reject-publish", "x-max-length": int64(commandQueueLength), "x-max-length-bytes": int64(commandQueueBytes),
		"x-single-active-consumer": single, "x-delivery-limit": int64(commandDeliveries),
		"x-dead-letter-exchange": DeadExchange, "x-dead-letter-strategy": deadLettering,
	}}
}

// A delay queue has no consumer: what expires goes back to the commands exchange under the key that it came with.
func delayQueue(name string, delay time.Duration) Queue {
	return Queue{name, map[string]any{
		"x-queue-type": "quorum", "x-overflow": "reject-publish", "x-max-length": int64(commandQueueLength), "x-max-length-bytes": int64(commandQueueBytes),
		"x-message-ttl": delay.Milliseconds(), "x-delivery-limit": int64(eventRedeliveries),
		"x-dead-letter-exchange": CommandsExchange, "x-dead-letter-strategy": deadLettering,
	}}
}

// Dead letters stay until somebody decides; looking at them counts as a delivery, hence the high limit.
func deadQueue(name string) Queue {
	return Queue{name, map[string]any{
		"x-queue-type": "quorum", "x-overflow": "reject-publish", "x-max-length": int64(deadQueueLength), "x-max-length-bytes": int64(commandQueueBytes),
		"x-delivery-limit": int64(eventRedeliveries),
	}}
}
