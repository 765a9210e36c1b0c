package onlineretail

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/annalhq/annal/aggregates/inventory"
	"github.com/annalhq/annal/aggregates/order"
	"github.com/annalhq/annal/aggregates/product"
	"github.com/annalhq/annal/commands"
	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/money"
)

// Importer is who imports.
var importer = auth.Principal{Kind: auth.Importer, ID: "online-retail", Roles: []auth.Role{auth.RoleImporter}, Method: "cli"}

const (
	currency    = money.Currency("GBP")
	priceReason = "historical sale"
	channel     = "import"
)

// Config bounds an import.
type Config struct {
	Orders   int           // orders on their way at the same time; default 256
	Patience time.Duration // how long one command is tried while the shop is away; default 10 min
	Settle   time.Duration // how long one order or return may take until it is settled; default 30 min
	Logger   *slog.Logger  // default: discards
}

// Progress is how far an import is; its fields are read while it runs.
type Progress struct {
	Products, Customers, Orders, Returns             atomic.Int64 // sent and settled
	AllProducts, AllCustomers, AllOrders, AllReturns int64
	Replayed                                         atomic.Int64 // were there already
	Cancelled                                        atomic.Int64 // orders that the shop refused to carry out

	mu      sync.Mutex
	differs []Refused
}

// Differing returns the invoices that are in the shop already with other lines than this file's; they stay as they are.
func (p *Progress) Differing() []Refused {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.differs)
}

func (p *Progress) differ(invoice string, line int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.differs = append(p.differs, Refused{Number: line, Invoice: invoice, Reason: Differs})
}

// Done returns how many of the import's steps are done, and how many there are.
func (p *Progress) Done() (done, all int64) {
	return p.Products.Load() + p.Customers.Load() + p.Orders.Load() + p.Returns.Load(),
		p.AllProducts + p.AllCustomers + p.AllOrders + p.AllReturns
}

// Run sends a plan's commands and returns when every order and return is settled. What was sent in an earlier run is
// answered from the stored events and changes nothing. A shop that is away is waited for, Patience at most per command.
//
// Faults: those of the commands; IMPORT_UNSETTLED if an order or return takes longer than Settle: run the same import again.
func Run(ctx context.Context, h *commands.Handlers, store *eventstore.Client, plan *Plan, cfg Config, p *Progress) error {
	if cfg.Orders <= 0 {
		cfg.Orders = 256
	}
	if cfg.Patience <= 0 {
		cfg.Patience = 10 * time.Minute
	}
	if cfg.Settle <= 0 {
		cfg.Settle = 30 * time.Minute
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	r := &runner{handlers: h, store: store, plan: plan, cfg: cfg, progress: p, watch: newWatch(store, cfg.Logger), customers: make([]string, len(plan.Customers))}
	return r.run(ctx)
}

type runner struct {
	handlers  *commands.Handlers
	store     *eventstore.Client
	plan      *Plan
	cfg       Config
	progress  *Progress
	watch     *watch
	customers []string // ids, beside plan.Customers
	history   *history
	missing   map[string]int64
	wrong     map[cancellation]bool
}

func (r *runner) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watching := make(chan error, 1)
	if err := r.watch.start(ctx, watching); err != nil {
		return err
	}
	err := r.all(ctx)
	cancel()
	if watched := <-watching; err == nil {
		err = watched
	}
	return err
}

func (r *runner) all(ctx context.Context) error {
	err := r.persist(ctx, func(ctx context.Context) (err error) {
		r.history, err = readHistory(ctx, r.store)
		return err
	})
	if err != nil {
		return err
	}
	r.missing, r.wrong = r.history.missing(r.plan), r.history.contradicted(r.plan)
	if err := r.each(ctx, len(r.plan.Products), 32, r.product); err != nil {
		return err
	}
	if err := r.each(ctx, len(r.plan.Customers), 32, r.customer); err != nil {
		return err
	}
	id := map[string]string{}
	for i, number := range r.plan.Customers {
		id[number] = r.customers[i]
	}
	returns := make([][]Return, len(r.plan.Orders))
	for _, back := range r.plan.Returns {
		returns[back.Order] = append(returns[back.Order], back)
	}
	return r.each(ctx, len(r.plan.Orders), r.cfg.Orders, func(ctx context.Context, i int) error {
		return r.order(ctx, r.plan.Orders[i], id[r.plan.Orders[i].Customer], returns[i])
	})
}

// each does step for 0 to n-1, at most width at the same time, and stops at the first fault. Steps that were not begun since the caller's context
// ended are a fault too, also if those before them went well: an import that was interrupted must not say that it finished.
func (r *runner) each(caller context.Context, n, width int, step func(context.Context, int) error) error {
	group, ctx := errgroup.WithContext(caller)
	group.SetLimit(width)
	for i := range n {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error { return step(ctx, i) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return caller.Err()
}

func (r *runner) product(ctx context.Context, i int) error {
	p := r.plan.Products[i]
	c := commands.CreateProduct{Meta: commands.Meta{IdempotencyKey: "product:" + p.SKU, At: p.First, Channel: channel},
		SKU: product.SKU(p.SKU), Name: p.Name, Price: money.Of(p.Pence, currency)}
	err := r.persist(ctx, func(ctx context.Context) error {
		done, err := r.handlers.CreateProduct(ctx, importer, c)
		r.count(done.Receipt)
		return err
	})
	// A file of other months may know the product under another name or price: it stays as it is.
	if err != nil && !errors.Is(err, commands.ErrKeyReused) && !errors.Is(err, product.ErrExists) {
		return err
	}
	// One delivery is at most a million units; a product of which more was sold got several. The key says how much came before: imports of
	// the same sales that run beside each other bring them once.
	const most = 1_000_000
	for there, left := r.history.stocked[p.SKU], r.missing[p.SKU]; left > 0; {
		stock := commands.ReceiveStock{Meta: commands.Meta{IdempotencyKey: "stock:" + p.SKU + ":" + strconv.FormatInt(there, 10), At: p.First, Channel: channel},
			SKU: inventory.SKU(p.SKU), Quantity: min(left, most), Reference: openingStock}
		left -= stock.Quantity
		there += stock.Quantity
		if err := r.persist(ctx, func(ctx context.Context) error {
			done, err := r.handlers.ReceiveStock(ctx, importer, stock)
			r.count(done.Receipt)
			return err
		}); err != nil {
			if errors.Is(err, commands.ErrKeyReused) {
				return fault.New(fault.Conflict, "IMPORT_BESIDE_ANOTHER", "another import brings stock of the same products at the same time; run this one again when it has ended")
			}
			return err
		}
	}
	r.progress.Products.Add(1)
	return nil
}

func (r *runner) customer(ctx context.Context, i int) error {
	number := r.plan.Customers[i]
	err := r.persist(ctx, func(ctx context.Context) error {
		done, err := r.handlers.RegisterCustomer(ctx, importer, commands.RegisterCustomer{
			Meta: commands.Meta{IdempotencyKey: "customer:" + number, Channel: channel, At: r.plan.Orders[0].At}, Reference: number})
		r.count(done.Receipt)
		r.customers[i] = string(done.Customer)
		return err
	})
	if err == nil {
		r.progress.Customers.Add(1)
	}
	return err
}

func (r *runner) order(ctx context.Context, o Order, customer string, returns []Return) error {
	id, err := r.place(ctx, o, customer)
	if errors.Is(err, commands.ErrKeyReused) {
		r.progress.differ(o.Invoice, o.Lines[0].Number)
		r.progress.Orders.Add(1)
		r.progress.Returns.Add(int64(len(returns))) // they name lines of this file's order
		return nil
	}
	if err != nil {
		return err
	}
	end, err := r.watch.settled(ctx, eventstore.Fulfilment.Stream(string(id)), r.cfg.Settle)
	if err != nil {
		return err
	}
	r.progress.Orders.Add(1)
	if !end.completed {
		r.progress.Cancelled.Add(1)
		r.cfg.Logger.WarnContext(ctx, "order not carried out", "invoice", o.Invoice, "code", end.code)
		return nil
	}
	for _, back := range returns {
		if r.wrong[back.of()] {
			r.progress.differ(back.Invoice, 0)
			r.progress.Returns.Add(1)
			continue
		}
		if err := r.takeBack(ctx, id, back); err != nil {
			return err
		}
	}
	return nil
}

func (r *runner) place(ctx context.Context, o Order, customer string) (order.ID, error) {
	c := commands.PlaceOrder{Meta: commands.Meta{IdempotencyKey: o.Key, At: o.At, Channel: channel}, Customer: customer, Currency: currency,
		Country: o.Country, Tender: order.Tender{Provider: commands.Imported}, Carrier: commands.Imported, Reference: o.Invoice}
	if customer == "" {
		c.Guest = &commands.Guest{}
	}
	for _, l := range o.Lines {
		price := money.Of(l.UnitPrice, currency)
		c.Lines = append(c.Lines, commands.WantedLine{SKU: l.SKU, Quantity: l.Quantity, Price: &price, PriceReason: priceReason})
	}
	var id order.ID
	err := r.persist(ctx, func(ctx context.Context) error {
		done, err := r.handlers.PlaceOrder(ctx, importer, c)
		r.count(done.Receipt)
		id = done.Order
		return err
	})
	return id, err
}

func (r *runner) takeBack(ctx context.Context, id order.ID, back Return) error {
	c := commands.ReturnLines{Meta: commands.Meta{IdempotencyKey: back.Key, At: back.At, Channel: channel}, Order: id, Reason: "cancellation " + back.Invoice, Reference: back.Invoice}
	for _, l := range back.Lines {
		price := money.Of(l.UnitPrice, currency)
		c.Lines = append(c.Lines, commands.ReturnLine{Line: l.Line, Quantity: l.Quantity, UnitPrice: &price})
	}
	var number string
	err := r.persist(ctx, func(ctx context.Context) error {
		done, err := r.handlers.ReturnLines(ctx, importer, c)
		r.count(done.Receipt)
		number = done.Return
		return err
	})
	if errors.Is(err, commands.ErrKeyReused) {
		r.progress.differ(back.Invoice, 0)
		r.progress.Returns.Add(1)
		return nil
	}
	if err != nil {
		return err
	}
	end, err := r.watch.settled(ctx, eventstore.Return.Stream(number), r.cfg.Settle)
	if err == nil && !end.completed {
		err = fault.Newf(fault.Conflict, "IMPORT_RETURN_STUCK", "the return of invoice %s is stuck (%s)", back.Invoice, end.code)
	}
	if err == nil {
		r.progress.Returns.Add(1)
	}
	return err
}

func (r *runner) count(done commands.Receipt) {
	if done.Replayed {
		r.progress.Replayed.Add(1)
	}
}

// persist repeats a command while trying again can help. Every command carries its key, so nothing happens twice.
func (r *runner) persist(ctx context.Context, send func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Patience)
	defer cancel()
	wait := 50 * time.Millisecond
	for {
		err := send(ctx)
		if err == nil || !fault.KindOf(err).Retryable() {
			return err
		}
		timer := time.NewTimer(wait + time.Duration(time.Now().UnixNano())%wait) // jitter
		select {
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-timer.C:
		}
		wait = min(2*wait, 5*time.Second)
	}
}
