package eventstore

import (
	"context"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"github.com/annalhq/annal/internal/reach"
)

// setting is where an operator says which store there is, and as whom.
const setting = "ANNAL_EVENTSTORE_URL"

// away is ErrUnavailable of the address. gRPC makes text of why a connection failed, and only a type can be asked: so the door is knocked
// at once more, within ctx, the bound of one attempt to connect.
func away(ctx context.Context, target *esdb.Configuration, address string, err error) error {
	return wrap(reach.New(address, setting, whyAway(ctx, target, address), err), ErrUnavailable)
}

func whyAway(ctx context.Context, target *esdb.Configuration, address string) string {
	conf, err := tlsOf(target)
	if err == nil {
		err = reach.Knock(ctx, address, conf)
	}
	switch {
	case err != nil:
		return reach.Reason(err)
	case conf == nil:
		return "connections are taken, but no store without TLS answers there"
	}
	return "connections are taken, but no store answers there"
}

// refused is the cause of ErrCredentials.
func refused(address string, err error) error {
	return reach.New(address, setting, "credentials refused, or a role is missing", err)
}
