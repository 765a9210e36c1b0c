package graph

import (
	"strconv"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/annalhq/annal/graph/model"
)

// checkLiterals refuses a document that writes an Int which does not fit into 32 bits: gqlparser lets it pass, and a limit would be told
// instead, or nothing that names the argument. REQUIRES: a validated document. Fault: model.ErrInt.
func checkLiterals(doc *ast.QueryDocument) error {
	for _, op := range doc.Operations {
		if err := checkArguments(op.SelectionSet); err != nil {
			return err
		}
	}
	for _, f := range doc.Fragments {
		if err := checkArguments(f.SelectionSet); err != nil {
			return err
		}
	}
	return nil
}

// checkArguments looks at what a set spells out; a fragment that it spreads is looked at by itself.
func checkArguments(set ast.SelectionSet) error {
	for _, selection := range set {
		below := ast.SelectionSet(nil)
		switch sel := selection.(type) {
		case *ast.Field:
			for _, a := range sel.Arguments {
				if at, bad := tooLong(a.Name, a.Value); bad {
					return model.ErrInt.Because("the argument %s of %s: %s", at, sel.Name, model.ErrInt.Message)
				}
			}
			below = sel.SelectionSet
		case *ast.InlineFragment:
			below = sel.SelectionSet
		}
		if err := checkArguments(below); err != nil {
			return err
		}
	}
	return nil
}

// tooLong finds the first Int in a value that is too long, and where: "input.lines.1.quantity".
func tooLong(at string, v *ast.Value) (string, bool) {
	if v.Kind == ast.IntValue && v.ExpectedType != nil && v.ExpectedType.Name() == "Int" {
		_, err := strconv.ParseInt(v.Raw, 10, 32)
		return at, err != nil
	}
	for i, child := range v.Children {
		name := child.Name
		if v.Kind == ast.ListValue {
			name = strconv.Itoa(i)
		}
		if at, bad := tooLong(at+"."+name, child.Value); bad {
			return at, true
		}
	}
	return "", false
}
