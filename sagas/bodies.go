package sagas

import (
	"github.com/annalhq/annal/aggregates/fulfilment"
	"github.com/annalhq/annal/aggregates/inventory"
	"github.com/annalhq/annal/aggregates/order"
	"github.com/annalhq/annal/aggregates/returns"
	"github.com/annalhq/annal/aggregates/shipment"
	"github.com/annalhq/annal/commands"
)

// body says what the fulfilment's commands say. It depends on the saga's events alone: a command that is sent again is the same
// command to the byte, except for its Meta.
func (f fulfilling) body(step string, m commands.Meta) any {
	s := f.Started
	id := order.ID(s.Order)
	switch fulfilment.Step(step) {
	case fulfilment.Reserve:
		return commands.ReserveLines{Meta: m, Order: id, Lines: f.lines()}
	case fulfilment.Authorise:
		return commands.AuthorisePayment{Meta: m, Order: id, Customer: s.Customer, Amount: s.Total, Provider: s.Provider, Token: s.Token}
	case fulfilment.Schedule:
		return commands.ScheduleShipment{Meta: m, Order: id, Customer: s.Customer, Carrier: s.Carrier, Country: s.Country,
			Name: s.Name, Address: s.Address, Lines: f.parcel()}
	case fulfilment.Capture:
		return commands.CapturePayment{Meta: m, Order: id}
	case fulfilment.Confirm:
		return commands.ConfirmOrder{Meta: m, Order: id, Payment: f.Payment, Shipment: f.Shipment}
	case fulfilment.Dispatch:
		return commands.DispatchShipment{Meta: m, Order: id}
	case fulfilment.Ship:
		return commands.ShipLines{Meta: m, Order: id, Lines: f.lines()}
	case fulfilment.MarkShipped:
		return commands.MarkShipped{Meta: m, Order: id, Shipment: f.Shipment, Tracking: f.Tracking}
	case fulfilment.Deliver:
		return commands.DeliverShipment{Meta: m, Order: id}
	case fulfilment.MarkDelivered:
		return commands.MarkDelivered{Meta: m, Order: id}
	case fulfilment.CancelShipment:
		return commands.CancelShipment{Meta: m, Order: id, Customer: s.Customer, Reason: f.Code}
	case fulfilment.Void:
		return commands.VoidPayment{Meta: m, Order: id, Customer: s.Customer, Reason: f.Code}
	case fulfilment.Release:
		return commands.ReleaseLines{Meta: m, Order: id, Lines: f.lines(), Why: f.Code}
	case fulfilment.CancelOrder:
		return commands.CancelOrder{Meta: m, Order: id, Code: f.Code, Reason: f.Reason}
	case fulfilment.NotifyConfirmed:
		return commands.Notify{Meta: m, Order: id, Customer: s.Customer, Template: "order-confirmed"}
	case fulfilment.NotifyShipped:
		return commands.Notify{Meta: m, Order: id, Customer: s.Customer, Template: "order-shipped", Data: map[string]string{"tracking": f.Tracking}}
	case fulfilment.NotifyCancelled:
		return commands.Notify{Meta: m, Order: id, Customer: s.Customer, Template: "order-cancelled", Data: map[string]string{"reason": f.Reason}}
	}
	return nil
}

func (f fulfilling) lines() []commands.OrderLine {
	lines := make([]commands.OrderLine, len(f.Started.Lines))
	for i, l := range f.Started.Lines {
		lines[i] = commands.OrderLine{Line: l.Line, SKU: inventory.SKU(l.SKU), Quantity: l.Quantity}
	}
	return lines
}

func (f fulfilling) parcel() []shipment.Line {
	lines := make([]shipment.Line, len(f.Started.Lines))
	for i, l := range f.Started.Lines {
		lines[i] = shipment.Line{Line: l.Line, SKU: l.SKU, Quantity: l.Quantity}
	}
	return lines
}

// body says what the return's commands say.
func (r returning) body(step string, m commands.Meta) any {
	s := r.Started
	switch returns.Step(step) {
	case returns.Refund:
		return commands.RefundPayment{Meta: m, Order: order.ID(s.Order), Refund: s.Return, Amount: s.Amount, Reason: s.Reason}
	case returns.Restock:
		return commands.RestockLines{Meta: m, Order: order.ID(s.Order), Return: s.Return, Lines: r.lines()}
	case returns.NotifyRefunded:
		return commands.Notify{Meta: m, Order: order.ID(s.Order), Customer: s.Customer, Template: "order-refunded", Fact: s.Return,
			Data: map[string]string{"amount": s.Amount.String()}}
	}
	return nil
}

// lines sums what comes back per line of the order: a return may name a line twice, at two prices.
func (r returning) lines() []commands.OrderLine {
	var lines []commands.OrderLine
	at := map[int]int{}
	for _, l := range r.Started.Lines {
		i, known := at[l.Line]
		if !known {
			i = len(lines)
			at[l.Line] = i
			lines = append(lines, commands.OrderLine{Line: l.Line, SKU: inventory.SKU(l.SKU)})
		}
		lines[i].Quantity += l.Quantity
	}
	return lines
}
