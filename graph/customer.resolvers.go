package graph

import (
	"context"

	"github.com/annalhq/annal/graph/exec"
	"github.com/annalhq/annal/graph/model"
	"github.com/annalhq/annal/queries"
)

func (r *customerPayloadResolver) Customer(ctx context.Context, obj *model.CustomerPayload) (*model.Customer, error) {
	return changed(ctx, r.queries, obj.Outcome, r.queries.Customer, wrapCustomer)
}

func (r *mutationResolver) RegisterCustomer(ctx context.Context, input model.RegisterCustomerInput) (*model.CustomerPayload, error) {
	done, err := run(ctx, input, registerCustomer, r.commands.RegisterCustomer)
	o, err := outcome(string(done.Customer), done.Receipt, err)
	return &model.CustomerPayload{Outcome: o}, err
}

func (r *mutationResolver) UpdateProfile(ctx context.Context, input model.UpdateProfileInput) (*model.CustomerPayload, error) {
	done, err := run(ctx, input, updateProfile, r.commands.UpdateProfile)
	o, err := outcome(string(done.Customer), done.Receipt, err)
	return &model.CustomerPayload{Outcome: o}, err
}

func (r *mutationResolver) SetAddress(ctx context.Context, input model.SetAddressInput) (*model.CustomerPayload, error) {
	done, err := run(ctx, input, setAddress, r.commands.SetAddress)
	o, err := outcome(string(done.Customer), done.Receipt, err)
	return &model.CustomerPayload{Outcome: o}, err
}

func (r *mutationResolver) RemoveAddress(ctx context.Context, input model.RemoveAddressInput) (*model.CustomerPayload, error) {
	done, err := run(ctx, input, removeAddress, r.commands.RemoveAddress)
	o, err := outcome(string(done.Customer), done.Receipt, err)
	return &model.CustomerPayload{Outcome: o}, err
}

func (r *mutationResolver) SetPreferences(ctx context.Context, input model.SetPreferencesInput) (*model.CustomerPayload, error) {
	done, err := run(ctx, input, setPreferences, r.commands.SetPreferences)
	o, err := outcome(string(done.Customer), done.Receipt, err)
	return &model.CustomerPayload{Outcome: o}, err
}

func (r *mutationResolver) ChangeTier(ctx context.Context, input model.ChangeTierInput) (*model.CustomerPayload, error) {
	done, err := run(ctx, input, changeTier, r.commands.ChangeTier)
	o, err := outcome(string(done.Customer), done.Receipt, err)
	return &model.CustomerPayload{Outcome: o}, err
}

func (r *queryResolver) Customer(ctx context.Context, id string, atLeast *queries.Token) (*model.Customer, error) {
	raw, err := model.IDOf("Customer", id)
	if err != nil {
		return nil, err
	}
	return read(ctx, r.queries, atLeast, raw, r.queries.Customer, wrapCustomer)
}

func (r *queryResolver) Customers(ctx context.Context, email *string, phone *string, reference *string, first *int64, after *string, last *int64, before *string, atLeast *queries.Token) (*model.CustomerConnection, error) {
	if err := wait(ctx, r.queries, atLeast); err != nil {
		return nil, err
	}
	f := queries.CustomerFilter{Email: value(email), Phone: value(phone), Reference: value(reference)}
	c, err := r.queries.Customers(ctx, principal(ctx), f, page(first, after, last, before))
	return customerConnection(c), err
}

func (r *queryResolver) Notifications(ctx context.Context, orderID string, first *int64, after *string, atLeast *queries.Token) (*model.NotificationConnection, error) {
	id, err := model.IDOf("Order", orderID)
	if err != nil {
		return nil, err
	}
	if err := wait(ctx, r.queries, atLeast); err != nil {
		return nil, err
	}
	c, err := r.queries.Notifications(ctx, principal(ctx), id, page(first, after, nil, nil))
	return notificationConnection(c), err
}

func (r *resolver) CustomerPayload() exec.CustomerPayloadResolver { return &customerPayloadResolver{r} }

type customerPayloadResolver struct{ *resolver }
