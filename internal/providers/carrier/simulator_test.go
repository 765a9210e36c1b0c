package carrier_test

import (
	"path/filepath"
	"testing"

	"github.com/annalhq/annal/internal/providers/carrier"
)

func TestABookingHasOneLife(t *testing.T) {
	path := filepath.Join(t.TempDir(), "parcels.jsonl")
	s, err := carrier.NewSimulator(carrier.SimulatorConfig{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // a test's file
	expect := func(name string, out carrier.Outcome, err error, accepted bool, code string) {
		t.Helper()
		if err != nil || out.Accepted != accepted || out.Code != code {
			t.Errorf("%s: %+v, %v", name, out, err)
		}
	}
	for range 2 {
		out, err := s.Book(t.Context(), carrier.Parcel{Key: "a", Country: "GB", Name: "Sentinel", Pieces: 2})
		expect("book", out, err, true, "")
	}
	first, err := s.Dispatch(t.Context(), "a")
	expect("dispatch", first, err, true, "")
	again, err := s.Dispatch(t.Context(), "a")
	expect("dispatch again", again, err, true, "")
	late, err := s.Cancel(t.Context(), "a")
	expect("cancel too late", late, err, false, carrier.CodeDispatched)
	if first.Tracking == "" || again.Tracking != first.Tracking || late.Tracking != first.Tracking {
		t.Errorf("tracking numbers %q, %q, %q", first.Tracking, again.Tracking, late.Tracking)
	}
	out, err := s.Cancel(t.Context(), "b") // before it was booked
	expect("cancel", out, err, true, "")
	out, err = s.Book(t.Context(), carrier.Parcel{Key: "b", Country: "GB"})
	expect("book the cancelled", out, err, false, carrier.CodeCancelled)
	out, err = s.Book(t.Context(), carrier.Parcel{Key: "c", Country: carrier.NoCountry})
	expect("book to nowhere", out, err, false, "not_served")
	out, err = s.Dispatch(t.Context(), "d")
	expect("dispatch nothing", out, err, false, carrier.CodeNotBooked)
	books, err := s.Bookings()
	if err != nil || len(books) != 3 || books[0].Bookings != 1 {
		t.Errorf("%+v, %v", books, err)
	}
}
