// Package graph is the API: GraphQL over HTTP in front of commands and queries.
//
//	request -> http.go (method, media types, size, JSON) -> principal.go (who) -> limits.go (how much) -> a resolver of three
//	lines -> commands or queries -> errors.go (what of an error is shown, and where) -> respond.go (status and body)
//
// What is kept:
//   - nothing is decided here that another door would have to decide again: authorisation, validation and refusals belong to
//     commands and queries. graph turns words of the schema into theirs and back.
//   - a refusal that the caller can do something about (kinds Invalid, Conflict, Missing of a command) is a userError of the
//     payload; everything else is a top-level error with extensions code, reason and traceId. What nobody classified is
//     masked and logged (errors.go is the one place).
//   - a mutation's payload reads its object only if that is selected, at the receipt's position. If the read model is late,
//     that field alone carries a TIMEOUT; the change stands, and its receipt is in the answer.
//   - a request is bounded before it costs anything: bytes, tokens, depth, aliases, directives, root fields, cost, time. Only
//     application/json is taken, GET only queries, no batches, no cross-origin writes: no browser form can change anything.
//   - nothing of a body, a variable or a token is logged, traced or measured.
//
// exec and model/models_gen.go are made by gqlgen from schema/*.graphqls (go generate). cmd/annald mounts the handler.
package graph

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/annalhq/annal/commands"
	"github.com/annalhq/annal/graph/exec"
	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/queries"
)

//go:generate go tool gqlgen generate

// Deps is what the API stands on.
type Deps struct {
	Commands   *commands.Handlers
	Queries    *queries.Queries
	Verify     func(token string) (auth.Principal, error) // of a bearer token; a refusal is a fault of kind Unauthenticated
	Registerer prometheus.Registerer                      // default: none
	Logger     *slog.Logger                               // default: discards
}

// Config tunes the API.
type Config struct {
	HideSchema bool          // refuse introspection
	Timeout    time.Duration // longest time of one request; default 30 s
	Limits     Limits
}

// New returns the handler of /graphql. Fault: CONFIG_INCOMPLETE.
func New(d Deps, cfg Config) (http.Handler, error) {
	if d.Commands == nil || d.Queries == nil || d.Verify == nil {
		return nil, fault.New(fault.Invalid, "CONFIG_INCOMPLETE", "the API needs commands, queries and a check of tokens")
	}
	return newHandler(exec.NewExecutableSchema(exec.Config{Resolvers: &resolver{commands: d.Commands, queries: d.Queries}}), d, cfg)
}
