package graph

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/annalhq/annal/graph/model"
)

// gqlparser takes a number among variables for text ("cannot use string as Int"), or for a number that it never was ("cannot use
// value 0 as Int"). restated says what was sent and what would do.
func restated(g *gqlerror.Error, variables map[string]any) {
	const sign = "cannot use "
	at := strings.LastIndex(g.Message, " as ")
	if !strings.HasPrefix(g.Message, sign) || at < 0 || len(g.Path) < 2 || g.Path[0] != ast.PathName("variable") {
		return
	}
	value, found := valueAt(variables, g.Path[1:])
	if !found {
		return
	}
	wanted := g.Message[at+len(" as "):]
	g.Message = sign + wordOf(value) + " as " + wanted
	if wanted == "Int" {
		g.Message += ": " + model.ErrInt.Message
	}
}

// valueAt follows the path of an error into the variables. Where a list is wanted, a single value stands for a list of one.
func valueAt(value any, path ast.Path) (any, bool) {
	for _, step := range path {
		switch step := step.(type) {
		case ast.PathName:
			members, ok := value.(map[string]any)
			if !ok {
				return nil, false
			}
			if value, ok = members[string(step)]; !ok {
				return nil, false
			}
		case ast.PathIndex:
			list, ok := value.([]any)
			if ok && int(step) < len(list) {
				value = list[step]
			} else if ok || step != 0 {
				return nil, false
			}
		}
	}
	return value, true
}

// wordOf names a JSON value in a few words, a number as it was written.
func wordOf(value any) string {
	switch v := value.(type) {
	case json.Number:
		if len(v) > 40 {
			return "a number of " + fmt.Sprint(len(v)) + " characters"
		}
		return "the number " + v.String()
	case string:
		return "text"
	case bool:
		return fmt.Sprint(v)
	case []any:
		return "a list"
	case map[string]any:
		return "an object"
	}
	return "null"
}

// checkInts refuses a variable of type Int that fits into 64 bits and not into 32: gqlparser lets it pass, and a limit would be told
// instead.
func checkInts(op *graphql.OperationContext) *gqlerror.Error {
	for _, v := range op.Operation.VariableDefinitions {
		if n, ok := op.Variables[v.Variable].(int64); ok && v.Type.NamedType == "Int" && (n < math.MinInt32 || n > math.MaxInt32) {
			return gqlerror.WrapPath(ast.Path{ast.PathName("variable"), ast.PathName(v.Variable)}, model.ErrInt)
		}
	}
	return nil
}
