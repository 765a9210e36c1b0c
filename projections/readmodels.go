package projections

import (
	"embed"
	"time"

	"github.com/annalhq/annal/internal/fault"
)

//go:embed sql/*.sql
var sqlFiles embed.FS

// Settings are the constants that folds are made with.
type Settings struct {
	Location *time.Location // decides to which day a sale belongs (ANNAL_TIMEZONE); default UTC
}

// All returns Annal's read models. A new one is a line here.
func All(s Settings) ([]Projection, error) {
	if s.Location == nil {
		s.Location = time.UTC
	}
	var r registry
	add(&r, orders())
	add(&r, products())
	add(&r, stock())
	add(&r, customers())
	add(&r, carts())
	add(&r, payments())
	add(&r, shipments())
	add(&r, notifications())
	add(&r, sales(s.Location))
	return r.all, r.err
}

// registry collects definitions and keeps the first error.
type registry struct {
	all []Projection
	err error
}

// add defines s with the SQL of sql/<name>.sql.
func add[Row any](r *registry, s Spec[Row]) {
	if r.err != nil {
		return
	}
	sql, err := sqlFiles.ReadFile("sql/" + s.Name + ".sql")
	if err != nil {
		r.err = fault.Wrap(err, fault.Invalid, "PROJECTION_INVALID", "projection "+s.Name+" has no SQL file")
		return
	}
	s.SQL = string(sql)
	p, err := Define(s)
	r.all, r.err = append(r.all, p), err
}
