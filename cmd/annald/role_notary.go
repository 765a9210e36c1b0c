package main

import "context"

// buildNotary wires the role notary: the follower that computes the Merkle log.
func buildNotary(_ context.Context, _ *Daemon) error { return absent(roleNotary) }
