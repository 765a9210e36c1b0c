package graph

import (
	"context"

	"github.com/annalhq/annal/graph/exec"
	"github.com/annalhq/annal/graph/model"
	"github.com/annalhq/annal/queries"
)

func (r *cartResolver) Order(ctx context.Context, obj *model.Cart) (*model.Order, error) {
	return load(ctx, sessionOf(ctx).loaders().orders, obj.CartView.Order, wrapOrder)
}

func (r *cartItemResolver) Product(ctx context.Context, obj *model.CartItem) (*model.Product, error) {
	return load(ctx, sessionOf(ctx).loaders().products, obj.SKU, wrapProduct)
}

func (r *cartPayloadResolver) Cart(ctx context.Context, obj *model.CartPayload) (*model.Cart, error) {
	return changed(ctx, r.queries, obj.Outcome, r.queries.Cart, wrapCart)
}

func (r *checkOutPayloadResolver) Order(ctx context.Context, obj *model.CheckOutPayload) (*model.Order, error) {
	return changed(ctx, r.queries, obj.Outcome, r.queries.Order, wrapOrder)
}

func (r *mutationResolver) OpenCart(ctx context.Context, input model.OpenCartInput) (*model.CartPayload, error) {
	done, err := run(ctx, input, openCart, r.commands.OpenCart)
	o, err := outcome(string(done.Cart), done.Receipt, err)
	return &model.CartPayload{Outcome: o}, err
}

func (r *mutationResolver) AddCartItem(ctx context.Context, input model.CartItemInput) (*model.CartPayload, error) {
	done, err := run(ctx, input, addItem, r.commands.AddItem)
	o, err := outcome(string(done.Cart), done.Receipt, err)
	return &model.CartPayload{Outcome: o}, err
}

func (r *mutationResolver) ChangeCartItem(ctx context.Context, input model.CartItemInput) (*model.CartPayload, error) {
	done, err := run(ctx, input, changeItem, r.commands.ChangeItem)
	o, err := outcome(string(done.Cart), done.Receipt, err)
	return &model.CartPayload{Outcome: o}, err
}

func (r *mutationResolver) RemoveCartItem(ctx context.Context, input model.RemoveCartItemInput) (*model.CartPayload, error) {
	done, err := run(ctx, input, removeItem, r.commands.RemoveItem)
	o, err := outcome(string(done.Cart), done.Receipt, err)
	return &model.CartPayload{Outcome: o}, err
}

func (r *mutationResolver) CheckOut(ctx context.Context, input model.CheckOutInput) (*model.CheckOutPayload, error) {
	done, err := run(ctx, input, checkOut, r.commands.CheckOut)
	o, err := outcome(string(done.Order), done.Receipt, err)
	return &model.CheckOutPayload{Outcome: o}, err
}

func (r *queryResolver) Cart(ctx context.Context, id string, atLeast *queries.Token) (*model.Cart, error) {
	raw, err := model.IDOf("Cart", id)
	if err != nil {
		return nil, err
	}
	return read(ctx, r.queries, atLeast, raw, r.queries.Cart, wrapCart)
}

func (r *resolver) Cart() exec.CartResolver { return &cartResolver{r} }

func (r *resolver) CartItem() exec.CartItemResolver { return &cartItemResolver{r} }

func (r *resolver) CartPayload() exec.CartPayloadResolver { return &cartPayloadResolver{r} }

func (r *resolver) CheckOutPayload() exec.CheckOutPayloadResolver { return &checkOutPayloadResolver{r} }

type (
	cartResolver            struct{ *resolver }
	cartItemResolver        struct{ *resolver }
	cartPayloadResolver     struct{ *resolver }
	checkOutPayloadResolver struct{ *resolver }
)
