package onlineretail

import (
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/annalhq/annal/internal/fault"
)

// columns in the order that a row is kept in.
var columns = []string{"InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"}

const (
	invoiceNo = iota
	stockCode
	description
	quantity
	invoiceDate
	unitPrice
	customerID
	country
)

var productCode = regexp.MustCompile(`^([0-9]{5}[A-Za-z0-9]{0,8}|DCGS[A-Za-z0-9]{1,12}|gift_[0-9_]{1,16}|PADS)$`)

const maxQuantity = 1_000_000

// Read reads a CSV file, gzipped or not. Errors: ErrHeader naming the column, ErrTruncated; what is wrong with a single line
// is in Sheet.Refused.
func Read(r io.Reader, zone *time.Location) (*Sheet, error) {
	plain, err := unzip(r)
	if err != nil {
		return nil, err
	}
	digest := sha256.New()
	source := &source{r: plain}
	rows := csv.NewReader(io.TeeReader(source, digest))
	rows.FieldsPerRecord = -1
	rows.ReuseRecord = true
	at, err := readHeader(rows)
	if err != nil {
		return nil, err
	}
	s := &Sheet{}
	if err := s.fill(rows, at, parser{zone: zone}); err != nil {
		return nil, err
	}
	if s.endsInTheMiddle(source.last) {
		return nil, ErrTruncated
	}
	s.Digest = hex.EncodeToString(digest.Sum(nil))
	return s, nil
}

// fill sorts every line of the file into the sheet. Errors: ErrTruncated, ErrTooLarge, ErrQuote, IMPORT_READ.
func (s *Sheet) fill(rows *csv.Reader, at []int, p parser) error {
	for {
		fields, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err := unreadable(err); err != nil {
			return err
		}
		s.Lines++
		if bad := (*csv.ParseError)(nil); errors.As(err, &bad) {
			s.Refused = append(s.Refused, Refused{Number: bad.StartLine, Reason: Malformed, Detail: bad.Err.Error()})
			continue
		}
		number, _ := rows.FieldPos(0)
		if len(fields) != len(at) {
			s.Refused = append(s.Refused, Refused{Number: number, Reason: Malformed, Detail: "has " + strconv.Itoa(len(fields)) + " fields"})
			continue
		}
		row := make([]string, len(columns))
		for i, column := range at {
			row[column] = strings.Clone(strings.TrimSpace(fields[i]))
		}
		p.sort(s, number, row)
	}
}

// unreadable says why the file can't be read any further; nil also for what is wrong with one line alone.
func unreadable(err error) error {
	bad := (*csv.ParseError)(nil)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, gzip.ErrHeader):
		return ErrTruncated
	case errors.Is(err, ErrTooLarge):
		return ErrTooLarge
	case !errors.As(err, &bad):
		return fault.Wrap(err, fault.Unavailable, "IMPORT_READ", "the file can't be read")
	case bad.Line > bad.StartLine:
		return ErrQuote.Because("a quotation mark in line %d is not closed in that line; mend it, or fetch the file again", bad.StartLine)
	}
	return nil
}

// endsInTheMiddle reports whether the last line has no line ending and can't be read: a whole file may lack the one or the other.
func (s *Sheet) endsInTheMiddle(last byte) bool {
	if last == '\n' || len(s.Refused) == 0 {
		return false
	}
	r := s.Refused[len(s.Refused)-1]
	return r.Number > s.Lines && (r.Reason == Malformed || r.Reason == UnknownCountry)
}

// maxFile bounds what a file may hold, uncompressed: 20 times what a year of this retailer takes. It also bounds what a
// single field can make the parser keep.
const maxFile = 256 << 20

// A source counts what is read and remembers the last byte.
type source struct {
	r    io.Reader
	n    int64
	last byte
}

func (s *source) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	if n > 0 {
		s.last = b[n-1]
	}
	if s.n += int64(n); s.n > maxFile {
		return n, ErrTooLarge
	}
	return n, err
}

func unzip(r io.Reader) (io.Reader, error) {
	b := bufio.NewReaderSize(r, 1<<16)
	magic, err := b.Peek(2)
	if err == nil && magic[0] == 0x1f && magic[1] == 0x8b {
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, ErrTruncated
		}
		return z, nil
	}
	return b, nil
}

// readHeader returns, for each field of the file, the column it is.
func readHeader(rows *csv.Reader) ([]int, error) {
	header, err := rows.Read()
	if err != nil {
		return nil, ErrHeader
	}
	at := make([]int, len(header))
	for i, name := range header {
		name = strings.TrimSpace(strings.TrimPrefix(name, "\ufeff"))
		at[i] = slices.Index(columns, name)
		if at[i] < 0 {
			return nil, ErrHeader.Because("column %q is not known; %s", clip(name), ErrHeader.Message)
		}
		if slices.Contains(at[:i], at[i]) {
			return nil, ErrHeader.Because("column %q stands twice; %s", clip(name), ErrHeader.Message)
		}
	}
	for i, name := range columns {
		if !slices.Contains(at, i) {
			return nil, ErrHeader.Because("column %q is missing; %s", name, ErrHeader.Message)
		}
	}
	return at, nil
}

// A parser sorts rows into sales, cancellations and refused ones.
type parser struct {
	zone *time.Location
}

func (p parser) sort(s *Sheet, number int, row []string) {
	line, cancels, reason, detail := p.parse(row)
	line.Number = number
	switch {
	case reason != "":
		s.Refused = append(s.Refused, Refused{Number: number, Invoice: clip(row[invoiceNo]), SKU: clip(row[stockCode]), Reason: reason, Detail: detail})
	case cancels:
		s.Cancellations = append(s.Cancellations, line)
	default:
		s.Sales = append(s.Sales, line)
	}
}

func (p parser) parse(row []string) (line Line, cancels bool, reason Reason, detail string) {
	for i, field := range row {
		if !utf8.ValidString(field) || strings.ContainsFunc(field, unicode.IsControl) {
			return line, false, Malformed, columns[i] + " is not UTF-8 text"
		}
		if len(field) > 500 {
			return line, false, Malformed, columns[i] + " is longer than 500 bytes"
		}
	}
	n, err := strconv.ParseInt(row[quantity], 10, 64)
	if err != nil || n > maxQuantity || n < -maxQuantity {
		return line, false, Malformed, "Quantity is not a whole number within a million"
	}
	price, ok := pence(row[unitPrice])
	if !ok {
		return line, false, Malformed, "UnitPrice is not a decimal number"
	}
	at, ok := p.time(row[invoiceDate])
	if !ok {
		return line, false, Malformed, "InvoiceDate is neither like 2010-12-01 08:26:00 nor like 12/1/2010 8:26"
	}
	if row[invoiceNo] == "" {
		return line, false, Malformed, "InvoiceNo is empty"
	}
	if !productCode.MatchString(row[stockCode]) {
		return line, false, NotAProduct, ""
	}
	cancels = row[invoiceNo][0] == 'C' || row[invoiceNo][0] == 'c'
	if cancels {
		n = -n
	}
	if n <= 0 {
		return line, cancels, NoQuantity, ""
	}
	if price <= 0 {
		return line, cancels, NoPrice, ""
	}
	code, ok := countries[row[country]]
	if !ok {
		return line, cancels, UnknownCountry, clip(row[country])
	}
	return Line{Invoice: row[invoiceNo], SKU: row[stockCode], Description: row[description], Quantity: n, At: at,
		UnitPrice: price, Customer: strings.TrimSuffix(row[customerID], ".0"), Country: code}, cancels, "", ""
}

func (p parser) time(s string) (time.Time, bool) {
	for _, form := range []string{"2006-01-02 15:04:05", "1/2/2006 15:04", "2006-01-02 15:04", "1/2/2006 15:04:05"} {
		if t, err := time.ParseInLocation(form, s, p.zone); err == nil && t.Year() >= 1970 && t.Year() < 2200 {
			return t, true
		}
	}
	return time.Time{}, false
}

// pence reads a decimal number of pounds and rounds it to pence, half away from zero, without floating point.
func pence(s string) (int64, bool) {
	body, negative := strings.CutPrefix(s, "-")
	whole, frac, _ := strings.Cut(body, ".")
	if whole == "" && frac == "" || len(whole) > 12 || strings.ContainsFunc(whole+frac, notDigit) {
		return 0, false
	}
	pounds, err := strconv.ParseInt("0"+whole, 10, 64)
	if err != nil {
		return 0, false
	}
	frac += "000"
	n := pounds*100 + int64(frac[0]-'0')*10 + int64(frac[1]-'0')
	if frac[2] >= '5' {
		n++
	}
	if negative {
		n = -n
	}
	return n, true
}

func notDigit(r rune) bool { return r < '0' || r > '9' }

// clip keeps a foreign text in a message short.
func clip(s string) string {
	s = strings.ToValidUTF8(s, "?")
	if utf8.RuneCountInString(s) > 40 {
		return string([]rune(s)[:40]) + "..."
	}
	return s
}
