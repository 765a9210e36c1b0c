package graph

import (
	"slices"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/queries"
)

// Limits bound what one request may ask for. The zero value of each is its default.
type Limits struct {
	Body       int64 // bytes of a request's body; default 512 KiB: an order of 2,000 lines is 190 KiB at most
	Query      int   // bytes of a document; default 16 KiB (longer input belongs into variables)
	Tokens     int   // default 2,000
	Selections int   // fields and fragments written in a document; default 500: validation compares them with each other
	Depth      int   // fields below each other; default 10
	Aliases    int   // default 30
	Directives int   // default 20
	RootFields int   // default 10
	Cost       int   // objects that the answer may hold at most; default 5,000
}

func (l Limits) orDefault() Limits {
	for _, d := range []struct {
		field    *int
		standard int
	}{{&l.Query, 16 << 10}, {&l.Tokens, 2000}, {&l.Selections, 500}, {&l.Depth, 10}, {&l.Aliases, 30}, {&l.Directives, 20}, {&l.RootFields, 10}, {&l.Cost, 5000}} {
		if *d.field == 0 {
			*d.field = d.standard
		}
	}
	if l.Body == 0 {
		l.Body = 512 << 10
	}
	return l
}

// introspectionDepth is what tools ask of a schema's own types (lists of non-null lists of ...).
const introspectionDepth = 16

// A weight is what an operation, or a part of it, asks for.
type weight struct {
	depth, aliases, directives, fields, cost int
	reads                                    []string
	schema                                   bool // __schema or __type
}

// A scale weighs an operation in one pass: each fragment once, however often it is spread, so that fragments that spread each
// other cost nothing to weigh. REQUIRES: a validated document, thus no cycles.
type scale struct {
	variables map[string]any
	fragments map[*ast.FragmentDefinition]weight
}

// enormous caps sums, so that they can't overflow.
const enormous = 1 << 30

func (w *weight) add(o weight, times int) {
	w.depth = max(w.depth, o.depth)
	w.aliases = min(w.aliases+o.aliases, enormous)
	w.directives = min(w.directives+o.directives, enormous)
	w.fields = min(w.fields+o.fields, enormous)
	w.cost = min(w.cost+o.cost*times, enormous)
	w.schema = w.schema || o.schema
	for _, name := range o.reads {
		if !slices.Contains(w.reads, name) {
			w.reads = append(w.reads, name)
		}
	}
}

func (s *scale) set(set ast.SelectionSet) weight {
	var sum weight
	for _, selection := range set {
		switch sel := selection.(type) {
		case *ast.Field:
			sum.add(s.field(sel), 1)
		case *ast.InlineFragment:
			sum.add(s.set(sel.SelectionSet), 1)
			sum.directives += len(sel.Directives)
		case *ast.FragmentSpread:
			known, ok := s.fragments[sel.Definition]
			if !ok {
				known = s.set(sel.Definition.SelectionSet)
				known.directives += len(sel.Definition.Directives)
				s.fragments[sel.Definition] = known
			}
			sum.add(known, 1)
			sum.directives += len(sel.Directives)
		}
	}
	return sum
}

// field weighs one field: an object counts 1, a page as many objects as it may hold.
func (s *scale) field(f *ast.Field) weight {
	w := weight{directives: len(f.Directives), schema: f.Name == "__schema" || f.Name == "__type"}
	if len(f.SelectionSet) > 0 {
		w.add(s.set(f.SelectionSet), s.size(f))
		w.cost++
	}
	w.fields = 1
	w.depth++
	if f.Alias != f.Name {
		w.aliases++
	}
	if f.Definition != nil {
		for _, from := range []string{f.Definition.Type.Name(), f.ObjectDefinition.Name + "." + f.Name} {
			if name, ok := readModels[from]; ok && !slices.Contains(w.reads, name) {
				w.reads = append(w.reads, name)
			}
		}
	}
	return w
}

// size is how many objects a field's answer holds: those of a page if it is one, else one.
func (s *scale) size(f *ast.Field) int {
	if f.Definition == nil || f.Definition.Arguments.ForName("first") == nil {
		return 1
	}
	for _, name := range []string{"first", "last"} {
		if a := f.Arguments.ForName(name); a != nil {
			if v, err := a.Value.Value(s.variables); err == nil {
				if n, ok := number(v); ok {
					return min(max(n, 1), enormous>>15)
				}
			}
		}
	}
	return queries.DefaultPage
}

func number(v any) (int, bool) {
	switch v := v.(type) {
	case int64:
		return int(v), true
	case int:
		return v, true
	case interface{ Int64() (int64, error) }: // json.Number
		n, err := v.Int64()
		return int(n), err == nil
	}
	return 0, false
}

// readModels are the read models behind the schema's types, and behind fields of types that are read from elsewhere.
var readModels = map[string]string{
	"Order": "orders", "OrderConnection": "orders", "Payment": "payments", "Shipment": "shipments", "Product": "products",
	"ProductConnection": "products", "Stock": "stock", "StockConnection": "stock", "Customer": "customers", "CustomerConnection": "customers",
	"Cart": "carts", "Notification": "notifications", "NotificationConnection": "notifications", "SalesConnection": "sales",
	"Product.inStock": "stock",
}

// weigh returns what the operation asks for.
func weigh(op *ast.OperationDefinition, variables map[string]any) weight {
	s := scale{variables: variables, fragments: map[*ast.FragmentDefinition]weight{}}
	w := s.set(op.SelectionSet)
	w.directives += len(op.Directives)
	w.fields = s.roots(op.SelectionSet, map[*ast.FragmentDefinition]int{})
	return w
}

// roots counts the root fields, through fragments.
func (s *scale) roots(set ast.SelectionSet, known map[*ast.FragmentDefinition]int) (n int) {
	for _, selection := range set {
		switch sel := selection.(type) {
		case *ast.Field:
			n++
		case *ast.InlineFragment:
			n += s.roots(sel.SelectionSet, known)
		case *ast.FragmentSpread:
			if _, ok := known[sel.Definition]; !ok {
				known[sel.Definition] = s.roots(sel.Definition.SelectionSet, known)
			}
			n += known[sel.Definition]
		}
		n = min(n, enormous)
	}
	return n
}

// check returns the fault of the first limit that the weight is above. Faults: Invalid, or Denied for a schema that is not shown.
func (l Limits) check(w weight, hidden bool) error {
	if w.schema && hidden {
		return fault.New(fault.Denied, "INTROSPECTION_DISABLED", "the schema is not shown here; it is published with the documentation")
	}
	depth := l.Depth
	if w.schema {
		depth = max(depth, introspectionDepth)
	}
	for _, c := range []struct {
		code, what string
		is, limit  int
	}{
		{"TOO_DEEP", "fields are nested %d deep, %d are allowed", w.depth, depth},
		{"TOO_MANY_ALIASES", "there are %d aliases, %d are allowed", w.aliases, l.Aliases},
		{"TOO_MANY_DIRECTIVES", "there are %d directives, %d are allowed", w.directives, l.Directives},
		{"TOO_MANY_ROOT_FIELDS", "there are %d fields at the root, %d are allowed", w.fields, l.RootFields},
		{"TOO_COSTLY", "the answer may hold %d objects, %d are allowed; ask for smaller pages", w.cost, l.Cost},
	} {
		if c.is > c.limit {
			return fault.Newf(fault.Invalid, c.code, c.what, c.is, c.limit)
		}
	}
	return nil
}

// errSelections refuses a document before it is validated.
var errSelections = fault.New(fault.Invalid, "TOO_MANY_FIELDS", "the document selects too many fields; send several")

// written counts the fields and fragments that a document spells out. Only validation is quadratic, so this comes before it.
func written(doc *ast.QueryDocument) (n int) {
	for _, op := range doc.Operations {
		n += selections(op.SelectionSet)
	}
	for _, f := range doc.Fragments {
		n += selections(f.SelectionSet)
	}
	return n
}

func selections(set ast.SelectionSet) int {
	n := len(set)
	for _, selection := range set {
		switch sel := selection.(type) {
		case *ast.Field:
			n += selections(sel.SelectionSet)
		case *ast.InlineFragment:
			n += selections(sel.SelectionSet)
		}
	}
	return n
}
