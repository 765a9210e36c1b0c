package money_test

import (
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/annalhq/annal/internal/money"
)

func TestDecimalAndParse(t *testing.T) {
	for _, c := range []struct {
		amount  money.Amount
		decimal string
	}{
		{money.Of(1234, "GBP"), "12.34"}, {money.Of(5, "GBP"), "0.05"}, {money.Of(-5, "EUR"), "-0.05"},
		{money.Of(500, "JPY"), "500"}, {money.Of(1, "KWD"), "0.001"}, {money.Of(math.MaxInt64, "USD"), "92233720368547758.07"},
	} {
		if got := c.amount.Decimal(); got != c.decimal {
			t.Errorf("%#v: %q, want %q", c.amount, got, c.decimal)
		}
		if got, err := money.Parse(c.decimal, c.amount.Currency); err != nil || got != c.amount {
			t.Errorf("%q: %v, %v", c.decimal, got, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for in, want := range map[string]error{
		"": money.ErrAmountMalformed, "1.": money.ErrAmountMalformed, ".5": money.ErrAmountMalformed, "1.234": money.ErrAmountMalformed,
		"1e3": money.ErrAmountMalformed, "--1": money.ErrAmountMalformed, "+1": money.ErrAmountMalformed, "1 ": money.ErrAmountMalformed,
		"٣": money.ErrAmountMalformed, "99999999999999999999": money.ErrAmountOverflow,
	} {
		if got, err := money.Parse(in, "GBP"); !errors.Is(err, want) {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
	if _, err := money.Parse("1", "XXY"); !errors.Is(err, money.ErrUnknownCurrency) {
		t.Errorf("unknown currency: %v", err)
	}
}

func TestArithmeticIsExactOrRefused(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Int64().Draw(t, "a"), rapid.Int64().Draw(t, "b")
		sum, err := money.Of(a, "GBP").Add(money.Of(b, "GBP"))
		overflow := (b > 0 && a > math.MaxInt64-b) || (b < 0 && a < math.MinInt64-b)
		if overflow != errors.Is(err, money.ErrAmountOverflow) || (!overflow && sum.Minor != a+b) {
			t.Fatalf("%d + %d = %v, %v", a, b, sum, err)
		}
		n := rapid.Int64Range(-1000, 1000).Draw(t, "n")
		product, err := money.Of(a, "GBP").Times(n)
		if err == nil && n != 0 && (product.Minor/n != a || product.Minor%n != 0) {
			t.Fatalf("%d * %d = %v", a, n, product)
		}
	})
	if _, err := money.Of(1, "GBP").Add(money.Of(1, "EUR")); !errors.Is(err, money.ErrCurrencyMismatch) {
		t.Errorf("currencies were mixed: %v", err)
	}
	if sum, err := (money.Amount{}).Add(money.Of(7, "EUR")); err != nil || sum != money.Of(7, "EUR") {
		t.Errorf("nothing plus 7 = %v, %v", sum, err)
	}
}
