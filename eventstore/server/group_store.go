package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/annalhq/annal/eventstore/engine"
	"github.com/annalhq/annal/eventstore/server/groups"
)

const (
	checkpointType = "$SubscriptionCheckpoint"
	parksAtOnce    = 256 // messages parked by one append
	maxReason      = 1024
)

func newEventID() engine.ID { return engine.ID(uuid.New()) }

// groupStore writes a group's own streams: checkpoints and parked messages.
type groupStore struct {
	db      *engine.DB
	key     groupKey
	timeout time.Duration
}

// checkpoint returns the last readable checkpoint; not ok if there is none. What others may have written there is passed over.
func (s groupStore) checkpoint() (at uint64, ok bool, err error) {
	page, err := s.db.ReadStream(s.key.checkpoints(), engine.LastRevision, engine.Backwards, 10)
	if errors.Is(err, engine.ErrStreamMissing) || errors.Is(err, engine.ErrStreamDeleted) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	for i := range page.Records {
		var text string
		if json.Unmarshal(page.Records[i].Data, &text) != nil {
			continue
		}
		if at, ok := s.key.parsePlace(text); ok {
			return at, true, nil
		}
	}
	return 0, false, nil
}

// writeJob is what a group wants stored. It becomes durable in this order.
type writeJob struct {
	parkings   []groups.Parking
	save       bool
	checkpoint uint64
	truncate   bool
	below      uint64
}

func (j *writeJob) empty() bool { return len(j.parkings) == 0 && !j.save && !j.truncate }

// writeOutcome says how a job went, part by part.
type writeOutcome struct {
	job                                writeJob
	parkFailed, saveFailed, hideFailed error
}

func (s groupStore) write(job writeJob, load func(groups.Ref) (message, bool, error)) writeOutcome {
	ctx, cancel := context.WithTimeout(context.Background(), s.timeout)
	defer cancel()
	done := writeOutcome{job: job}
	if len(job.parkings) > 0 {
		done.parkFailed = s.park(ctx, job.parkings, load)
	}
	if job.save {
		done.saveFailed = s.saveCheckpoint(ctx, job.checkpoint)
	}
	if job.truncate {
		done.hideFailed = s.describe(ctx, s.key.parked(), "$tb", job.below)
	}
	return done
}

// park appends a link for each message that is still there.
func (s groupStore) park(ctx context.Context, parkings []groups.Parking, load func(groups.Ref) (message, bool, error)) error {
	var links []engine.Event
	for _, p := range parkings {
		m, ok, err := load(p.Ref)
		if err != nil {
			return err
		}
		if !ok {
			continue // gone meanwhile: there is nothing left to be parked
		}
		link, err := parkedLink(m, p)
		if err != nil {
			return err
		}
		links = append(links, link)
	}
	if len(links) == 0 {
		return nil
	}
	_, err := s.db.Append(ctx, s.key.parked(), engine.ExpectAny, links)
	return err
}

func parkedLink(m message, p groups.Parking) (engine.Event, error) {
	to := m.pointed()
	metadata, err := json.Marshal(struct {
		Added  time.Time `json:"added"`
		Reason string    `json:"reason"`
		At     uint64    `json:"subscriptionEventNumber"`
	}{time.Now().UTC(), p.Reason, uint64(m.original().Revision)})
	data := append(strconv.AppendUint(nil, uint64(to.Revision), 10), "@"+to.Stream...)
	return engine.Event{ID: newEventID(), Type: linkType, Metadata: metadata, Data: data}, err
}

func (s groupStore) saveCheckpoint(ctx context.Context, at uint64) error {
	data, err := json.Marshal(s.key.place(at))
	if err != nil {
		return err
	}
	e := engine.Event{ID: newEventID(), Type: checkpointType, JSON: true, Data: data}
	if _, err := s.db.Append(ctx, s.key.checkpoints(), engine.ExpectAny, []engine.Event{e}); err != nil {
		return err
	}
	return s.describe(ctx, s.key.checkpoints(), "$maxCount", 2)
}

// describe sets one number of a stream's metadata and keeps what else is there.
func (s groupStore) describe(ctx context.Context, stream, name string, n uint64) error {
	fields := map[string]json.RawMessage{}
	page, err := s.db.ReadStream(engine.MetadataPrefix+stream, engine.LastRevision, engine.Backwards, 1)
	if err != nil && !errors.Is(err, engine.ErrStreamMissing) {
		return err
	}
	if len(page.Records) > 0 {
		if json.Unmarshal(page.Records[0].Data, &fields) != nil || fields == nil {
			fields = map[string]json.RawMessage{}
		}
	}
	value := strconv.AppendUint(nil, n, 10)
	if bytes.Equal(fields[name], value) {
		return nil
	}
	fields[name] = value
	data, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	e := engine.Event{ID: newEventID(), Type: engine.MetadataType, JSON: true, Data: data}
	_, err = s.db.Append(ctx, engine.MetadataPrefix+stream, engine.ExpectAny, []engine.Event{e})
	return err
}

// streamEnded says that a stream in which a group of this name would keep its state was tombstoned.
type streamEnded struct{ stream string }

// Error says what to do.
func (e *streamEnded) Error() string {
	return "the group would keep its state in the stream '" + e.stream + "', which was tombstoned, and that is for ever; give the group another name"
}

// clear deletes what a group of this name has left behind. A tombstone, which ends a stream for ever, is told at the end.
func (s groupStore) clear(ctx context.Context) error {
	var ended error
	for _, stream := range []string{s.key.checkpoints(), s.key.parked()} {
		_, err := s.db.ReadStream(stream, engine.LastRevision, engine.Backwards, 1)
		if errors.Is(err, engine.ErrStreamMissing) {
			continue
		}
		if err == nil {
			_, err = s.db.Delete(ctx, stream, engine.ExpectAny)
		}
		switch {
		case errors.Is(err, engine.ErrStreamDeleted):
			ended = &streamEnded{stream}
		case err != nil:
			return err
		}
	}
	return ended
}
