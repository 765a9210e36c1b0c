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

// batchWait is how long a loader waits for further keys. What stands on one page is announced and travels together anyway; this
// is what a page pays for each level of loaded fields.
const batchWait = time.Millisecond

// loaders read what the objects of one request refer to, a query per kind and level instead of one per object. They belong to one
// request, so that nobody sees another's answers.
type loaders struct {
	orders    loader[queries.OrderView]
	customers loader[queries.CustomerView]
	payments  loader[queries.PaymentView]
	shipments loader[queries.ShipmentView]
	products  loader[queries.ProductView]
	stock     loader[queries.StockView]
	units     loader[queries.StockView]
}

func newLoaders(q *queries.Queries, p auth.Principal) *loaders {
	return &loaders{
		orders: newLoader(p, q.OrdersByID), customers: newLoader(p, q.CustomersByID), payments: newLoader(p, q.PaymentsByOrder),
		shipments: newLoader(p, q.ShipmentsByOrder), products: newLoader(p, q.ProductsBySKU), stock: newLoader(p, q.StockBySKU),
		// Whether there is any is for everybody, how many is not: stock is read by the house itself and only compared with 0.
		units: newLoader(auth.Internal("graph"), q.StockBySKU),
	}
}

// loader loads by key. Keys that were announced as one page are asked for together by whoever asks for the first of them, so that
// the number of statements does not hang on when goroutines run.
type loader[View any] struct {
	from  *dataloadgen.Loader[string, View]
	pages *sync.Map // key -> *announced
}

type announced struct {
	keys []string
	once sync.Once
}

func newLoader[View any](p auth.Principal, fetch func(context.Context, auth.Principal, []string) (map[string]View, error)) loader[View] {
	return loader[View]{pages: &sync.Map{}, from: dataloadgen.NewMappedLoader(
		func(ctx context.Context, keys []string) (map[string]View, error) { return fetch(ctx, p, keys) },
		dataloadgen.WithWait(batchWait), dataloadgen.WithBatchCapacity(queries.MaxPage))}
}

// expect announces the keys of one page.
func (l loader[View]) expect(keys []string) {
	page := &announced{keys: keys}
	for _, k := range keys {
		l.pages.LoadOrStore(k, page)
	}
}

func (l loader[View]) get(ctx context.Context, key string) (View, error) {
	if page, ok := l.pages.Load(key); ok {
		page := page.(*announced) //nolint:errcheck // nothing else is stored
		page.once.Do(func() { l.from.LoadAllThunk(ctx, page.keys) })
	}
	return l.from.Load(ctx, key)
}

// load reads one thing together with others: nil if there is none.
func load[View, T any](ctx context.Context, from loader[View], key string, wrap func(View) T) (*T, error) {
	if key == "" {
		return nil, nil
	}
	view, err := from.get(ctx, key)
	if errors.Is(err, dataloadgen.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	t := wrap(view)
	return &t, nil
}

// expectOrders announces what the orders of a page refer to.
func (l *loaders) expectOrders(c queries.Connection[queries.OrderView]) {
	ids, customers := make([]string, 0, len(c.Edges)), make([]string, 0, len(c.Edges))
	for _, e := range c.Edges {
		ids = append(ids, e.Node.ID)
		if e.Node.Customer != "" {
			customers = append(customers, e.Node.Customer)
		}
	}
	l.payments.expect(ids)
	l.shipments.expect(ids)
	l.customers.expect(customers)
}

// expectProducts announces the stock of the products of a page.
func (l *loaders) expectProducts(c queries.Connection[queries.ProductView]) {
	skus := make([]string, len(c.Edges))
	for i, e := range c.Edges {
		skus[i] = e.Node.SKU
	}
	l.stock.expect(skus)
	l.units.expect(skus)
}
