package queries

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"time"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/fault"
)

// Token says how new an answer must at least be: a receipt's position, in the store that gave it.
type Token struct {
	Store    eventstore.StoreID  `json:"s"`
	Position eventstore.Position `json:"p"`
}

// String returns the token's opaque form, base64url of its JSON.
func (t Token) String() string {
	b, err := json.Marshal(t)
	if err != nil {
		return "" // a string and a number always marshal
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// ParseToken reads what String wrote. Fault: ErrToken.
func ParseToken(s string) (Token, error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	var t Token
	if err != nil || len(b) > 256 || json.Unmarshal(b, &t) != nil || t.Store == "" {
		return Token{}, ErrToken
	}
	return t, nil
}

// The faults of waiting.
var (
	ErrToken = fault.New(fault.Invalid, "POSITION_INVALID", "the position is not one of this shop; take it from a mutation's receipt")
	// ErrBehind answers when the bound is passed; its message tells the lag.
	ErrBehind = fault.New(fault.Timeout, "READ_MODEL_BEHIND", "the read model does not contain the change yet; try again")
	// ErrPaused answers at once: nobody is moving the read model.
	ErrPaused = fault.New(fault.Unavailable, "READ_MODEL_PAUSED", "the read model is paused or failed; its operator must resume it")
)

// Wait returns once each of the read models has applied everything up to the token, or after the configured bound. It is right
// for read models that the last event doesn't concern, too: their checkpoints move by watermarks. The zero token is always there.
// Faults: ErrBehind, ErrPaused, ErrToken, READ_MODELS_UNAVAILABLE.
func (q *Queries) Wait(ctx context.Context, atLeast Token, models ...string) error {
	if atLeast == (Token{}) || len(models) == 0 {
		return nil
	}
	if late, err := q.waiting.known().late(atLeast, models); err == nil && late == nil {
		return nil
	}
	timeout := time.NewTimer(q.wait)
	defer timeout.Stop()
	q.waiting.enter()
	defer q.waiting.leave()
	changed := q.waiting.changed() // before looking, so that no signal falls between
	now, err := q.look(ctx)
	for {
		if err != nil {
			return err
		}
		late, err := now.late(atLeast, models)
		if late == nil || err != nil {
			return err
		}
		select {
		case <-changed:
		case <-timeout.C:
			return late.behind(atLeast, q.wait)
		case <-ctx.Done():
			return fault.Wrap(ctx.Err(), fault.Timeout, ErrBehind.Code, "waiting for the read models")
		}
		changed, now = q.waiting.changed(), q.waiting.known()
	}
}

// catalogue is what projections.checkpoints said of the live read models, by name.
type catalogue map[string]standing

type standing struct {
	Name     string
	Version  int
	Position eventstore.Position
	Store    eventstore.StoreID
	Status   string
	Parked   int64
	Events   int64
	Cause    string
}

// late returns a read model that is behind the token, nil if none is.
func (c catalogue) late(t Token, models []string) (*standing, error) {
	for _, name := range models {
		s, ok := c[name]
		switch {
		case !ok:
			return nil, fault.Newf(fault.Internal, "READ_MODEL_UNKNOWN", "there is no read model %s", name)
		case s.Store != "" && s.Store != t.Store:
			return nil, ErrToken
		case s.Position >= t.Position:
		case s.Status != "running":
			return nil, ErrPaused.Because("read model %s is %s and %d positions behind", name, s.Status, t.Position-s.Position)
		default:
			return &s, nil
		}
	}
	return nil, nil
}

func (s *standing) behind(t Token, waited time.Duration) error {
	return ErrBehind.Because("read model %s is at position %d, %d positions behind, after waiting for %v; try again",
		s.Name, s.Position, t.Position-s.Position, waited)
}

// look reads the catalogue.
func (q *Queries) look(ctx context.Context) (catalogue, error) {
	all, err := collect[standing](ctx, q, `SELECT name, version, position, store, status, parked, events, cause FROM projections.checkpoints WHERE live`)
	if err != nil {
		return nil, err
	}
	c := make(catalogue, len(all))
	for _, s := range all {
		c[s.Name] = s
	}
	return c, nil
}

// ReadModel is how far a read model is.
type ReadModel struct {
	Name     string
	Version  int
	Position eventstore.Position
	Store    eventstore.StoreID
	Status   string // live, catching-up, paused, failed or degraded (rows are parked)
	Parked   int64  // events that wait
	Events   int64  // events taken since its beginning
	Lag      uint64 // positions behind the store's newest domain event
	Cause    string // why it failed
}

// catchingUp is the lag in positions above which a read model counts as catching up; positions are byte offsets in some stores.
const catchingUp = 1 << 20

// ReadModels returns how far the live read models are, by name. It asks no principal: readiness checks and the operator's
// tool call it; graph requires auth.Administer before it does.
func (q *Queries) ReadModels(ctx context.Context) ([]ReadModel, error) {
	now, err := q.look(ctx)
	if err != nil {
		return nil, err
	}
	head, err := q.log.Head(ctx)
	if err != nil {
		return nil, err
	}
	models := make([]ReadModel, 0, len(now))
	for _, s := range now {
		m := ReadModel{Name: s.Name, Version: s.Version, Position: s.Position, Store: s.Store, Parked: s.Parked, Events: s.Events, Cause: s.Cause}
		if head > s.Position {
			m.Lag = uint64(head - s.Position)
		}
		m.Status = s.state(m.Lag)
		models = append(models, m)
	}
	slices.SortFunc(models, func(a, b ReadModel) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return models, nil
}

func (s standing) state(lag uint64) string {
	switch {
	case s.Status != "running":
		return s.Status
	case s.Parked > 0:
		return "degraded"
	case lag > catchingUp:
		return "catching-up"
	}
	return "live"
}
