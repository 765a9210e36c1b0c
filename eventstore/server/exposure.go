package server

import (
	"net"

	"github.com/annalhq/annal/internal/fault"
)

// Permits returns whether the server may listen there: without TLS nobody is asked who they are, so only this machine's own programs may
// reach it, unless Insecure says otherwise. Serve asks as well; programs ask before they listen.
//
// Fault: STORE_EXPOSED.
func (c Config) Permits(address net.Addr) error {
	if c.TLSCert != "" || c.Insecure || local(address) {
		return nil
	}
	return fault.Newf(fault.Invalid, "STORE_EXPOSED",
		"without TLS whoever reaches %s could read and write everything: listen on 127.0.0.1, or give a certificate and users (ANNAL_EVENTSTORE_TLS_CERT, "+
			"_TLS_KEY, _USERS_FILE), or say ANNAL_EVENTSTORE_INSECURE=true if something else guards the port", address)
}

// local reports whether only programs of this machine reach the address.
func local(address net.Addr) bool {
	tcp, ok := address.(*net.TCPAddr)
	return !ok || tcp.IP.IsLoopback() // what is no TCP is a socket in the file system, or a pipe of a test
}
