// Command sums reckons the net sales of an Online Retail file by month, country and SKU, and holds the shop's API to them,
// to the penny.
//
// It is written from the rules alone (package onlineretail states them) and shares no code with the import: only the
// standard library, another way to read numbers (big.Rat), another way to match cancellations. What agrees was reckoned twice.
//
//	sums -api http://127.0.0.1:8080/graphql -report .annal/imports/<digest>.json FILE     TOKEN in the environment
//
// It prints how many sums it compared and ends with 0, or prints each that differs and ends with 1. It also counts the lines that
// a shop must take (product code, positive quantity, positive price) and requires the import's report to refuse under 1% of them.
package main

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
)

func main() {
	api := flag.String("api", "", "address of the GraphQL API; empty: only print the sums")
	report := flag.String("report", "", "the import's report, to be held to the count of sales")
	flag.Parse()
	if err := check(flag.Arg(0), *api, *report); err != nil {
		fmt.Fprintln(os.Stderr, "sums:", err)
		os.Exit(1)
	}
}

func check(file, api, report string) error {
	rows, err := readRows(file)
	if err != nil {
		return err
	}
	b := reckon(rows)
	fmt.Printf("%d lines, %d sales, %d cancellations, of which %d pence found no sale; net %s\n", len(rows), b.sales, b.cancellations, b.unmatched, pounds(b.total))
	if report != "" {
		if err := b.holdReport(report); err != nil {
			return err
		}
	}
	if api == "" {
		return nil
	}
	wrong, compared := 0, 0
	for _, by := range []struct {
		name string
		sums map[string]int64
	}{{"MONTH", b.byMonth}, {"COUNTRY", b.byCountry}, {"SKU", b.bySKU}} {
		theirs, err := salesOf(api, os.Getenv("TOKEN"), by.name)
		if err != nil {
			return err
		}
		compared += len(by.sums)
		wrong += differences(by.name, by.sums, theirs)
	}
	if wrong > 0 {
		return fmt.Errorf("%d of %d sums differ", wrong, compared)
	}
	fmt.Printf("%d sums (%d months, %d countries, %d SKUs) are equal to the penny\n", compared, len(b.byMonth), len(b.byCountry), len(b.bySKU))
	return nil
}

// differences prints what only one side has, or both differently; the first twenty.
func differences(name string, ours, theirs map[string]int64) (wrong int) {
	for _, key := range slices.SortedFunc(maps.Keys(union(ours, theirs)), cmp.Compare[string]) {
		a, mine := ours[key]
		b, yours := theirs[key]
		if mine == yours && a == b {
			continue
		}
		if wrong++; wrong <= 20 {
			fmt.Printf("%s %s: the file says %s, the API %s\n", name, key, said(a, mine), said(b, yours))
		}
	}
	return wrong
}

func said(pence int64, there bool) string {
	if !there {
		return "nothing"
	}
	return pounds(pence)
}

func union(a, b map[string]int64) map[string]int64 {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

func pounds(pence int64) string {
	sign := ""
	if pence < 0 {
		sign, pence = "-", -pence
	}
	return fmt.Sprintf("%s%d.%02d", sign, pence/100, pence%100)
}

// holdReport requires that the import took every sale, or refused less than 1% of them with a reason.
func (b *books) holdReport(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var r struct {
		Lines, Sales, Cancellations int
		Finished                    bool
		Refusals                    int64 `json:"ordersNotCarriedOut"`
		NotImported                 []struct{ Reason string }
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return err
	}
	for _, n := range r.NotImported {
		if n.Reason == "" {
			return fmt.Errorf("the report lists a line without a reason")
		}
	}
	if !r.Finished || r.Refusals > 0 || r.Lines != b.lines || r.Cancellations != b.cancellations || (b.sales-r.Sales)*100 > b.sales {
		return fmt.Errorf("the report says %d lines, %d sales, %d cancellations, %d orders not carried out; the file has %d lines, %d sales, %d cancellations",
			r.Lines, r.Sales, r.Cancellations, r.Refusals, b.lines, b.sales, b.cancellations)
	}
	fmt.Printf("the import's report: %d of %d sales taken, %d lines listed with a reason\n", r.Sales, b.sales, len(r.NotImported))
	return nil
}
