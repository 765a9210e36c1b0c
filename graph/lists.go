package graph

import (
	"context"

	"github.com/annalhq/annal/graph/model"
	"github.com/annalhq/annal/internal/auth"
	"github.com/annalhq/annal/internal/money"
	"github.com/annalhq/annal/queries"
)

func wrapOrder(v queries.OrderView) model.Order          { return model.Order{OrderView: v} }
func wrapPayment(v queries.PaymentView) model.Payment    { return model.Payment{PaymentView: v} }
func wrapShipment(v queries.ShipmentView) model.Shipment { return model.Shipment{ShipmentView: v} }
func wrapProduct(v queries.ProductView) model.Product    { return model.Product{ProductView: v} }
func wrapStock(v queries.StockView) model.Stock          { return model.Stock{StockView: v} }
func wrapCart(v queries.CartView) model.Cart             { return model.Cart{CartView: v} }
func wrapCustomer(v queries.CustomerView) model.Customer { return model.Customer{CustomerView: v} }
func wrapNotification(v queries.NotificationView) model.Notification {
	return model.Notification{NotificationView: v}
}
func wrapSalesRow(v queries.SalesRow) model.SalesRow { return model.SalesRow{SalesRow: v} }

// page turns the arguments of a connection into a page. An empty cursor is no cursor.
func page(first *int64, after *string, last *int64, before *string) queries.Page {
	return queries.Page{First: size(first), After: value(after), Last: size(last), Before: value(before)}
}

func size(n *int64) *int {
	if n == nil {
		return nil
	}
	i := int(*n)
	return &i
}

// connect turns a page into the edges, nodes and page info of a connection of the schema.
func connect[View, Node, Edge any](c queries.Connection[View], wrap func(View) Node, edge func(string, Node) Edge) ([]Edge, []Node, model.PageInfo) {
	edges, nodes := make([]Edge, len(c.Edges)), make([]Node, len(c.Edges))
	for i, e := range c.Edges {
		nodes[i] = wrap(e.Node)
		edges[i] = edge(e.Cursor, nodes[i])
	}
	info := model.PageInfo{HasNextPage: c.PageInfo.HasNextPage, HasPreviousPage: c.PageInfo.HasPreviousPage}
	if len(edges) > 0 {
		info.StartCursor, info.EndCursor = &c.PageInfo.StartCursor, &c.PageInfo.EndCursor
	}
	return edges, nodes, info
}

func orderConnection(c queries.Connection[queries.OrderView]) *model.OrderConnection {
	edges, nodes, info := connect(c, wrapOrder, func(cursor string, n model.Order) model.OrderEdge { return model.OrderEdge{Cursor: cursor, Node: n} })
	return &model.OrderConnection{Edges: edges, Nodes: nodes, PageInfo: info}
}

func productConnection(c queries.Connection[queries.ProductView]) *model.ProductConnection {
	edges, nodes, info := connect(c, wrapProduct, func(cursor string, n model.Product) model.ProductEdge {
		return model.ProductEdge{Cursor: cursor, Node: n}
	})
	return &model.ProductConnection{Edges: edges, Nodes: nodes, PageInfo: info}
}

func stockConnection(c queries.Connection[queries.StockView]) *model.StockConnection {
	edges, nodes, info := connect(c, wrapStock, func(cursor string, n model.Stock) model.StockEdge { return model.StockEdge{Cursor: cursor, Node: n} })
	return &model.StockConnection{Edges: edges, Nodes: nodes, PageInfo: info}
}

func customerConnection(c queries.Connection[queries.CustomerView]) *model.CustomerConnection {
	edges, nodes, info := connect(c, wrapCustomer, func(cursor string, n model.Customer) model.CustomerEdge {
		return model.CustomerEdge{Cursor: cursor, Node: n}
	})
	return &model.CustomerConnection{Edges: edges, Nodes: nodes, PageInfo: info}
}

func notificationConnection(c queries.Connection[queries.NotificationView]) *model.NotificationConnection {
	edges, nodes, info := connect(c, wrapNotification, func(cursor string, n model.Notification) model.NotificationEdge {
		return model.NotificationEdge{Cursor: cursor, Node: n}
	})
	return &model.NotificationConnection{Edges: edges, Nodes: nodes, PageInfo: info}
}

func salesConnection(c queries.Connection[queries.SalesRow]) *model.SalesConnection {
	edges, nodes, info := connect(c, wrapSalesRow, func(cursor string, n model.SalesRow) model.SalesEdge { return model.SalesEdge{Cursor: cursor, Node: n} })
	return &model.SalesConnection{Edges: edges, Nodes: nodes, PageInfo: info}
}

var orderStatuses = map[model.OrderStatus]string{model.OrderStatusPlaced: "placed", model.OrderStatusConfirmed: "confirmed",
	model.OrderStatusShipped: "shipped", model.OrderStatusDelivered: "delivered", model.OrderStatusCancelled: "cancelled"}

func orderFilter(f *model.OrderFilter) queries.OrderFilter {
	if f == nil {
		return queries.OrderFilter{}
	}
	return queries.OrderFilter{Customer: value(f.CustomerID), Status: orderStatuses[value(f.Status)], SKU: value(f.Sku), Number: value(f.Number),
		Reference: value(f.Reference), PlacedFrom: value(f.PlacedFrom), PlacedTo: value(f.PlacedTo)}
}

var salesGroupings = map[model.SalesGrouping]queries.SalesGrouping{model.SalesGroupingDay: queries.SalesByDay,
	model.SalesGroupingMonth: queries.SalesByMonth, model.SalesGroupingCountry: queries.SalesByCountry, model.SalesGroupingSku: queries.SalesBySKU}

func salesQuery(by model.SalesGrouping, from, to *string, currency *money.Currency) queries.SalesQuery {
	return queries.SalesQuery{By: salesGroupings[by], From: value(from), To: value(to), Currency: string(value(currency))}
}

// node reads whatever has the global id.
func (r *resolver) node(ctx context.Context, global string) (model.Node, error) {
	typename, id, err := model.ParseID(global)
	if err != nil {
		return nil, err
	}
	switch typename {
	case "Order":
		return nodeOf(ctx, id, r.queries.Order, wrapOrder)
	case "Payment":
		return nodeOf(ctx, id, r.queries.Payment, wrapPayment)
	case "Shipment":
		return nodeOf(ctx, id, r.queries.Shipment, wrapShipment)
	case "Product":
		return nodeOf(ctx, id, r.queries.Product, wrapProduct)
	case "Stock":
		return nodeOf(ctx, id, r.queries.Stock, wrapStock)
	case "Cart":
		return nodeOf(ctx, id, r.queries.Cart, wrapCart)
	case "Customer":
		return nodeOf(ctx, id, r.queries.Customer, wrapCustomer)
	case "Notification":
		return nodeOf(ctx, id, r.queries.Notification, wrapNotification)
	}
	return nil, model.ErrID
}

// nodeOf returns a bare nil if there is none: a nil in an interface would not be null.
func nodeOf[View any, T model.Node](ctx context.Context, id string, get func(context.Context, auth.Principal, string) (View, error), wrap func(View) T) (model.Node, error) {
	view, err := get(ctx, principal(ctx), id)
	if err != nil {
		return nil, present(err)
	}
	return wrap(view), nil
}

func (r *resolver) projections(ctx context.Context) ([]model.ProjectionStatus, error) {
	if err := principal(ctx).Require(auth.Administer); err != nil {
		return nil, err
	}
	all, err := r.queries.ReadModels(ctx)
	statuses := make([]model.ProjectionStatus, len(all))
	for i, m := range all {
		statuses[i] = model.ProjectionStatus{ReadModel: m}
	}
	return statuses, err
}
