package main

import "context"

// buildProjector wires the role projector: the projector's groups over the read models.
func buildProjector(_ context.Context, _ *Daemon) error { return absent(roleProjector) }
