package aggregates

import (
	"github.com/annalhq/annal/aggregates/notification"
	"github.com/annalhq/annal/aggregates/payment"
	"github.com/annalhq/annal/aggregates/shipment"
)

// services registers what the outside world does for an order: payment, shipment, notification.
var services = []entry{
	of[payment.Opened]("payment", "A payment was opened at the provider; no money moved.", "payment", "order", "customer"),
	of[payment.AuthorisationRequested]("payment", "An authorisation is about to be asked for; until an outcome is stored it is unknown.", "payment", "order", "customer"),
	of[payment.Authorised]("payment", "The provider holds the amount.", "payment", "order", "customer"),
	of[payment.Declined]("payment", "The provider refused the payment for good.", "payment", "order", "customer"),
	of[payment.CaptureRequested]("payment", "A capture is about to be asked for.", "payment", "order", "customer"),
	of[payment.Captured]("payment", "The whole amount was taken.", "payment", "order", "customer"),
	of[payment.VoidRequested]("payment", "The payment is about to be ended.", "payment", "order", "customer"),
	of[payment.Voided]("payment", "Nothing is held and nothing can be taken any more.", "payment", "order", "customer"),
	of[payment.RefundRequested]("payment", "A refund of part or all is about to be asked for.", "payment", "order", "customer", "refund"),
	of[payment.Refunded]("payment", "The refund was made.", "payment", "order", "customer", "refund"),
	of[payment.RefundFailed]("payment", "The provider refused the refund; somebody has to look.", "payment", "order", "customer", "refund"),
	of[payment.Failed]("payment", "The payment can't be carried out, for another reason than a refusal of the card.", "payment", "order", "customer"),

	of[shipment.Requested]("shipment", "A carrier is about to be booked.", "shipment", "order", "customer", "country", "lines.sku"),
	of[shipment.Scheduled]("shipment", "The carrier took the booking.", "shipment", "order", "customer"),
	of[shipment.Refused]("shipment", "The carrier won't carry it.", "shipment", "order", "customer"),
	of[shipment.Dispatched]("shipment", "The parcel left.", "shipment", "order", "customer"),
	of[shipment.Delivered]("shipment", "The parcel arrived.", "shipment", "order", "customer"),
	of[shipment.CancelRequested]("shipment", "The booking is about to be cancelled.", "shipment", "order", "customer"),
	of[shipment.Cancelled]("shipment", "The shipment ended before it left, or is refused for good should its booking come later.", "shipment", "order", "customer"),

	of[notification.Requested]("notification", "Somebody is to be told something over one channel.", "notification", "order", "customer"),
	of[notification.Sent]("notification", "The channel's provider took the message.", "notification", "order", "customer"),
	of[notification.Failed]("notification", "The provider refused the message.", "notification", "order", "customer"),
	of[notification.Suppressed]("notification", "The message is not sent: it is not wanted, or there is nowhere to send it.", "notification", "order", "customer"),
}
