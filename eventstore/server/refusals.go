package server

import (
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// What the embedded store doesn't do, and what to use instead.
const (
	noProjections = "the embedded event store runs no JavaScript projections; fold events in your own program, or use a cluster"
	noManagement  = "the embedded event store has no users, operations or monitoring service; use the tool annal, or a cluster"
)

// sentence explains a refusal, by service.
func sentence(method string) string {
	if strings.Contains(method, ".projections.") {
		return noProjections
	}
	return noManagement
}

// unknownService answers for every service that isn't registered.
func unknownService(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	return status.Errorf(codes.Unimplemented, "%s is not implemented: %s", method, sentence(method))
}
