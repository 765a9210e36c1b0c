package server

import (
	"net"
	"net/netip"
	"testing"

	"google.golang.org/grpc/peer"
)

// Whoever has an address in IPv6 has 2^64 of them.
func TestANetworkCountsAsOneCaller(t *testing.T) {
	from := func(address string) string {
		return network(peer.NewContext(t.Context(), &peer.Peer{Addr: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(address))}))
	}
	for _, x := range []struct {
		a, b string
		one  bool
	}{
		{"10.0.0.1:1", "10.0.0.1:2", true},
		{"10.0.0.1:1", "10.0.0.2:1", false},
		{"[2001:db8:1:2::1]:1", "[2001:db8:1:2:ffff::9]:1", true},
		{"[2001:db8:1:2::1]:1", "[2001:db8:1:3::1]:1", false},
		{"[::ffff:10.0.0.1]:1", "[::ffff:10.0.0.2]:1", false},
		{"[fe80::1%eth0]:1", "[fe80::2%eth0]:1", true},
	} {
		if got := from(x.a) == from(x.b); got != x.one {
			t.Errorf("%s and %s are %q and %q", x.a, x.b, from(x.a), from(x.b))
		}
	}
}
