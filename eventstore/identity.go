package eventstore

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/google/uuid"

	"github.com/annalhq/annal/internal/fault"
)

// Where a store keeps its identity: an unregistered category, so no domain event.
const (
	identityStream = Stream("annal-store")
	identityType   = "annal.store.v1"
)

var errIdentity = fault.New(fault.Internal, "STORE_IDENTITY_MALFORMED", "the event store's identity can't be read; see the first event of stream annal-store")

type identityData struct {
	ID StoreID `json:"id"`
}

// Identity returns the store's identity, and gives it one if it has none. Of racing writers one wins, all return its id.
// Kept as long as the session: after an outage another store may stand at the same address. Faults: see Append.
func (c *Client) Identity(ctx context.Context) (StoreID, error) {
	if c == nil {
		return "", ErrClosed
	}
	s, err := c.session(ctx)
	if err != nil {
		return "", err
	}
	if known := s.identity.Load(); known != nil {
		return *known, nil
	}
	id, err := c.readIdentity(ctx)
	if errors.Is(err, ErrNoStream) {
		if err = c.writeIdentity(ctx); err == nil || errors.Is(err, ErrWrongRevision) {
			id, err = c.readIdentity(ctx)
		}
	}
	if err != nil {
		return "", err
	}
	s.identity.Store(&id)
	return id, nil
}

func (c *Client) readIdentity(ctx context.Context) (StoreID, error) {
	for r, err := range c.ReadStream(ctx, identityStream, 0) {
		if err != nil {
			return "", err
		}
		var data identityData
		if err := json.Unmarshal(r.Data, &data); err != nil || data.ID == "" || r.Type != identityType {
			return "", errIdentity
		}
		return data.ID, nil
	}
	return "", errIdentity // the stream exists and is empty: somebody truncated it
}

func (c *Client) writeIdentity(ctx context.Context) error {
	data, err := json.Marshal(identityData{ID: StoreID(uuid.NewString())})
	if err != nil {
		return wrap(err, errIdentity)
	}
	_, err = c.Append(ctx, identityStream, NoStream, []Event{{ID: uuid.New(), Type: identityType, Data: data, Metadata: []byte("{}")}})
	return err
}

// Head returns the position of the newest domain event, 0 if there is none. Faults: see ReadStream.
func (c *Client) Head(ctx context.Context) (Position, error) {
	for r, err := range c.ReadAllBackwards(ctx, 0, 1, Filter{}) {
		return r.Position, err
	}
	return 0, nil
}
