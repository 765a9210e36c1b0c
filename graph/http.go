package graph

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/executor"
	"github.com/99designs/gqlgen/graphql/handler/lru"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator/core"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/queries"
)

// knownDocuments is how many parsed and validated documents are kept; each is at most Limits.Query long.
const knownDocuments = 1000

// handler serves GraphQL over HTTP (graphql.github.io/graphql-over-http).
type handler struct {
	exec     *executor.Executor
	known    *lru.LRU[*ast.QueryDocument] // parsed and validated documents, filled by exec
	queries  *queries.Queries
	tokens   *verifier
	origins  *http.CrossOriginProtection
	errors   presenter
	observer *observer
	cfg      Config
}

func newHandler(schema graphql.ExecutableSchema, d Deps, cfg Config) (*handler, error) {
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 30 * time.Second
	}
	cfg.Limits = cfg.Limits.orDefault()
	observer, err := newObserver(d.Registerer, d.Logger)
	if err != nil {
		return nil, err
	}
	h := &handler{exec: executor.New(schema), known: lru.New[*ast.QueryDocument](knownDocuments), queries: d.Queries, tokens: newVerifier(d.Verify), origins: http.NewCrossOriginProtection(),
		errors: presenter{d.Logger}, observer: observer, cfg: cfg}
	h.exec.SetQueryCache(h.known)
	h.exec.SetParserTokenLimit(cfg.Limits.Tokens)
	h.exec.SetDisableSuggestion(true)
	h.exec.SetDefaultRulesFn(silentRules)
	h.exec.SetErrorPresenter(h.errors.present)
	h.exec.SetRecoverFunc(h.errors.recovered)
	return h, nil
}

// silentRules are the specification's rules without guesses at what was meant: a guess tells a hidden schema.
func silentRules() *rules.Rules {
	all := rules.NewDefaultRules()
	for _, r := range []struct {
		loud   string
		silent core.Rule
	}{{rules.KnownArgumentNamesRule.Name, rules.KnownArgumentNamesRuleWithoutSuggestions}, {rules.KnownTypeNamesRule.Name, rules.KnownTypeNamesRuleWithoutSuggestions},
		{rules.ValuesOfCorrectTypeRule.Name, rules.ValuesOfCorrectTypeRuleWithoutSuggestions}} {
		all.RemoveRule(r.loud)
		all.AddRule(r.silent.Name, r.silent.RuleFunc)
	}
	return all
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	ctx, span := h.observer.begin(r)
	ctx, cancel := context.WithTimeout(ctx, h.cfg.Timeout)
	defer cancel()
	s := &session{kind: "none", field: "none"}
	a := h.answer(context.WithValue(ctx, sessionKey{}, s), w, r, s)
	switch a.status {
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", allowed(r.Method))
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	a.write(w)
	h.observer.end(ctx, span, s, a, began)
}

// allowed: a mutation that came by GET may come by POST.
func allowed(method string) string {
	if method == http.MethodGet {
		return http.MethodPost
	}
	return "GET, POST"
}

func (h *handler) answer(ctx context.Context, w http.ResponseWriter, r *http.Request, s *session) (a *answer) {
	media := mediaOf(r.Header.Values("Accept"))
	defer func() {
		if cause := recover(); cause != nil {
			a = &answer{media: plainJSON, status: http.StatusInternalServerError, errors: h.exec.DispatchError(ctx, gqlerror.List{gqlerror.Wrap(h.errors.recovered(ctx, cause))}).Errors}
		}
		if a.media = media; media == "" {
			a.media = plainJSON
		}
	}()
	if media == "" {
		return h.refused(ctx, errAccept)
	}
	if h.origins.Check(r) != nil {
		return h.refused(ctx, errOrigin)
	}
	var err error
	if s.principal, err = h.tokens.principal(r); err != nil {
		return h.refused(ctx, refusal{fault.KindOf(err).HTTP(), err})
	}
	p, err := readParams(w, r, h.cfg.Limits.Body)
	if err != nil {
		return h.refused(ctx, err)
	}
	if err := h.size(ctx, p.Query); err != nil {
		return h.refused(ctx, err)
	}
	s.key = keyOf(r.Header)
	s.loaders = sync.OnceValue(func() *loaders { return newLoaders(h.queries, s.principal) })
	p.ReadTime = graphql.TraceTiming{Start: graphql.Now(), End: graphql.Now()}
	return h.execute(ctx, r.Method, p, s)
}

// size refuses a document that is too much to be validated. What can't be parsed is left to exec, which says why.
func (h *handler) size(ctx context.Context, query string) error {
	if len(query) > h.cfg.Limits.Query {
		return errQueryLong
	}
	if _, ok := h.known.Get(ctx, query); ok {
		return nil
	}
	doc, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: query}, h.cfg.Limits.Tokens)
	if err == nil && written(doc) > h.cfg.Limits.Selections {
		return errSelections
	}
	return nil
}

func (h *handler) execute(ctx context.Context, method string, p *graphql.RawParams, s *session) *answer {
	ctx = graphql.StartOperationTrace(ctx)
	op, errs := h.exec.CreateOperationContext(ctx, p)
	if len(errs) > 0 {
		for _, e := range errs {
			restated(e, p.Variables)
			if op.Doc != nil && op.Operation == nil {
				e.Message = unknownOperation(p.OperationName)
			}
		}
		located(errs, p.Query)
		return &answer{errors: h.exec.DispatchError(graphql.WithOperationContext(ctx, op), errs).Errors}
	}
	if err := checkInts(op); err != nil {
		return h.refused(ctx, err)
	}
	if err := checkLiterals(op.Doc); err != nil {
		return h.refused(ctx, err)
	}
	w := weigh(op.Operation, op.Variables)
	s.kind, s.reads = string(op.Operation.Operation), w.reads
	s.field = rootField(op.Operation.SelectionSet)
	if method == http.MethodGet && op.Operation.Operation != ast.Query {
		return h.refused(ctx, errMethod)
	}
	if err := h.cfg.Limits.check(w, h.cfg.HideSchema); err != nil {
		return h.refused(ctx, err)
	}
	op.DisableIntrospection = h.cfg.HideSchema
	respond, ctx := h.exec.DispatchOperation(ctx, op)
	response := respond(ctx)
	if response == nil { // gqlgen ends a stream like that: the caller is gone or out of time
		return h.refused(ctx, refusal{http.StatusGatewayTimeout, fault.New(fault.Timeout, "DEADLINE_EXCEEDED", "the request was cancelled or ran out of time")})
	}
	return &answer{executed: true, data: response.Data, errors: response.Errors}
}

func unknownOperation(name string) string {
	if name == "" {
		return "the document has several operations; say in operationName which one to carry out"
	}
	return fmt.Sprintf("the document has no operation %.100q", name)
}

// refused answers a request of which nothing was carried out.
func (h *handler) refused(ctx context.Context, err error) *answer {
	a := &answer{errors: h.exec.DispatchError(ctx, gqlerror.List{gqlerror.Wrap(err)}).Errors}
	if r := (refusal{}); errors.As(err, &r) {
		a.status = r.status
	}
	return a
}

// rootField returns the first root field, a name that the schema bounds.
func rootField(set ast.SelectionSet) string {
	for _, selection := range set {
		switch sel := selection.(type) {
		case *ast.Field:
			return sel.Name
		case *ast.InlineFragment:
			return rootField(sel.SelectionSet)
		case *ast.FragmentSpread:
			return rootField(sel.Definition.SelectionSet)
		}
	}
	return "none"
}
