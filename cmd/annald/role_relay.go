package main

import "context"

// buildRelay wires the role relay: relay from $all to RabbitMQ.
func buildRelay(_ context.Context, _ *Daemon) error { return absent(roleRelay) }
