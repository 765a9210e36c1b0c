package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"time"
)

// freePort returns a loopback port that nobody listens on, other than those taken. It draws below the range from which
// Linux and macOS give ports to outgoing connections, so that a stopped server finds its port free when it comes back.
func freePort(taken ...int) (int, error) {
	for range 200 {
		port := 20000 + rand.IntN(12000)
		if !slices.Contains(taken, port) && portFree(port) {
			return port, nil
		}
	}
	return 0, errors.New("no free port between 20000 and 32000 on 127.0.0.1")
}

// keepPort returns the port of last time, since programs that run know it, and a new one only if somebody else has taken
// it. A killed server's children can hold it for a moment longer.
func keepPort(ctx context.Context, last int, taken ...int) (int, error) {
	if last == 0 || slices.Contains(taken, last) {
		return freePort(taken...)
	}
	for until := time.Now().Add(5 * time.Second); time.Now().Before(until); {
		if portFree(last) {
			return last, nil
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return 0, err
		}
	}
	return freePort(taken...)
}

func portFree(port int) bool {
	// Somebody on the wildcard address would take our connections as well, so both must be free.
	for _, host := range []string{"127.0.0.1", ""} {
		l, err := net.Listen("tcp4", net.JoinHostPort(host, strconv.Itoa(port)))
		if err != nil {
			return false
		}
		if err := l.Close(); err != nil {
			return false
		}
	}
	return true
}

// speaksAMQP reports whether an AMQP 0-9-1 broker answers: it sends the protocol header and wants a method frame.
func speaksAMQP(port int) bool {
	conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return false
	}
	if _, err := conn.Write([]byte("AMQP\x00\x00\x09\x01")); err != nil {
		return false
	}
	var first [1]byte
	_, err = conn.Read(first[:])
	return err == nil && first[0] == 1
}
