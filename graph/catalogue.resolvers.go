package graph

import (
	"context"

	"github.com/annalhq/annal/graph/exec"
	"github.com/annalhq/annal/graph/model"
	"github.com/annalhq/annal/queries"
)

func (r *mutationResolver) CreateProduct(ctx context.Context, input model.CreateProductInput) (*model.ProductPayload, error) {
	done, err := run(ctx, input, createProduct, r.commands.CreateProduct)
	o, err := outcome(string(done.SKU), done.Receipt, err)
	return &model.ProductPayload{Outcome: o}, err
}

func (r *mutationResolver) ReviseProduct(ctx context.Context, input model.ReviseProductInput) (*model.ProductPayload, error) {
	done, err := run(ctx, input, reviseProduct, r.commands.ReviseProduct)
	o, err := outcome(string(done.SKU), done.Receipt, err)
	return &model.ProductPayload{Outcome: o}, err
}

func (r *mutationResolver) DiscontinueProduct(ctx context.Context, input model.DiscontinueProductInput) (*model.ProductPayload, error) {
	done, err := run(ctx, input, discontinueProduct, r.commands.DiscontinueProduct)
	o, err := outcome(string(done.SKU), done.Receipt, err)
	return &model.ProductPayload{Outcome: o}, err
}

func (r *mutationResolver) ReceiveStock(ctx context.Context, input model.ReceiveStockInput) (*model.StockPayload, error) {
	done, err := run(ctx, input, receiveStock, r.commands.ReceiveStock)
	o, err := outcome(string(done.SKU), done.Receipt, err)
	return &model.StockPayload{Outcome: o}, err
}

func (r *mutationResolver) AdjustStock(ctx context.Context, input model.AdjustStockInput) (*model.StockPayload, error) {
	done, err := run(ctx, input, adjustStock, r.commands.AdjustStock)
	o, err := outcome(string(done.SKU), done.Receipt, err)
	return &model.StockPayload{Outcome: o}, err
}

func (r *mutationResolver) SetStockThreshold(ctx context.Context, input model.SetStockThresholdInput) (*model.StockPayload, error) {
	done, err := run(ctx, input, setStockThreshold, r.commands.SetStockThreshold)
	o, err := outcome(string(done.SKU), done.Receipt, err)
	return &model.StockPayload{Outcome: o}, err
}

func (r *productResolver) InStock(ctx context.Context, obj *model.Product) (bool, error) {
	units, err := load(ctx, sessionOf(ctx).loaders().units, obj.SKU, wrapStock)
	return units != nil && units.Available > 0, err
}

func (r *productResolver) Stock(ctx context.Context, obj *model.Product) (*model.Stock, error) {
	return load(ctx, sessionOf(ctx).loaders().stock, obj.SKU, wrapStock)
}

func (r *productPayloadResolver) Product(ctx context.Context, obj *model.ProductPayload) (*model.Product, error) {
	return changed(ctx, r.queries, obj.Outcome, r.queries.Product, wrapProduct)
}

func (r *queryResolver) Product(ctx context.Context, sku string, atLeast *queries.Token) (*model.Product, error) {
	return read(ctx, r.queries, atLeast, sku, r.queries.Product, wrapProduct)
}

func (r *queryResolver) Products(ctx context.Context, onSale *bool, name *string, first *int64, after *string, last *int64, before *string, atLeast *queries.Token) (*model.ProductConnection, error) {
	if err := wait(ctx, r.queries, atLeast); err != nil {
		return nil, err
	}
	c, err := r.queries.Products(ctx, principal(ctx), queries.ProductFilter{OnSale: onSale, Name: value(name)}, page(first, after, last, before))
	sessionOf(ctx).loaders().expectProducts(c)
	return productConnection(c), err
}

func (r *queryResolver) Stock(ctx context.Context, low *bool, first *int64, after *string, last *int64, before *string, atLeast *queries.Token) (*model.StockConnection, error) {
	if err := wait(ctx, r.queries, atLeast); err != nil {
		return nil, err
	}
	c, err := r.queries.Stocks(ctx, principal(ctx), value(low), page(first, after, last, before))
	return stockConnection(c), err
}

func (r *stockPayloadResolver) Stock(ctx context.Context, obj *model.StockPayload) (*model.Stock, error) {
	return changed(ctx, r.queries, obj.Outcome, r.queries.Stock, wrapStock)
}

func (r *resolver) Product() exec.ProductResolver { return &productResolver{r} }

func (r *resolver) ProductPayload() exec.ProductPayloadResolver { return &productPayloadResolver{r} }

func (r *resolver) StockPayload() exec.StockPayloadResolver { return &stockPayloadResolver{r} }

type (
	productResolver        struct{ *resolver }
	productPayloadResolver struct{ *resolver }
	stockPayloadResolver   struct{ *resolver }
)
