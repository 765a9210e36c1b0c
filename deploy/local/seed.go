package main

import "context"

// seed runs when annald is ready and before `ready` is printed: the place for what a fresh home needs over the API, such
// as the local administrator, the tool's context and the sample of real orders. It is called at every start, so each
// step must find its own work done and return within a second then. Files go below $ANNAL_HOME.
func seed(context.Context, *home) error { return nil }
