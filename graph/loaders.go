package graph

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/vikstrous/dataloadgen"

	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/queries"
)

// batchWait is how long a loader waits for further keys. The fields of a list are resolved at once, so that a batch fills in
// microseconds; this is what a page pays for each level of loaded fields.
const batchWait = time.Millisecond

// loaders read what the objects of one request refer to, a query per kind and level instead of one per object. They belong to one
// request, so that nobody sees another's answers.
type loaders struct {
	orders    func() *loader[queries.OrderView]
	customers func() *loader[queries.CustomerView]
	payments  func() *loader[queries.PaymentView]
	shipments func() *loader[queries.ShipmentView]
	products  func() *loader[queries.ProductView]
	stock     func() *loader[queries.StockView]
	units     func() *loader[queries.StockView]
}

type loader[View any] = dataloadgen.Loader[string, View]

func newLoaders(q *queries.Queries, p auth.Principal) loaders {
	return loaders{
		orders: lazy(p, q.OrdersByID), customers: lazy(p, q.CustomersByID), payments: lazy(p, q.PaymentsByOrder),
		shipments: lazy(p, q.ShipmentsByOrder), products: lazy(p, q.ProductsBySKU), stock: lazy(p, q.StockBySKU),
		// Whether there is any is for everybody, how many is not: stock is read by the house itself and only compared with 0.
		units: lazy(auth.Internal("graph"), q.StockBySKU),
	}
}

func lazy[View any](p auth.Principal, fetch func(context.Context, auth.Principal, []string) (map[string]View, error)) func() *loader[View] {
	return sync.OnceValue(func() *loader[View] {
		return dataloadgen.NewMappedLoader(func(ctx context.Context, keys []string) (map[string]View, error) { return fetch(ctx, p, keys) },
			dataloadgen.WithWait(batchWait), dataloadgen.WithBatchCapacity(queries.MaxPage))
	})
}

// load reads one thing together with others: nil if there is none.
func load[View, T any](ctx context.Context, from func() *loader[View], key string, wrap func(View) T) (*T, error) {
	if key == "" {
		return nil, nil
	}
	view, err := from().Load(ctx, key)
	if errors.Is(err, dataloadgen.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	t := wrap(view)
	return &t, nil
}
