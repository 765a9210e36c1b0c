package graph

import (
	"context"

	"github.com/annalhq/annal/graph/exec"
	"github.com/annalhq/annal/graph/model"
	"github.com/annalhq/annal/internal/auth"
)

func (r *queryResolver) Node(ctx context.Context, id string) (model.Node, error) {
	return r.node(ctx, id)
}

func (r *queryResolver) Me(ctx context.Context) (*model.Viewer, error) {
	return &model.Viewer{Principal: principal(ctx)}, nil
}

func (r *queryResolver) Projections(ctx context.Context) ([]model.ProjectionStatus, error) {
	return r.projections(ctx)
}

func (r *viewerResolver) Customer(ctx context.Context, obj *model.Viewer) (*model.Customer, error) {
	if obj.Principal.Kind != auth.Customer {
		return nil, nil
	}
	return load(ctx, sessionOf(ctx).loaders().customers, obj.Principal.ID, wrapCustomer)
}

func (r *resolver) Mutation() exec.MutationResolver { return &mutationResolver{r} }

func (r *resolver) Query() exec.QueryResolver { return &queryResolver{r} }

func (r *resolver) Viewer() exec.ViewerResolver { return &viewerResolver{r} }

type (
	mutationResolver struct{ *resolver }
	queryResolver    struct{ *resolver }
	viewerResolver   struct{ *resolver }
)
