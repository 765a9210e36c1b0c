package model

import (
	"encoding/json"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/99designs/gqlgen/graphql"

	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/money"
	"github.com/annalhq/annal/queries"
)

// The faults of scalars.
var (
	ErrString = fault.New(fault.Invalid, "STRING_INVALID", "a string is text in UTF-8 without NUL characters")
	ErrInt    = fault.New(fault.Invalid, "INT_INVALID", "an Int is a whole number between -2147483648 and 2147483647, without point and exponent")
	ErrTime   = fault.New(fault.Invalid, "DATETIME_INVALID", "a date and time is written like 2026-03-01T09:30:00Z")
	ErrDate   = fault.New(fault.Invalid, "DATE_INVALID", "a day is written like 2026-03-01")
)

func quoted(s string) graphql.Marshaler { return graphql.MarshalString(s) }

// MarshalString writes a String.
func MarshalString(s string) graphql.Marshaler { return quoted(s) }

// UnmarshalString reads a String. Fault: ErrString.
func UnmarshalString(v any) (string, error) {
	s, ok := v.(string)
	if n, number := v.(json.Number); number {
		return "", ErrString.Because("a String is text; put the number %.40s into quotes", n.String())
	}
	if !ok || !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
		return "", ErrString
	}
	return s, nil
}

// MarshalID writes an ID.
func MarshalID(s string) graphql.Marshaler { return quoted(s) }

// UnmarshalID reads an ID; as the specification wants it, also from a number. Fault: ErrString.
func UnmarshalID(v any) (string, error) {
	switch v := v.(type) {
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") {
			return "", ErrString.Because("an ID is text or a whole number, not %.40s", v.String())
		}
		return v.String(), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	}
	return UnmarshalString(v)
}

// MarshalInt64 writes an Int.
func MarshalInt64(n int64) graphql.Marshaler {
	return graphql.WriterFunc(func(w io.Writer) { _, _ = io.WriteString(w, strconv.FormatInt(n, 10)) }) // into memory
}

// UnmarshalInt64 reads an Int. Fault: ErrInt.
func UnmarshalInt64(v any) (int64, error) {
	var n int64
	switch v := v.(type) {
	case json.Number:
		parsed, err := strconv.ParseInt(v.String(), 10, 32) // refuses a point and an exponent as well
		if err != nil {
			return 0, ErrInt
		}
		n = parsed
	case int64:
		n = v
	case int:
		n = int64(v)
	case string:
		return 0, ErrInt.Because("%s, without quotes", ErrInt.Message)
	default:
		return 0, ErrInt
	}
	if n < math.MinInt32 || n > math.MaxInt32 {
		return 0, ErrInt
	}
	return n, nil
}

// MarshalInt writes an Int.
func MarshalInt(n int) graphql.Marshaler { return MarshalInt64(int64(n)) }

// UnmarshalInt reads an Int. Fault: ErrInt.
func UnmarshalInt(v any) (int, error) {
	n, err := UnmarshalInt64(v)
	return int(n), err
}

// MarshalDateTime writes a DateTime in UTC.
func MarshalDateTime(t time.Time) graphql.Marshaler { return quoted(t.UTC().Format(time.RFC3339Nano)) }

// UnmarshalDateTime reads a DateTime. Fault: ErrTime.
func UnmarshalDateTime(v any) (time.Time, error) {
	s, _ := v.(string)
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || t.Year() < 1 {
		return time.Time{}, ErrTime
	}
	return t.UTC(), nil
}

// MarshalDate writes a Date.
func MarshalDate(s string) graphql.Marshaler { return quoted(s) }

// UnmarshalDate reads a Date. Fault: ErrDate.
func UnmarshalDate(v any) (string, error) {
	s, _ := v.(string)
	if _, err := time.Parse(time.DateOnly, s); err != nil {
		return "", ErrDate
	}
	return s, nil
}

// MarshalPosition writes a Position.
func MarshalPosition(t queries.Token) graphql.Marshaler { return quoted(t.String()) }

// UnmarshalPosition reads a Position. Fault: queries.ErrToken.
func UnmarshalPosition(v any) (queries.Token, error) {
	s, _ := v.(string)
	return queries.ParseToken(s)
}

// MarshalCurrencyCode writes a CurrencyCode.
func MarshalCurrencyCode(c money.Currency) graphql.Marshaler { return quoted(string(c)) }

// UnmarshalCurrencyCode reads a CurrencyCode. Fault: money.ErrUnknownCurrency.
func UnmarshalCurrencyCode(v any) (money.Currency, error) {
	s, _ := v.(string)
	if c := money.Currency(s); c.Known() {
		return c, nil
	}
	return "", money.ErrUnknownCurrency
}
