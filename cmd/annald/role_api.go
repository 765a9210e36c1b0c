package main

import "context"

// buildAPI wires the role api: graph at /graphql of d.mux.
func buildAPI(_ context.Context, _ *Daemon) error { return absent(roleAPI) }
