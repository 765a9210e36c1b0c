package onlineretail_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/annalhq/annal/cmd/annal/onlineretail"
)

const header = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\r\n"

func london(t testing.TB) *time.Location {
	zone, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// zeros never end.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func read(t *testing.T, lines ...string) *onlineretail.Sheet {
	t.Helper()
	s, err := onlineretail.Read(strings.NewReader(header+strings.Join(lines, "\r\n")+"\r\n"), london(t))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestEveryLineIsASaleACancellationOrRefusedWithAReason(t *testing.T) {
	s := read(t,
		"1,85123A,HEART,6,2010-12-01 08:26:00,2.55,17850,United Kingdom",
		"1,85123A,HEART,6,12/1/2010 8:26,2.555,17850.0,United Kingdom",
		"C2,85123A,HEART,-2,2010-12-02 08:26:00,2.55,17850,United Kingdom",
		"3,POST,POSTAGE,1,2010-12-01 08:26:00,18,,France",
		"3,22423,CAKESTAND,1,2010-12-01 08:26:00,0,,France",
		"3,22423,CAKESTAND,1,2010-12-01 08:26:00,0.001,,France",
		"3,22423,damaged,-10,2010-12-01 08:26:00,0,,France",
		"3,22423,CAKESTAND,1,2010-12-01 08:26:00,1,,Atlantis",
		"3,22423,CAKESTAND,x,2010-12-01 08:26:00,1,,France",
		"3,22423,CAKESTAND,9999999,2010-12-01 08:26:00,1,,France",
		"3,22423,CAKESTAND,1,01.12.2010,1,,France",
		"3,22423,CAKESTAND,1,2010-12-01 08:26:00,1e3,,France",
		"3,22423,CAKE\xffSTAND,1,2010-12-01 08:26:00,1,,France",
		"3,22423,too,few",
		"3,22423,a \"bare quote,1,2010-12-01 08:26:00,1,,France",
	)
	if s.Lines != 15 || len(s.Sales) != 2 || len(s.Cancellations) != 1 {
		t.Fatalf("%d lines, %d sales, %d cancellations", s.Lines, len(s.Sales), len(s.Cancellations))
	}
	if s.Sales[1].UnitPrice != 256 || s.Sales[1].Customer != "17850" || !s.Sales[0].At.Equal(s.Sales[1].At) {
		t.Errorf("second form of line 1: %+v", s.Sales[1])
	}
	var got []string
	for _, r := range s.Refused {
		got = append(got, fmt.Sprint(r.Number, " ", r.Reason))
	}
	want := []string{"5 not-a-product", "6 no-price", "7 no-price", "8 no-quantity", "9 unknown-country", "10 malformed", "11 malformed",
		"12 malformed", "13 malformed", "14 malformed", "15 malformed", "16 malformed"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("refused (-want +got):\n%s", diff)
	}
}

func TestAFileOfAnotherFormIsRefusedByName(t *testing.T) {
	for in, name := range map[string]string{
		"InvoiceNo,StockCode,Description,Quantity,InvoiceDate,Price,CustomerID,Country\n": `"Price"`,
		"InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID\n":     `"Country"`,
		"":       "InvoiceNo",
		"json\n": "json",
	} {
		_, err := onlineretail.Read(strings.NewReader(in), london(t))
		if !errors.Is(err, onlineretail.ErrHeader) || !strings.Contains(err.Error(), name) {
			t.Errorf("%q: %v", in, err)
		}
	}
	whole := header + "1,85123A,HEART,6,2010-12-01 08:26:00,2.55,17850,United Kingdom"
	for n := len(header) + 1; n < len(whole); n++ {
		if _, err := onlineretail.Read(strings.NewReader(whole[:n]), london(t)); !errors.Is(err, onlineretail.ErrTruncated) && whole[n-1] != ',' {
			t.Errorf("cut after %q: %v", whole[len(header):n], err)
		}
	}
	if _, err := onlineretail.Read(strings.NewReader(header+"1,\"85123A,HEART\r\n2,a,b,c,d,e,f,g\r\n"), london(t)); !errors.Is(err, onlineretail.ErrQuote) {
		t.Errorf("an open quote: %v", err)
	}
	if _, err := onlineretail.Read(io.MultiReader(strings.NewReader(header+"\""), zeros{}), london(t)); !errors.Is(err, onlineretail.ErrTooLarge) {
		t.Errorf("an endless field: %v", err)
	}
	if _, err := onlineretail.Read(strings.NewReader("\x1f\x8b\x08\x00"), london(t)); !errors.Is(err, onlineretail.ErrTruncated) {
		t.Errorf("truncated gzip: %v", err)
	}
}

func TestReturnsFindTheMostPlausibleSale(t *testing.T) {
	p := onlineretail.Arrange(read(t,
		"1,22423,CAKE,5,2010-12-01 08:00:00,3.00,17,United Kingdom",  // order 0
		"2,22423,CAKE,5,2010-12-02 08:00:00,2.00,17,United Kingdom",  // order 1
		"2,22423,CAKE,5,2010-12-02 08:00:00,2.00,17,United Kingdom",  // order 1, equal line
		"3,22423,CAKE,5,2010-12-03 08:00:00,2.00,18,United Kingdom",  // somebody else
		"4,22423,CAKE,50,2010-12-09 08:00:00,2.00,17,United Kingdom", // later
		"C5,22423,CAKE,-7,2010-12-04 08:00:00,2.00,17,United Kingdom",
		"C6,22423,CAKE,-9,2010-12-05 08:00:00,2.00,17,United Kingdom",
		"C7,22423,CAKE,-1,2010-12-05 08:00:00,2.00,,United Kingdom",
	))
	if len(p.Orders) != 4 || len(p.Orders[1].Lines) != 2 {
		t.Fatalf("%d orders", len(p.Orders))
	}
	type take struct {
		invoice string
		order   int
		lines   []onlineretail.ReturnedLine
	}
	var got []take
	for _, r := range p.Returns {
		got = append(got, take{r.Invoice, r.Order, r.Lines})
	}
	want := []take{
		{"C5", 1, []onlineretail.ReturnedLine{{1, 5, 200}, {2, 2, 200}}},
		{"C6", 1, []onlineretail.ReturnedLine{{2, 3, 200}}},
		{"C6", 0, []onlineretail.ReturnedLine{{1, 5, 200}}},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(take{})); diff != "" {
		t.Errorf("returns (-want +got):\n%s", diff)
	}
	if len(p.Unmatched) != 2 || p.Unmatched[0].Quantity != 1 || p.Unmatched[0].Pence != 200 || p.Unmatched[1].Invoice != "C7" {
		t.Errorf("unmatched: %+v", p.Unmatched)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(header + "1,85123A,HEART,6,2010-12-01 08:26:00,2.55,17850,United Kingdom\r\n")
	f.Add("\"")
	zone := london(f)
	f.Fuzz(func(t *testing.T, in string) {
		s, err := onlineretail.Read(strings.NewReader(in), zone)
		if err != nil {
			return
		}
		if s.Lines != len(s.Sales)+len(s.Cancellations)+len(s.Refused) {
			t.Fatalf("%d lines, %d + %d + %d", s.Lines, len(s.Sales), len(s.Cancellations), len(s.Refused))
		}
		onlineretail.Arrange(s)
	})
}
