// Package commands takes every change: load, decide, append.
//
// A handler is a method of Handlers. It asks the principal for its right, checks the input's shape, begins a request
// (begin: idempotency key, command id, input MAC) and executes it on one stream (execute): the stream's state is loaded,
// a pure decision of aggregates/<context> returns events or refuses, the events are appended at the revision they were
// decided at, and the caller gets a Receipt. Effects on the world are intent event, then port, then outcome event.
//
// What is kept:
//   - invariant 21: an accepted command has one effect and one answer. The events carry the command id; a repeat, from
//     whichever process and after whatever crash, finds it in the stream and is answered from there. The same key with
//     other input is ErrKeyReused. A refusal binds nothing.
//   - races are decided by the expected revision alone (invariant 4). Decisions that wait for the same stream in one
//     process share one append (lane.go), so that a SKU that everybody wants is not a queue of round trips.
//   - a refusal or a no-op from a cached state is decided again after the stream's tail was read: only an append proves
//     that a cache was fresh.
//
// Callers: graph (in process), the worker roles (over RabbitMQ, dispatch.go), sagas by message, the import. Errors are
// faults; after Unavailable or Timeout the outcome is unknown and the same command may be sent again.
package commands

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/nats-io/nuid"

	"github.com/annalhq/annal/eventstore"
	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/pii"
	"github.com/annalhq/annal/internal/telemetry"
	"github.com/annalhq/annal/internal/vault"
)

// Config tunes the handlers.
type Config struct {
	Now         func() time.Time // business time of live commands; default time.Now
	CacheEvents int              // bound of the cache of hot aggregates, in events they were folded from; default 400,000
	// SnapshotEvery is after how many events of a long stream its state is kept anew (Run does it); default 1,000.
	SnapshotEvery int
	Logger        *slog.Logger // default: discards
}

// Handlers holds what every handler needs. It is safe for concurrent use; any number of processes may run one each.
type Handlers struct {
	store     *eventstore.Client
	vault     *vault.Vault
	ports     Ports
	now       func() time.Time
	log       *slog.Logger
	cache     *cache // of streams that are written; an entry belongs to its lane's leader
	looked    *cache // of streams that are only looked at
	lanes     *lanes
	snapshots *snapshots
	effects   effects // streams whose effects on the world are under way
}

// New returns the handlers.
func New(store *eventstore.Client, v *vault.Vault, ports Ports, cfg Config) (*Handlers, error) {
	if store == nil || v == nil {
		return nil, fault.New(fault.Invalid, "CONFIG_INCOMPLETE", "commands need an event store and a vault")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.CacheEvents == 0 {
		cfg.CacheEvents = 400_000
	}
	if cfg.SnapshotEvery == 0 {
		cfg.SnapshotEvery = 1000
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Handlers{store: store, vault: v, ports: ports, now: cfg.Now, log: cfg.Logger,
		cache: newCache(cfg.CacheEvents), looked: newCache(cfg.CacheEvents / 4), lanes: newLanes(),
		snapshots: newSnapshots(store, cfg.Logger, cfg.SnapshotEvery)}, nil
}

// Meta travels with every command.
type Meta struct {
	IdempotencyKey string    `json:"idempotencyKey,omitzero"` // 1 to 255 printable characters; drawn as a NUID when empty
	Correlation    string    `json:"correlation,omitzero"`    // defaults to the command id
	Causation      string    `json:"causation,omitzero"`      // the event or command that caused it; defaults to the command id
	Reason         string    `json:"reason,omitzero"`         // why, where somebody said; no personal data
	Channel        string    `json:"channel,omitzero"`        // "web", "staff", "import"
	At             time.Time `json:"at,omitzero"`             // business time; zero = now; only services and the import may set it
}

// Receipt says what became of an accepted command.
type Receipt struct {
	Command     uuid.UUID           `json:"command"`
	Stream      eventstore.Stream   `json:"stream"`
	Revision    eventstore.Revision `json:"revision"` // of the command's last event
	Position    eventstore.Position `json:"position"` // of the command's last event
	Store       eventstore.StoreID  `json:"store"`
	Correlation string              `json:"correlation"`
	Replayed    bool                `json:"replayed,omitzero"` // answered from the stored events of an earlier call
}

// The faults of every command.
var (
	ErrKeyReused    = fault.New(fault.Conflict, "IDEMPOTENCY_KEY_REUSED", "this idempotency key was used with other input; draw a new key for a new command")
	ErrKeyMalformed = fault.New(fault.Invalid, "IDEMPOTENCY_KEY_MALFORMED", "an idempotency key is 1 to 255 printable characters without spaces").At("idempotencyKey")
	ErrBusy         = fault.New(fault.Unavailable, "STREAM_BUSY", "too many changes of the same thing at once; try again")
	ErrMeta         = fault.New(fault.Invalid, "META_MALFORMED", "correlation, causation and channel are at most 100, a reason at most 500 printable characters")
	errAtDenied     = fault.New(fault.Denied, "BUSINESS_TIME_FORBIDDEN", "only the import and services may say when something happened").At("at")
)

// A request is a command on its way: who, what, when, under which id.
type request struct {
	Principal   auth.Principal
	Name        string
	Command     uuid.UUID
	MAC         string
	also        []string                // MACs that the same input has had: repeat.go
	remains     func(recorded any) bool // compares where no MAC can; nil: a MAC decides
	At          time.Time
	Correlation string
	Causation   string
	Reason      string
	Country     string
	Channel     string
	Traceparent string
	Store       eventstore.StoreID
}

// begin checks the command's Meta and gives the request its identity. input is what is compared when the key comes
// again: the command without its Meta, in plaintext; only a MAC of it is kept, under the subject's key ("" = the shop's).
func (h *Handlers) begin(ctx context.Context, p auth.Principal, name string, m Meta, subject pii.Subject, input any) (request, error) {
	m, err := h.completed(m, p)
	if err != nil {
		return request{}, err
	}
	mac, err := h.inputMAC(ctx, subject, input)
	if err != nil {
		return request{}, err
	}
	store, err := h.store.Identity(ctx)
	if err != nil {
		return request{}, err
	}
	id := eventstore.CommandID(string(p.Kind), p.ID, name, m.IdempotencyKey)
	r := request{Principal: p, Name: name, Command: id, MAC: mac, At: m.At.UTC().Truncate(time.Microsecond),
		Correlation: m.Correlation, Causation: m.Causation, Reason: m.Reason, Channel: m.Channel, Store: store,
		Traceparent: telemetry.Traceparent(ctx)}
	r.Correlation, r.Causation = or(r.Correlation, id.String()), or(r.Causation, id.String())
	return r, nil
}

// inputMAC is the MAC of the input's canonical form. Faults: COMMAND_UNENCODABLE, those of the vault.
func (h *Handlers) inputMAC(ctx context.Context, subject pii.Subject, input any) (string, error) {
	canonical, err := json.Marshal(input)
	if err != nil {
		return "", fault.Wrap(err, fault.Internal, "COMMAND_UNENCODABLE", "the command can't be encoded")
	}
	return h.vault.MAC(ctx, subject, canonical)
}

// completed checks what came with the command and puts in what was left out. Faults: ErrKeyMalformed, ErrMeta,
// BUSINESS_TIME_FORBIDDEN.
func (h *Handlers) completed(m Meta, p auth.Principal) (Meta, error) {
	if m.IdempotencyKey == "" {
		m.IdempotencyKey = nuid.Next()
	}
	switch {
	case !validKey(m.IdempotencyKey):
		return m, ErrKeyMalformed
	case !printable(m.Correlation, 0, 100) || !printable(m.Causation, 0, 100) || !printable(m.Reason, 0, 500) || !printable(m.Channel, 0, 100):
		return m, ErrMeta
	case !m.At.IsZero() && p.Kind != auth.Service && p.Kind != auth.Importer:
		return m, errAtDenied
	case m.At.IsZero():
		m.At = h.now()
	}
	if p.Kind != auth.Service { // a service says where the order that it works for came from, or nothing
		m.Channel = channelOf(p, m.Channel)
	}
	return m, nil
}

// sub returns the request of a part of the command, with an id of its own: one command that touches several streams, or
// a stream twice, is a sub-request for each, so that every part is repeatable by itself.
func (r request) sub(part string) request {
	r.Causation = r.Command.String()
	r.Command = uuid.NewSHA1(r.Command, []byte(part))
	return r
}

func validKey(k string) bool {
	if len(k) > 255 || !utf8.ValidString(k) {
		return false
	}
	for _, c := range k {
		if !unicode.IsGraphic(c) || unicode.IsSpace(c) {
			return false
		}
	}
	return k != ""
}
