package graph

import (
	"context"

	"github.com/annalhq/annal/graph/model"
	"github.com/annalhq/annal/internal/money"
	"github.com/annalhq/annal/queries"
)

func (r *queryResolver) Sales(ctx context.Context, by model.SalesGrouping, from *string, to *string, currency *money.Currency, first *int64, after *string, atLeast *queries.Token) (*model.SalesConnection, error) {
	if err := wait(ctx, r.queries, atLeast); err != nil {
		return nil, err
	}
	c, err := r.queries.SalesReport(ctx, principal(ctx), salesQuery(by, from, to, currency), page(first, after, nil, nil))
	return salesConnection(c), err
}
