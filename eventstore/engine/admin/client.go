package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/annalhq/annal/internal/fault"
)

// Call asks the process at address for an operation (backup, verify, scavenge, stat) and decodes its result. told, which may be nil, hears of
// progress.
//
// Faults: those of the operation, ADMIN_UNAVAILABLE if nobody answers or the answer breaks off.
func Call(ctx context.Context, address, operation string, req Request, result any, told func(Progress)) error {
	method, body := http.MethodPost, []byte(nil)
	if operation == "stat" {
		method = http.MethodGet
	} else {
		var err error
		if body, err = json.Marshal(req); err != nil {
			return fault.Wrap(err, fault.Internal, "REQUEST_INVALID", "the request can't be written")
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://"+address+"/eventstore/"+operation, bytes.NewReader(body))
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "ADMIN_ADDRESS", "the admin address is malformed")
	}
	r.Header.Set("Content-Type", "application/json")
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		return away(err, address)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return fault.Newf(fault.Unavailable, "ADMIN_UNAVAILABLE", "the process at %s has no event store open; set ANNAL_ADMIN_LISTEN to that of the role eventstore", address)
	}
	return read(resp.Body, address, result, told)
}

func read(body io.Reader, address string, result any, told func(Progress)) error {
	for d := json.NewDecoder(body); ; {
		var l line
		if err := d.Decode(&l); err != nil {
			return away(err, address)
		}
		switch {
		case l.Fault != nil:
			return fault.New(kindOf(l.Fault.Kind), l.Fault.Code, l.Fault.Message)
		case l.Result != nil:
			return fault.Wrap(json.Unmarshal(l.Result, result), fault.Internal, "ADMIN_ANSWER", "the answer is not understood; are annal and annald of one version?")
		case l.Progress != nil && told != nil:
			told(*l.Progress)
		}
	}
}

func away(err error, address string) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fault.Wrap(err, fault.Timeout, "ADMIN_INTERRUPTED", "interrupted; begin it again")
	}
	return fault.Wrap(err, fault.Unavailable, "ADMIN_UNAVAILABLE", "no annald answers at "+address+"; set ANNAL_ADMIN_LISTEN to that of the role eventstore")
}

func kindOf(name string) fault.Kind {
	for k := fault.Internal; k <= fault.Unavailable; k++ {
		if k.String() == name {
			return k
		}
	}
	return fault.Internal
}
