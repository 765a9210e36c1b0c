package projections

import (
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/money"
)

var errOverflow = fault.New(fault.Internal, "SUM_OUT_OF_RANGE", "a sum of a row does not fit into 64 bits")

// plus adds exactly, or refuses.
func plus(a, b int64) (int64, error) {
	sum := a + b
	if (sum > a) != (b > 0) && b != 0 {
		return 0, errOverflow
	}
	return sum, nil
}

// addTo adds n to what sum points to, unless err is set already.
func addTo(err *error, sum *int64, n int64) {
	if *err == nil {
		*sum, *err = plus(*sum, n)
	}
}

// worth is quantity times unit price, in minor units.
func worth(quantity int64, unit money.Amount) (int64, error) {
	a, err := unit.Times(quantity)
	return a.Minor, err
}
