package aggregates

import (
	"github.com/annalhq/annal/aggregates/fulfilment"
	"github.com/annalhq/annal/aggregates/returns"
)

// sagas registers the states of the process managers.
var sagas = []entry{
	of[fulfilment.Started]("fulfilment", "The fulfilment of an order began.", "order", "customer"),
	of[fulfilment.StepSucceeded]("fulfilment", "A command of the saga was carried out.", "order", "customer", "step"),
	of[fulfilment.StepRefused]("fulfilment", "A command of the saga was refused.", "order", "customer", "step"),
	of[fulfilment.CompensationStarted]("fulfilment", "From here on the saga undoes what took effect.", "order", "customer"),
	of[fulfilment.Resumed]("fulfilment", "The parcel had left before it could be stopped: the saga goes forward again.", "order", "customer"),
	of[fulfilment.Completed]("fulfilment", "The saga ended: the order is on its way.", "order", "customer"),
	of[fulfilment.Cancelled]("fulfilment", "The saga ended: the order is cancelled and nothing of it is in effect.", "order", "customer"),
	of[fulfilment.Stuck]("fulfilment", "A step was refused that can neither be undone nor done without.", "order", "customer", "step"),
	of[fulfilment.Redriven]("fulfilment", "An operator has the stuck step tried again.", "order", "customer", "step"),

	of[returns.Started]("return", "The refund and restocking of a return began.", "return", "order", "customer", "payment", "country", "lines.sku"),
	of[returns.StepSucceeded]("return", "A command of the saga was carried out.", "return", "order", "customer", "step"),
	of[returns.StepRefused]("return", "A command of the saga was refused.", "return", "order", "customer", "step"),
	of[returns.Completed]("return", "The saga ended: the money is back, and the goods are on stock.", "return", "order", "customer"),
	of[returns.Stuck]("return", "A refund or restocking was refused; somebody has to look.", "return", "order", "customer", "step"),
	of[returns.Redriven]("return", "An operator has the stuck step tried again.", "return", "order", "customer", "step"),
}
