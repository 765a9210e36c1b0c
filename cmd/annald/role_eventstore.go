package main

import "context"

// buildEventStore wires the role eventstore: eventstore/engine behind eventstore/server at ANNAL_EVENTSTORE_LISTEN.
func buildEventStore(_ context.Context, _ *Daemon) error { return absent(roleEventStore) }
