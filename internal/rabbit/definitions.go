package rabbit

import (
	"encoding/json"

	"github.com/annalhq/annal/internal/fault"
)

// Definitions returns the topology in RabbitMQ's own format, for `rabbitmqctl import_definitions` or the setting
// load_definitions: an operator who gives services no permission to configure imports it beforehand. deploy/rabbitmq/definitions.json
// holds it for the vhost "/"; `go test ./internal/rabbit -update-definitions` writes it anew.
func Definitions(vhost string) ([]byte, error) {
	d := definitions{Vhosts: []vhostDefinition{{vhost}}}
	seen := make(map[string]bool) // layouts overlap
	first := func(what, name string) bool {
		known := seen[what+" "+name]
		seen[what+" "+name] = true
		return !known
	}
	l := Topology()
	for _, e := range l.Exchanges {
		if first("exchange", e.Name) {
			d.Exchanges = append(d.Exchanges, exchangeDefinition{e.Name, vhost, e.Kind, true, false, false, map[string]any{}})
		}
	}
	for _, q := range l.Queues {
		if first("queue", q.Name) {
			d.Queues = append(d.Queues, queueDefinition{q.Name, vhost, true, false, q.Args})
		}
	}
	for _, b := range l.Bindings {
		if first("binding "+b.From+" "+b.Key, b.To) {
			d.Bindings = append(d.Bindings, bindingDefinition{b.From, vhost, b.To, b.kind(), b.Key, map[string]any{}})
		}
	}
	out, err := json.MarshalIndent(d, "", "  ")
	return append(out, '\n'), fault.Wrap(err, fault.Internal, "DEFINITIONS_MALFORMED", "the topology can't be written as JSON")
}

func (b Binding) kind() string {
	if b.ToExchange {
		return "exchange"
	}
	return "queue"
}

type (
	definitions struct {
		Vhosts    []vhostDefinition    `json:"vhosts"`
		Exchanges []exchangeDefinition `json:"exchanges"`
		Queues    []queueDefinition    `json:"queues"`
		Bindings  []bindingDefinition  `json:"bindings"`
	}
	vhostDefinition struct {
		Name string `json:"name"`
	}
	exchangeDefinition struct {
		Name       string         `json:"name"`
		Vhost      string         `json:"vhost"`
		Type       string         `json:"type"`
		Durable    bool           `json:"durable"`
		AutoDelete bool           `json:"auto_delete"`
		Internal   bool           `json:"internal"`
		Arguments  map[string]any `json:"arguments"`
	}
	queueDefinition struct {
		Name       string         `json:"name"`
		Vhost      string         `json:"vhost"`
		Durable    bool           `json:"durable"`
		AutoDelete bool           `json:"auto_delete"`
		Arguments  map[string]any `json:"arguments"`
	}
	bindingDefinition struct {
		Source          string         `json:"source"`
		Vhost           string         `json:"vhost"`
		Destination     string         `json:"destination"`
		DestinationType string         `json:"destination_type"`
		RoutingKey      string         `json:"routing_key"`
		Arguments       map[string]any `json:"arguments"`
	}
)
