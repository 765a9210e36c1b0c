package customer

import (
	"bytes"
	"encoding/json"

	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/pii"
)

// SnapshotSchema is the version of what Snapshot writes. It is raised whenever the form changes, and whenever Evolve would
// make another State of the same events: snapshots of another version are never read.
const SnapshotSchema = 1

// ErrSnapshot refuses what Snapshot did not write.
var ErrSnapshot = fault.New(fault.Internal, "SNAPSHOT_MALFORMED", "not a snapshot of a customer")

// snapshot is the JSON of a State. What is sealed in the state is sealed in here.
type snapshot struct {
	Customer    ID              `json:"customer"`
	Name        pii.Sealed      `json:"name"`
	Email       pii.Sealed      `json:"email"`
	Phone       pii.Sealed      `json:"phone"`
	Country     string          `json:"country"`
	Reference   string          `json:"reference"`
	Tier        Tier            `json:"tier"`
	Preferences preferencesForm `json:"preferences"`
	Addresses   []entryForm     `json:"addresses"`
}

type preferencesForm struct {
	Mail     bool   `json:"mail"`
	SMS      bool   `json:"sms"`
	Push     bool   `json:"push"`
	Language string `json:"language"`
}

type entryForm struct {
	Label   string     `json:"label"`
	Address pii.Sealed `json:"address"`
	Country string     `json:"country"`
}

// Snapshot returns the state's JSON: equal states give equal bytes.
func (s State) Snapshot() ([]byte, error) {
	out := snapshot{Customer: s.Customer, Name: s.Name, Email: s.Email, Phone: s.Phone, Country: s.Country, Reference: s.Reference,
		Tier: s.Tier, Preferences: preferencesForm(s.Preferences), Addresses: []entryForm{}}
	for _, e := range s.Addresses {
		out.Addresses = append(out.Addresses, entryForm(e))
	}
	data, err := json.Marshal(out)
	return data, fault.Wrap(err, ErrSnapshot.Kind, ErrSnapshot.Code, "the customer can't be encoded")
}

// Restore returns the state that Snapshot wrote. Fault: ErrSnapshot.
func Restore(data []byte) (State, error) {
	var in snapshot
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if decoder.Decode(&in) != nil { // what a decoder says may repeat the data
		return State{}, ErrSnapshot
	}
	s := State{Customer: in.Customer, Name: in.Name, Email: in.Email, Phone: in.Phone, Country: in.Country, Reference: in.Reference,
		Tier: in.Tier, Preferences: Preferences(in.Preferences)}
	for i, e := range in.Addresses {
		if i > 0 && in.Addresses[i-1].Label >= e.Label { // the state finds by halving
			return State{}, ErrSnapshot
		}
		s.Addresses = append(s.Addresses, Entry(e))
	}
	return s, nil
}
