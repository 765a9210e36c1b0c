// Package onlineretail reads the sales of an online gift retailer, in the form of the UCI data set "Online Retail"
// (doi 10.24432/C5BW33), and imports them through the same commands as everybody else uses.
//
// The trip: Read parses every line of the file and says of each that is no sale or cancellation why not; Arrange orders what
// is left into products, opening stock, customers, orders and returns; Run sends the commands. Nothing is sent before
// the whole file was read and arranged, so a malformed or truncated file changes nothing.
//
//	file -> Read -> Sheet (sales, cancellations, refused) -> Arrange -> Plan -> Run -> commands
//
// Rules, so that another program can reckon the same sums:
//   - A product code begins with five digits, or is one of the shop's DCGS..., gift_... and PADS codes; POST, DOT, M, D, C2,
//     S, BANK CHARGES, AMAZONFEE and the like are charges and corrections.
//   - A unit price is rounded to whole pence, half away from zero, before anything is multiplied; one that rounds to 0 is no price.
//   - A line with a product code, a positive quantity and a positive price is a sale, with a customer or without.
//   - Lines of one invoice, customer, country and day are one order, at the time of the first of them.
//   - A cancellation line takes units back from earlier sales of the same SKU to the same customer (without a customer:
//     to any guest) whose unit price is not below its own: at the same price first, then the nearest price, then the latest
//     sale. What finds no sale is listed as unmatched and is in no sum.
//
// Everything a file says is in local time of Europe/London. The arrangement is a pure function of the file, and every
// command's idempotency key is derived from it: an import that was interrupted goes on, a second one changes nothing.
package onlineretail

import (
	"time"

	"github.com/annalhq/annal/internal/fault"
)

// Line is one line of the file that is a sale or a cancellation.
type Line struct {
	Number      int // in the file, from 1; the header is line 1
	Invoice     string
	SKU         string
	Description string
	Quantity    int64 // always positive
	At          time.Time
	UnitPrice   int64 // pence, positive
	Customer    string
	Country     string // ISO 3166-1 alpha-2 or user-assigned
}

// Refused is a line that was not imported, and why.
type Refused struct {
	Number   int    `json:"line"`
	Invoice  string `json:"invoice,omitzero"`
	SKU      string `json:"sku,omitzero"`
	Quantity int64  `json:"quantity,omitzero"` // unmatched: the units that found no sale
	Pence    int64  `json:"pence,omitzero"`    // unmatched: their value
	Reason   Reason `json:"reason"`
	Detail   string `json:"detail,omitzero"`
}

// Reason is why a line was not imported.
type Reason string

// The reasons.
const (
	NotAProduct    Reason = "not-a-product"
	NoPrice        Reason = "no-price"
	NoQuantity     Reason = "no-quantity" // zero or negative without being a cancellation: a stock correction of the source
	Malformed      Reason = "malformed"   // a field that can't be read
	UnknownCountry Reason = "unknown-country"
	Unmatched      Reason = "unmatched-cancellation"
	Differs        Reason = "differs-from-an-earlier-import" // the invoice is in the shop with other lines: it stays as it is
)

// Sheet is what a file holds.
type Sheet struct {
	Digest        string // hex SHA-256 of the uncompressed bytes
	Lines         int    // data lines, without the header
	Sales         []Line
	Cancellations []Line
	Refused       []Refused
}

// The faults of a file as a whole; nothing is imported.
var (
	ErrHeader    = fault.New(fault.Invalid, "IMPORT_COLUMNS", "the first line must name the columns InvoiceNo, StockCode, Description, Quantity, InvoiceDate, UnitPrice, CustomerID, Country")
	ErrQuote     = fault.New(fault.Invalid, "IMPORT_QUOTE", "a quotation mark is not closed in its line")
	ErrTooLarge  = fault.New(fault.Exhausted, "IMPORT_TOO_LARGE", "the file holds more than 256 MiB; split it by months")
	ErrTruncated = fault.New(fault.Invalid, "IMPORT_TRUNCATED", "the file ends in the middle; fetch it again")
)
