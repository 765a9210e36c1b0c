package main

import (
	"encoding/json"
	"errors"
	"regexp"
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
global id as the API gives it (the id of an order, a product, a stock ...). The names:

  order-<order id>          an order; its number, as in 01H2-XCEJ-QTF2, is the beginning of the id
  fulfilment-<order id>     the saga of an order
  return-<return id>        the saga of a return
  payment-<payment id>      shipment-<shipment id>    cart-<cart id>    customer-<customer id>    notification-<id>
  product-<sku>             what is sold
  inventory-<sku>           its stock
  snapshot-<stream>         the snapshot of a long stream; no record, may be deleted

The embedded store also has $ce-<category>, $et-<event type>, $category-<category> and $streams, which are not for this command.`,
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

// The words that people take for a stream: an id without its category, and an order's number.
var (
	bareID      = regexp.MustCompile(`^[0-9a-hjkmnp-tv-z]{26}$`)
	orderNumber = regexp.MustCompile(`^[0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{4}(-[0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{4}){2}$`)
)

// noStream says that the store has no such stream and, if its name is none of the shop's, which names there are.
func noStream(where string, stream eventstore.Stream) error {
	none := eventstore.ErrNoStream.Because("the event store at %s has no stream %s", where, stream)
	switch {
	case orderNumber.MatchString(string(stream)):
		return none.Because("%s; this is the number of an order, whose stream is order-<id>: the API tells the id, orders(filter: {number: %q})", none.Message, strings.ToUpper(string(stream)))
	case !stream.Category().Registered():
		return none.Because("%s; the shop's are called order-<id>, product-<sku>, inventory-<sku> and so on; see annal streams read --help", none.Message)
	}
	return none
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
		meant := "order-01h2xcejqtf2nbrexx3vqjhp41"
		if bareID.MatchString(said) {
			meant = string(eventstore.Order.Stream(said))
		}
		return "", fault.Newf(fault.Invalid, "STREAM_NAME", "%q is no stream: streams are called <category>-<id>, as in %s; "+
			"a global id that the API gave will do as well; see annal streams read --help", said, meant)
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
			return noStream(address(cfg.StoreURL()), stream)
		}
		if err != nil {
			return t.away(c.Context(), err)
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
