package onlineretail

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/annalhq/annal/aggregates/order"
	"github.com/annalhq/annal/commands"
)

// Plan is what an import sends, in the order of the file.
type Plan struct {
	Products  []Product
	Customers []string // the file's customer numbers
	Orders    []Order
	Returns   []Return
	Unmatched []Refused
}

// Product is a SKU with its newest description and price.
type Product struct {
	SKU   string
	Name  string
	Pence int64
	First time.Time // of its sales
}

// Order is what one customer bought on one invoice and day.
type Order struct {
	Key      string // the same in every import of these lines
	Invoice  string
	Customer string // "" = a guest
	Country  string
	At       time.Time
	Lines    []Line
}

// Return is what one cancelling invoice takes back from one order.
type Return struct {
	Key     string
	Invoice string // the cancelling one
	Order   int    // index in Plan.Orders
	At      time.Time
	Lines   []ReturnedLine
}

// id returns the order's id in the shop, whether it is there or not.
func (o Order) id() order.ID { return commands.OrderID(importer, o.Key) }

// ReturnedLine is a part of an order's line.
type ReturnedLine struct {
	Line      int   // of the order, from 1
	Quantity  int64 // units
	UnitPrice int64 // pence, of the cancellation
}

// Arrange orders a sheet into what is to be sent. It is a pure function of the sheet.
func Arrange(s *Sheet) *Plan {
	p := &Plan{}
	p.arrangeProducts(s.Sales)
	p.arrangeOrders(s.Sales)
	p.arrangeReturns(s.Cancellations)
	return p
}

func (p *Plan) arrangeProducts(sales []Line) {
	at := map[string]int{}
	for _, l := range sales {
		i, known := at[l.SKU]
		if !known {
			i = len(p.Products)
			at[l.SKU] = i
			p.Products = append(p.Products, Product{SKU: l.SKU, Name: l.SKU, First: l.At})
		}
		product := &p.Products[i]
		if l.Description != "" {
			product.Name = clipName(l.Description)
		}
		product.Pence = l.UnitPrice
		if l.At.Before(product.First) {
			product.First = l.At
		}
	}
}

func clipName(s string) string {
	if r := []rune(s); len(r) > 200 {
		return string(r[:200])
	}
	return s
}

// maxLines is the most that one order may have (docs/adr/0011-import-rules.md); a larger invoice becomes several orders.
const maxLines = 2000

func (p *Plan) arrangeOrders(sales []Line) {
	type identity struct{ invoice, customer, country, day string }
	open := map[identity]int{}
	parts := map[string]int{}
	customers := map[string]bool{}
	for _, l := range sales {
		id := identity{l.Invoice, l.Customer, l.Country, l.At.Format(time.DateOnly)}
		i, known := open[id]
		if !known || len(p.Orders[i].Lines) == maxLines {
			i = len(p.Orders)
			open[id] = i
			part := parts[l.Invoice]
			parts[l.Invoice]++
			p.Orders = append(p.Orders, Order{Key: "order:" + l.Invoice + ":" + strconv.Itoa(part), Invoice: l.Invoice,
				Customer: l.Customer, Country: l.Country, At: l.At})
		}
		o := &p.Orders[i]
		o.Lines = append(o.Lines, l)
		if l.At.Before(o.At) {
			o.At = l.At
		}
		if l.Customer != "" && !customers[l.Customer] {
			customers[l.Customer] = true
			p.Customers = append(p.Customers, l.Customer)
		}
	}
}

// sold is a line of an order that a cancellation may take units from.
type sold struct {
	order, line int
	at          time.Time
	price, left int64
}

func (p *Plan) arrangeReturns(cancellations []Line) {
	type who struct{ customer, sku string }
	shelf := map[who][]*sold{}
	for i, o := range p.Orders {
		for n, l := range o.Lines {
			k := who{l.Customer, l.SKU}
			shelf[k] = append(shelf[k], &sold{order: i, line: n + 1, at: l.At, price: l.UnitPrice, left: l.Quantity})
		}
	}
	type identity struct {
		invoice, day string
		order        int
	}
	open := map[identity]int{}
	for _, c := range cancellations {
		left := c.Quantity
		for _, s := range candidates(shelf[who{c.Customer, c.SKU}], c) {
			take := min(left, s.left)
			s.left -= take
			left -= take
			id := identity{c.Invoice, c.At.Format(time.DateOnly), s.order}
			i, known := open[id]
			if !known {
				i = len(p.Returns)
				open[id] = i
				p.Returns = append(p.Returns, Return{Key: "return:" + c.Invoice + ":" + id.day + ":" + p.Orders[s.order].Key,
					Invoice: c.Invoice, Order: s.order, At: c.At})
			}
			r := &p.Returns[i]
			r.Lines = append(r.Lines, ReturnedLine{Line: s.line, Quantity: take, UnitPrice: c.UnitPrice})
			if left == 0 {
				break
			}
		}
		if left > 0 {
			p.Unmatched = append(p.Unmatched, Refused{Number: c.Number, Invoice: c.Invoice, SKU: c.SKU, Quantity: left,
				Pence: left * c.UnitPrice, Reason: Unmatched})
		}
	}
}

// candidates returns the sales that a cancellation may take from, the most plausible first.
func candidates(sales []*sold, c Line) []*sold {
	var fit []*sold
	for _, s := range sales {
		if s.left > 0 && s.price >= c.UnitPrice && !s.at.After(c.At) {
			fit = append(fit, s)
		}
	}
	slices.SortStableFunc(fit, func(a, b *sold) int {
		return cmp.Or(cmp.Compare(a.price, b.price), b.at.Compare(a.at), cmp.Compare(b.order, a.order), cmp.Compare(a.line, b.line))
	})
	return fit
}
