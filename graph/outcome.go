package graph

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/annalhq/annal/commands"
	"github.com/annalhq/annal/graph/model"
	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/queries"
)

// outcome is what a command's answer means to a payload: a receipt, user errors, or an error that is none of the user's.
func outcome(raw string, receipt commands.Receipt, err error) (model.Outcome, error) {
	if err == nil {
		return model.Outcome{Raw: raw, Receipt: &model.Receipt{Receipt: receipt}, UserErrors: []model.UserError{}}, nil
	}
	switch fault.KindOf(err) {
	case fault.Invalid, fault.Conflict, fault.Missing:
		return model.Outcome{UserErrors: []model.UserError{userError(err)}}, nil
	}
	return model.Outcome{}, err
}

func userError(err error) model.UserError {
	u := model.UserError{Message: fault.MessageOf(err), Code: fault.CodeOf(err)}
	if f := (*fault.Error)(nil); errors.As(err, &f) && len(f.Path) > 0 {
		u.Field = append([]string{"input"}, fieldPath(f.Path)...)
	}
	return u
}

// inputNames are paths of commands whose fields have another name in the schema's inputs.
var inputNames = map[string]string{
	"customer": "customerId", "cart": "cartId", "order": "orderId", "why": "reason", "tender.token": "paymentToken", "tender": "paymentToken",
	"token": "paymentToken", "address.line1": "address.lines.0", "address.line2": "address.lines.1",
}

func fieldPath(path []string) []string {
	for n := min(2, len(path)); n > 0; n-- {
		if name, ok := inputNames[strings.Join(path[:n], ".")]; ok {
			return slices.Concat(strings.Split(name, "."), path[n:])
		}
	}
	return path
}

// changed reads what a mutation changed, at the receipt's position; nil if it was refused. A read model that is late is an
// error of this field alone.
func changed[View, T any](ctx context.Context, q *queries.Queries, o model.Outcome, get func(context.Context, auth.Principal, string) (View, error),
	wrap func(View) T) (*T, error) {
	if !o.Accepted() {
		return nil, nil
	}
	at := o.Token()
	return read(ctx, q, &at, o.Raw, get, wrap)
}
