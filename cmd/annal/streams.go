package main

import (
	"encoding/json"
	"time"

	"github.com/spf13/cobra"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/fault"
)

func streamsCommand(t *tool) *cobra.Command {
	c := &cobra.Command{Use: "streams", Aliases: []string{"stream"}, Short: "event streams"}
	read := &cobra.Command{Use: "read STREAM", Short: "the events of a stream as JSON lines; personal data stays sealed",
		Example: "  annal streams read order-01h2xcejqtf2nbrexx3vqjhp41", Args: exactly(1, "one stream")}
	from := read.Flags().Int64("from", 0, "first revision")
	read.RunE = func(c *cobra.Command, args []string) error {
		defer t.close()
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
		for rec, err := range store.ReadStream(c.Context(), eventstore.Stream(args[0]), eventstore.Revision(*from)) {
			if err != nil {
				return err
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
	c.AddCommand(read)
	return c
}
