package server

import (
	"bytes"
	"errors"
	"strconv"

	"github.com/annalhq/annal/eventstore/engine"
)

// linkType is the type of events that point to others: their data is "<revision>@<stream>".
const linkType = "$>"

func parseLink(data []byte) (stream string, r engine.Revision, ok bool) {
	number, name, found := bytes.Cut(data, []byte("@"))
	n, err := strconv.ParseUint(string(number), 10, 63)
	if !found || err != nil || engine.CheckStream(string(name)) != nil {
		return "", 0, false
	}
	return string(name), engine.Revision(n), true
}

// follow returns what a link points to, nil if that is gone: truncated, too old or deleted. A record that is no link, or an
// unreadable one, isn't followed; nor is a link that a link points to.
func follow(db *engine.DB, r *engine.Record) (target *engine.Record, isLink bool, err error) {
	if r.Type != linkType {
		return nil, false, nil
	}
	stream, revision, ok := parseLink(r.Data)
	if !ok {
		return nil, false, nil
	}
	target, err = readOne(db, stream, revision)
	return target, true, err
}

// readOne returns one event of a stream, nil if it can't be read there.
func readOne(db *engine.DB, stream string, revision engine.Revision) (*engine.Record, error) {
	page, err := db.ReadStream(stream, revision, engine.Forwards, 1)
	switch {
	case errors.Is(err, engine.ErrStreamMissing), errors.Is(err, engine.ErrStreamDeleted):
		return nil, nil //nolint:nilnil // an event that is gone is no error
	case err != nil:
		return nil, err
	case len(page.Records) == 0 || page.Records[0].Revision != revision:
		return nil, nil //nolint:nilnil // likewise
	}
	return &page.Records[0], nil
}
