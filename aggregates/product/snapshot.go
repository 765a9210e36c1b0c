package product

import (
	"bytes"
	"encoding/json"

	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/money"
)

// SnapshotSchema is the version of what Snapshot writes. It is raised whenever the form changes, and whenever Evolve would
// make another State of the same events: snapshots of another version are never read.
const SnapshotSchema = 1

// ErrSnapshot refuses what Snapshot did not write.
var ErrSnapshot = fault.New(fault.Internal, "SNAPSHOT_MALFORMED", "not a snapshot of a product")

// snapshot is the JSON of a State.
type snapshot struct {
	SKU          SKU          `json:"sku"`
	Name         string       `json:"name"`
	Description  string       `json:"description"`
	Price        money.Amount `json:"price"`
	Discontinued bool         `json:"discontinued"`
}

// Snapshot returns the state's JSON: equal states give equal bytes.
func (s State) Snapshot() ([]byte, error) {
	data, err := json.Marshal(snapshot(s))
	return data, fault.Wrap(err, ErrSnapshot.Kind, ErrSnapshot.Code, "the product can't be encoded")
}

// Restore returns the state that Snapshot wrote. Fault: ErrSnapshot.
func Restore(data []byte) (State, error) {
	var in snapshot
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if decoder.Decode(&in) != nil { // what a decoder says may repeat the data
		return State{}, ErrSnapshot
	}
	return State(in), nil
}
