package commands

import (
	"github.com/annalhq/annal/internal/providers/carrier"
	"github.com/annalhq/annal/internal/providers/notify"
	"github.com/annalhq/annal/internal/providers/payment"
)

// Ports are the ways out of the house, by the name that an event stores. cmd chooses the adapters; a name that is
// missing here answers a typed fault when an event asks for it.
type Ports struct {
	Payments map[string]payment.Port // by Tender.Provider: "card", "imported"
	Carriers map[string]carrier.Port // by Placed.Carrier: "standard", "imported"
	Channels map[string]notify.Port  // by notification.Channel: "mail", "sms", "push"
}
