package graph

import (
	"iter"
	"slices"
	"strconv"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"github.com/annalhq/annal/graph/model"
)

// checkLiterals refuses a document that writes an Int which does not fit into 32 bits: gqlparser lets it pass, and a limit would be told
// instead, or nothing that names the argument. REQUIRES: a validated document. Fault: model.ErrInt.
func checkLiterals(doc *ast.QueryDocument) error {
	for at, v := range literals(doc) {
		if v.Kind == ast.IntValue && v.ExpectedType != nil && v.ExpectedType.Name() == "Int" && beyond(v, 32) {
			return model.ErrInt.Because("%s: %s", at, model.ErrInt.Message)
		}
	}
	return nil
}

// located names the arguments in errors about Ints beyond 64 bits: gqlparser tells their lines and columns alone. What it refuses it does not
// hand out, so the document is parsed again, once for all errors. REQUIRES: handler.size let the query pass.
func located(errs gqlerror.List, query string) {
	ofValues := func(g *gqlerror.Error) bool { return g.Rule == rules.ValuesOfCorrectTypeRuleWithoutSuggestions.Name }
	if !slices.ContainsFunc(errs, ofValues) {
		return
	}
	doc, err := parser.ParseQuery(&ast.Source{Input: query})
	if err != nil {
		return // then errs had no such error: what can't be parsed is not validated
	}
	type point struct{ line, column int }
	places := map[point]place{}
	for at, v := range literals(doc) {
		if v.Kind == ast.IntValue && beyond(v, 64) {
			places[point{v.Position.Line, v.Position.Column}] = at
		}
	}
	for _, g := range errs {
		if len(g.Locations) == 0 {
			continue
		}
		if at, ok := places[point{g.Locations[0].Line, g.Locations[0].Column}]; ok {
			g.Message = at.String() + ": " + model.ErrInt.Message
		}
	}
}

func beyond(v *ast.Value, bits int) bool {
	_, err := strconv.ParseInt(v.Raw, 10, bits)
	return err != nil
}

// A place is where a value is spelled out.
type place struct {
	path  string // input.lines.1.quantity
	field string // placeOrder
}

func (p place) String() string { return "the argument " + p.path + " of " + p.field }

// literals goes through the arguments of a document and the values inside them.
func literals(doc *ast.QueryDocument) iter.Seq2[place, *ast.Value] {
	return func(yield func(place, *ast.Value) bool) {
		for _, op := range doc.Operations {
			if !ofSet(op.SelectionSet, yield) {
				return
			}
		}
		for _, f := range doc.Fragments {
			if !ofSet(f.SelectionSet, yield) {
				return
			}
		}
	}
}

// ofSet yields what a set spells out; a fragment that it spreads is gone through by itself.
func ofSet(set ast.SelectionSet, yield func(place, *ast.Value) bool) bool {
	for _, selection := range set {
		below := ast.SelectionSet(nil)
		switch sel := selection.(type) {
		case *ast.Field:
			for _, a := range sel.Arguments {
				if !ofValue(place{a.Name, sel.Name}, a.Value, yield) {
					return false
				}
			}
			below = sel.SelectionSet
		case *ast.InlineFragment:
			below = sel.SelectionSet
		}
		if !ofSet(below, yield) {
			return false
		}
	}
	return true
}

func ofValue(at place, v *ast.Value, yield func(place, *ast.Value) bool) bool {
	if !yield(at, v) {
		return false
	}
	for i, child := range v.Children {
		name := child.Name
		if v.Kind == ast.ListValue {
			name = strconv.Itoa(i)
		}
		if !ofValue(place{at.path + "." + name, at.field}, child.Value, yield) {
			return false
		}
	}
	return true
}
