package server

import (
	"slices"

	"google.golang.org/grpc"
)

// behindTheGate returns the service with its calls of one request made streams of one request, which is the same on the wire. grpc-go reads
// the request of the former before it asks an interceptor: who has no password could have the store hold 16 MiB for each call. The
// gate (gate.go) is passed before a stream's first message is read. What calls that are open to everybody carry is not read at all.
func behindTheGate(service *grpc.ServiceDesc) *grpc.ServiceDesc {
	d := *service
	d.Streams = slices.Clone(service.Streams)
	for _, m := range service.Methods {
		d.Streams = append(d.Streams, grpc.StreamDesc{StreamName: m.MethodName, ServerStreams: true, Handler: single(m.Handler)})
	}
	d.Methods = nil
	return &d
}

// single serves a call of one request and one answer.
func single(answer grpc.MethodHandler) grpc.StreamHandler {
	return func(srv any, ss grpc.ServerStream) error {
		ctx, read := ss.Context(), ss.RecvMsg
		if w, ok := ss.(*watched); ok {
			ctx = w.began // a change of the user doesn't cut a write in two
		}
		if method, _ := grpc.Method(ctx); isOpen(method) {
			read = func(any) error { return nil } // an empty message
		}
		m, err := answer(srv, ctx, read, nil)
		if err != nil {
			return err
		}
		return ss.SendMsg(m)
	}
}

func isOpen(method string) bool {
	need, known := rules[method]
	return known && need == open
}

// registrar puts every service behind the gate.
type registrar struct{ *grpc.Server }

func (r registrar) RegisterService(service *grpc.ServiceDesc, impl any) {
	r.Server.RegisterService(behindTheGate(service), impl)
}
