package graph

import (
	"context"
	"crypto/sha256"
	"net/http"
	"strings"
	"time"

	"github.com/99designs/gqlgen/graphql/handler/lru"

	"github.com/annalhq/annal/internal/auth"
)

// A session is what one request carries through its resolvers.
type session struct {
	principal auth.Principal
	key       string   // of the header Idempotency-Key
	reads     []string // read models that the operation reads, set by limits
	kind      string   // query or mutation
	field     string   // first root field, a name of the schema
	loaders   func() *loaders
}

type sessionKey struct{}

func sessionOf(ctx context.Context) *session {
	s, _ := ctx.Value(sessionKey{}).(*session) // newHandler puts it into every request's context
	return s
}

func principal(ctx context.Context) auth.Principal { return sessionOf(ctx).principal }

// trust is how long a verified token is believed without checking its signature again. Checking costs more than all the rest of
// a small request; a token that expires meanwhile is good for that much longer.
const trust = 5 * time.Second

// verifier checks bearer tokens and remembers, by their hash, those that were good a moment ago.
type verifier struct {
	verify func(string) (auth.Principal, error)
	known  *lru.LRU[believed]
	now    func() time.Time
}

type believed struct {
	principal auth.Principal
	until     time.Time
}

func newVerifier(verify func(string) (auth.Principal, error)) *verifier {
	return &verifier{verify: verify, known: lru.New[believed](4096), now: time.Now}
}

// principal returns who sent the request: nobody without an Authorization header. Faults: auth.ErrToken, those of verify.
func (v *verifier) principal(r *http.Request) (auth.Principal, error) {
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		return auth.Nobody(), nil
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return auth.Principal{}, auth.ErrToken
	}
	return v.bearer(r.Context(), token)
}

func (v *verifier) bearer(ctx context.Context, token string) (auth.Principal, error) {
	hash := sha256.Sum256([]byte(token))
	key := string(hash[:])
	now := v.now()
	if b, ok := v.known.Get(ctx, key); ok && now.Before(b.until) {
		return b.principal, nil
	}
	p, err := v.verify(token)
	if err != nil {
		return auth.Principal{}, err
	}
	v.known.Add(ctx, key, believed{p, now.Add(trust)})
	return p, nil
}
