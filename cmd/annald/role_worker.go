package main

import "context"

// buildWorker wires the role worker: the command workers of d.asked.contexts, and the sagas.
func buildWorker(_ context.Context, _ *Daemon) error { return absent(roleWorker) }
