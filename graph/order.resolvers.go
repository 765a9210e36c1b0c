package graph

import (
	"context"

	"github.com/annalhq/annal/commands"
	"github.com/annalhq/annal/graph/exec"
	"github.com/annalhq/annal/graph/model"
	"github.com/annalhq/annal/queries"
)

func (r *mutationResolver) PlaceOrder(ctx context.Context, input model.PlaceOrderInput) (*model.OrderPayload, error) {
	done, err := run(ctx, input, placeOrder, r.commands.PlaceOrder)
	o, err := outcome(string(done.Order), done.Receipt, err)
	return &model.OrderPayload{Outcome: o}, err
}

func (r *mutationResolver) CancelOrder(ctx context.Context, input model.CancelOrderInput) (*model.OrderPayload, error) {
	done, err := run(ctx, input, cancelOrder, r.commands.RequestCancel)
	o, err := outcome(string(done.Order), done.Receipt, err)
	return &model.OrderPayload{Outcome: o}, err
}

func (r *mutationResolver) DeliverOrder(ctx context.Context, input model.DeliverOrderInput) (*model.OrderPayload, error) {
	if _, err := run(ctx, input, deliverShipment, r.commands.DeliverShipment); err != nil {
		o, err := outcome("", commands.Receipt{}, err)
		return &model.OrderPayload{Outcome: o}, err
	}
	done, err := run(ctx, input, markDelivered, r.commands.MarkDelivered)
	o, err := outcome(string(done.Order), done.Receipt, err)
	return &model.OrderPayload{Outcome: o}, err
}

func (r *mutationResolver) ReturnLines(ctx context.Context, input model.ReturnLinesInput) (*model.OrderPayload, error) {
	done, err := run(ctx, input, returnLines, r.commands.ReturnLines)
	o, err := outcome(string(done.Order), done.Receipt, err)
	return &model.OrderPayload{Outcome: o}, err
}

func (r *orderResolver) Customer(ctx context.Context, obj *model.Order) (*model.Customer, error) {
	return load(ctx, sessionOf(ctx).loaders().customers, obj.OrderView.Customer, wrapCustomer)
}

func (r *orderResolver) Payment(ctx context.Context, obj *model.Order) (*model.Payment, error) {
	return load(ctx, sessionOf(ctx).loaders().payments, obj.OrderView.ID, wrapPayment)
}

func (r *orderResolver) Shipment(ctx context.Context, obj *model.Order) (*model.Shipment, error) {
	return load(ctx, sessionOf(ctx).loaders().shipments, obj.OrderView.ID, wrapShipment)
}

func (r *orderPayloadResolver) Order(ctx context.Context, obj *model.OrderPayload) (*model.Order, error) {
	return changed(ctx, r.queries, obj.Outcome, r.queries.Order, wrapOrder)
}

func (r *queryResolver) Order(ctx context.Context, id string, atLeast *queries.Token) (*model.Order, error) {
	raw, err := model.IDOf("Order", id)
	if err != nil {
		return nil, err
	}
	return read(ctx, r.queries, atLeast, raw, r.queries.Order, wrapOrder)
}

func (r *queryResolver) Orders(ctx context.Context, filter *model.OrderFilter, first *int64, after *string, last *int64, before *string, atLeast *queries.Token) (*model.OrderConnection, error) {
	if err := wait(ctx, r.queries, atLeast); err != nil {
		return nil, err
	}
	c, err := r.queries.Orders(ctx, principal(ctx), orderFilter(filter), page(first, after, last, before))
	sessionOf(ctx).loaders().expectOrders(c)
	return orderConnection(c), err
}

func (r *resolver) Order() exec.OrderResolver { return &orderResolver{r} }

func (r *resolver) OrderPayload() exec.OrderPayloadResolver { return &orderPayloadResolver{r} }

type (
	orderResolver        struct{ *resolver }
	orderPayloadResolver struct{ *resolver }
)
