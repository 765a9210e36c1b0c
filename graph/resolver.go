package graph

import (
	"context"

	"github.com/annalhq/annal/commands"
	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/queries"
)

// resolver is the root of all resolvers.
type resolver struct {
	commands *commands.Handlers
	queries  *queries.Queries
}

// run turns an input into its command and has it carried out.
func run[Input, Command, Result any](ctx context.Context, input Input, build func(context.Context, Input) (Command, error),
	handle func(context.Context, auth.Principal, Command) (Result, error)) (Result, error) {
	c, err := build(ctx, input)
	if err != nil {
		var none Result
		return none, err
	}
	return handle(ctx, principal(ctx), c)
}

// read waits for the position and reads one thing: nil if there is none or it is not for the one who asks.
func read[View, T any](ctx context.Context, q *queries.Queries, atLeast *queries.Token, id string,
	get func(context.Context, auth.Principal, string) (View, error), wrap func(View) T) (*T, error) {
	if err := wait(ctx, q, atLeast); err != nil {
		return nil, err
	}
	view, err := get(ctx, principal(ctx), id)
	if err != nil {
		return nil, present(err)
	}
	t := wrap(view)
	return &t, nil
}

// present turns "there is none" into null.
func present(err error) error {
	if fault.KindOf(err) == fault.Missing {
		return nil
	}
	return err
}

// wait waits until everything that the operation reads contains the position.
func wait(ctx context.Context, q *queries.Queries, atLeast *queries.Token) error {
	if atLeast == nil {
		return nil
	}
	return q.Wait(ctx, *atLeast, sessionOf(ctx).reads...)
}

func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
