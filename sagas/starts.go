package sagas

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/annalhq/annal/aggregates"
	"github.com/annalhq/annal/aggregates/fulfilment"
	"github.com/annalhq/annal/aggregates/order"
	"github.com/annalhq/annal/aggregates/returns"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/feed"
	"github.com/annalhq/annal/internal/rabbit"
	"github.com/annalhq/annal/internal/telemetry"
)

// sink is where the feed's events go: those of orders move sagas, those of sagas are folded into the index. The sagas are moved
// before the checkpoint: a batch that comes again finds them moved.
type sink struct{ *Sagas }

// Apply implements feed.Sink.
func (s *sink) Apply(ctx context.Context, b feed.Batch) error {
	if err := s.react(ctx, b.Events); err != nil {
		return err
	}
	return s.index(ctx, b)
}

// react moves the sagas of the batch's orders: order by order one after the other, different orders at once.
func (s *sink) react(ctx context.Context, events []eventstore.Recorded) error {
	byOrder := map[eventstore.Stream][]eventstore.Recorded{}
	for _, rec := range events {
		if rec.Stream.Category() == eventstore.Order {
			byOrder[rec.Stream] = append(byOrder[rec.Stream], rec)
		}
	}
	var mu sync.Mutex // guards all
	var all []rabbit.Command
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(s.cfg.Concurrency)
	for _, recs := range byOrder {
		group.Go(func() error {
			for _, rec := range recs {
				sent, err := s.happened(gctx, rec)
				if err != nil {
					return err
				}
				mu.Lock()
				all = append(all, sent...)
				mu.Unlock()
			}
			return nil
		})
	}
	err := group.Wait()
	s.send(ctx, all...) // also beside an error: these stand in their streams
	return err
}

// happened moves the saga that an order's event concerns, and returns the commands to be sent.
func (s *sink) happened(ctx context.Context, rec eventstore.Recorded) ([]rabbit.Command, error) {
	switch rec.Type {
	case order.TypePlaced, order.TypeCancelRequested, order.TypeReturned:
	default:
		return nil, nil
	}
	body, err := aggregates.Decode(rec.Type, rec.Data)
	if err != nil {
		return nil, err
	}
	meta, err := eventstore.DecodeMetadata(rec.Metadata)
	if err != nil {
		return nil, err
	}
	ctx = telemetry.WithCorrelation(telemetry.WithTraceparent(ctx, meta.Traceparent), meta.Correlation)
	a := act{causation: rec.ID.String(), correlation: meta.Correlation, traceparent: meta.Traceparent}
	var stream eventstore.Stream
	switch e := body.(type) {
	case order.Placed:
		stream, a.name, a.decide = eventstore.Fulfilment.Stream(string(e.Order)), "StartFulfilment", s.startFulfilment(e)
	case order.CancelRequested:
		stream, a.name = eventstore.Fulfilment.Stream(string(e.Order)), "RequestCancel"
		a.decide = func(p process) []event { return p.cancel(e.Cause().Sentence()) }
	case order.Returned:
		stream, a.name, a.decide = eventstore.Return.Stream(e.Return), "StartReturn", startReturn(e)
	}
	done, err := s.act(ctx, stream, a)
	if err != nil {
		return nil, err
	}
	return s.messages(ctx, done.instance, done.commands), nil
}

func (s *sink) startFulfilment(e order.Placed) func(process) []event {
	started := fulfilment.Started{
		Of: fulfilment.Of{Order: string(e.Order), Customer: e.Customer}, Number: e.Number, Priority: string(e.Priority),
		Total: e.Total, Country: e.Country, Name: e.Name, Address: e.Address,
		Provider: e.Tender.Provider, Token: e.Tender.Token, Carrier: e.Carrier, Channel: e.Channel, PlacedAt: e.PlacedAt,
		Deadline: s.cfg.Now().UTC().Add(s.cfg.Deadline).Truncate(1e6), // milliseconds will do
	}
	for _, l := range e.Lines {
		started.Lines = append(started.Lines, fulfilment.Line{Line: l.Line, SKU: l.SKU, Quantity: l.Quantity})
	}
	return func(p process) []event {
		f, _ := p.(fulfilling)
		return events(fulfilment.Start(f.State, started))
	}
}

func startReturn(e order.Returned) func(process) []event {
	started := returns.Started{
		Of: returns.Of{Return: e.Return, Order: string(e.Order), Customer: e.Customer}, Payment: e.Payment,
		Amount: e.Amount, Country: e.Country, Reason: e.Said(), Channel: e.Channel, ReturnedAt: e.ReturnedAt,
	}
	for _, l := range e.Lines {
		started.Lines = append(started.Lines, returns.Line{Line: l.Line, SKU: l.SKU, Quantity: l.Quantity})
	}
	return func(p process) []event {
		r, _ := p.(returning)
		return events(returns.Start(r.State, started))
	}
}
