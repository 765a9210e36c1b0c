package commands

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/fault"
)

// The faults of commands that come as messages.
var (
	ErrUnknownCommand   = fault.New(fault.Invalid, "UNKNOWN_COMMAND", "there is no command of this name")
	ErrCommandMalformed = fault.New(fault.Invalid, "COMMAND_MALFORMED", "the body is not the JSON of the command")
)

// A handling is one command's way from a message's body to its handler's answer.
type handling func(h *Handlers, ctx context.Context, p auth.Principal, body []byte) (any, error)

// handlings is the one list of commands by name; the name is that of the command's struct and of its handler.
var handlings = map[string]handling{
	"CreateProduct":      on((*Handlers).CreateProduct),
	"ReviseProduct":      on((*Handlers).ReviseProduct),
	"DiscontinueProduct": on((*Handlers).DiscontinueProduct),

	"ReceiveStock":      on((*Handlers).ReceiveStock),
	"AdjustStock":       on((*Handlers).AdjustStock),
	"SetStockThreshold": on((*Handlers).SetStockThreshold),
	"ReserveLines":      on((*Handlers).ReserveLines),
	"ReleaseLines":      on((*Handlers).ReleaseLines),
	"ShipLines":         on((*Handlers).ShipLines),
	"RestockLines":      on((*Handlers).RestockLines),

	"RegisterCustomer": on((*Handlers).RegisterCustomer),
	"UpdateProfile":    on((*Handlers).UpdateProfile),
	"SetAddress":       on((*Handlers).SetAddress),
	"RemoveAddress":    on((*Handlers).RemoveAddress),
	"SetPreferences":   on((*Handlers).SetPreferences),
	"ChangeTier":       on((*Handlers).ChangeTier),

	"OpenCart":   on((*Handlers).OpenCart),
	"AddItem":    on((*Handlers).AddItem),
	"ChangeItem": on((*Handlers).ChangeItem),
	"RemoveItem": on((*Handlers).RemoveItem),
	"CheckOut":   on((*Handlers).CheckOut),

	"PlaceOrder":      on((*Handlers).PlaceOrder),
	"PlaceCheckedOut": on((*Handlers).PlaceCheckedOut),
	"ConfirmOrder":    on((*Handlers).ConfirmOrder),
	"RequestCancel":   on((*Handlers).RequestCancel),
	"CancelOrder":     on((*Handlers).CancelOrder),
	"MarkShipped":     on((*Handlers).MarkShipped),
	"MarkDelivered":   on((*Handlers).MarkDelivered),
	"DeliverOrder":    on((*Handlers).DeliverOrder),
	"ReturnLines":     on((*Handlers).ReturnLines),

	"AuthorisePayment": on((*Handlers).AuthorisePayment),
	"CapturePayment":   on((*Handlers).CapturePayment),
	"VoidPayment":      on((*Handlers).VoidPayment),
	"RefundPayment":    on((*Handlers).RefundPayment),

	"ScheduleShipment": on((*Handlers).ScheduleShipment),
	"CancelShipment":   on((*Handlers).CancelShipment),
	"DispatchShipment": on((*Handlers).DispatchShipment),
	"DeliverShipment":  on((*Handlers).DeliverShipment),

	"Notify": on((*Handlers).Notify),
}

func on[C, R any](handle func(*Handlers, context.Context, auth.Principal, C) (R, error)) handling {
	return func(h *Handlers, ctx context.Context, p auth.Principal, body []byte) (any, error) {
		c, err := read[C](body)
		if err != nil {
			return nil, err
		}
		return handle(h, ctx, p, c)
	}
}

// Dispatch carries out a command that came as a message: its name, and as body the JSON of its struct. The result is what
// the handler answers, also beside a fault. Faults: ErrUnknownCommand and ErrCommandMalformed, neither worth a retry, and
// those of the handler.
func (h *Handlers) Dispatch(ctx context.Context, p auth.Principal, name string, body []byte) (any, error) {
	handle, ok := handlings[name]
	if !ok {
		return nil, ErrUnknownCommand.Because("there is no command %q", name)
	}
	return handle(h, ctx, p, body)
}

// Names returns the names of all commands, sorted.
func Names() []string { return slices.Sorted(maps.Keys(handlings)) }

// read takes exactly one JSON object without members that the command does not have: a field that was misspelt must not be
// taken for one that was left out. What it says about the body never repeats the body.
func read[C any](body []byte) (C, error) {
	var c C
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if first := bytes.TrimLeft(body, " \t\r\n"); len(first) == 0 || first[0] != '{' {
		return c, ErrCommandMalformed.Because("the body is not a JSON object")
	}
	if !utf8.Valid(body) { // the decoder would replace what is broken, and store something else than was sent
		return c, ErrCommandMalformed.Because("the body is not UTF-8")
	}
	if err := d.Decode(&c); err != nil {
		return c, malformed(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return c, ErrCommandMalformed.Because("something follows the JSON object")
	}
	return c, nil
}

func malformed(err error) error {
	if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
		return ErrCommandMalformed.At(strings.Split(wrong.Field, ".")...).Because("the field is not of type %s", wrong.Type)
	}
	if f := (*fault.Error)(nil); errors.As(err, &f) {
		return ErrCommandMalformed.Because("%s", f.Message)
	}
	if name, unknown := strings.CutPrefix(err.Error(), "json: unknown field "); unknown {
		return ErrCommandMalformed.Because("the command has no field %.70s", name)
	}
	return ErrCommandMalformed
}
