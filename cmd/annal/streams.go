package main

import (
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/graph/model"
	"github.com/annalhq/annal/internal/fault"
)

func streamsCommand(t *tool) *cobra.Command {
	c := &cobra.Command{Use: "streams", Aliases: []string{"stream"}, Short: "event streams"}
	read := &cobra.Command{Use: "read STREAM|ID", Short: "the events of a stream as JSON lines; personal data stays sealed",
		Long: `Prints the events of a stream as JSON lines; personal data stays sealed. The stream is given by its name, <category>-<id>, or by a
global id as the API gives it (the id of an order, a product, a stock ...).`,
		Example: "  annal streams read order-01h2xcejqtf2nbrexx3vqjhp41\n  annal streams read product-MUG-1\n  annal streams read " + model.GlobalID("Product", "MUG-1"),
		Args:    exactly(1, "one stream")}
	from := read.Flags().Int64("from", 0, "first revision")
	read.RunE = func(c *cobra.Command, args []string) error {
		defer t.close()
		stream, err := streamOf(args[0])
		if err != nil {
			return err
		}
		if *from < 0 {
			return fault.New(fault.Invalid, "FLAG_INVALID", "--from is a revision, 0 or more")
		}
		return readStream(c, t, stream, eventstore.Revision(*from))
	}
	c.AddCommand(read)
	return c
}

// categories are those of the streams that the types of global ids stand for.
var categories = map[string]eventstore.Category{
	"Order": eventstore.Order, "Stock": eventstore.Inventory, "Payment": eventstore.Payment, "Shipment": eventstore.Shipment, "Product": eventstore.Product,
	"Customer": eventstore.Customer, "Cart": eventstore.Cart, "Notification": eventstore.Notification,
}

// streamOf reads what the operator calls a stream: its name or a global id.
func streamOf(said string) (eventstore.Stream, error) {
	stream := eventstore.Stream(said)
	if stream.Category().Registered() {
		return stream, nil
	}
	typename, id, err := model.ParseID(said)
	if category, ok := categories[typename]; ok && err == nil {
		return category.Stream(id), nil
	}
	if strings.HasPrefix(said, "$") || stream.Category() == "" {
		return "", fault.Newf(fault.Invalid, "STREAM_NAME", "%q is no stream: streams are called <category>-<id>, as in order-01h2xcejqtf2nbrexx3vqjhp41; "+
			"a global id that the API gave will do as well", said)
	}
	return stream, nil
}

func readStream(c *cobra.Command, t *tool, stream eventstore.Stream, from eventstore.Revision) error {
	cfg, err := t.config()
	if err != nil {
		return err
	}
	store, err := t.store(cfg)
	if err != nil {
		return err
	}
	out := json.NewEncoder(c.OutOrStdout())
	out.SetEscapeHTML(false)
	for rec, err := range store.ReadStream(c.Context(), stream, from) {
		if errors.Is(err, eventstore.ErrNoStream) {
			return eventstore.ErrNoStream.Because("the event store at %s has no stream %s", address(cfg.StoreURL()), stream)
		}
		if err != nil {
			return t.away(err)
		}
		err = out.Encode(struct {
			Stream   eventstore.Stream   `json:"stream"`
			Revision eventstore.Revision `json:"revision"`
			Position eventstore.Position `json:"position"`
			ID       string              `json:"id"`
			Type     string              `json:"type"`
			Created  time.Time           `json:"created"`
			Data     json.RawMessage     `json:"data"`
			Metadata json.RawMessage     `json:"metadata"`
		}{rec.Stream, rec.Revision, rec.Position, rec.ID.String(), rec.Type, rec.Created, rec.Data, rec.Metadata})
		if err != nil {
			return fault.Wrap(err, fault.Unavailable, "OUTPUT_CLOSED", "the output was closed, or a body is not JSON")
		}
	}
	return nil
}
