package eventstore

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"github.com/annalhq/annal/internal/fault"
)

var errURL = fault.New(fault.Invalid, "STORE_URL_MALFORMED",
	"the event store's URL must look like esdb://host:2113?tls=false, esdb://[::1]:2113, esdb+discover://name:2113 or esdb://a:2113,b:2113,c:2113 with known settings; "+
		"special characters of a password are percent-encoded")

// settings are those that connection strings of EventStoreDB know, in lower case; some mean something to other clients only. A name that
// isn't there is refused: it is a misspelt one, or a piece of a password that holds a question mark.
var settings = []string{
	"connectionname", "defaultdeadline", "discoveryinterval", "dnsdiscover", "gossiptimeout", "keepaliveinterval", "keepalivetimeout",
	"maxdiscoverattempts", "nodepreference", "throwonappendfailure", "tls", "tlscafile", "tlsverifycert", "usercertfile", "userkeyfile",
}

// defaultPort is the one that a URL need not name.
const defaultPort = "2113"

// parseTarget reads a connection string. The official parser takes no IPv6 address, takes commas of a password for those between hosts,
// cuts ports to 16 bits and prints settings that it doesn't know, which may be pieces of a password. So it is given a string without
// any of these. Its own errors may quote the password: none is kept.
//
// Faults: STORE_URL_MALFORMED; STORE_CA_UNREADABLE.
func parseTarget(text string) (*esdb.Configuration, error) {
	scheme, rest, _ := strings.Cut(text, "://")
	for _, alias := range []string{"kurrentdb", "kurrent"} {
		if after, ok := strings.CutPrefix(scheme, alias); ok && (after == "" || after == "+discover") {
			scheme = "esdb" + after
		}
	}
	authority, tail := rest, ""
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		authority, tail = rest[:end], rest[end:]
	}
	if err := checkSettings(tail); err != nil {
		return nil, err
	}
	at := strings.LastIndexByte(authority, '@') + 1
	seeds, literals, ok := standIns(strings.Split(authority[at:], ","))
	if !ok {
		return nil, errURL
	}
	noComma := strings.NewReplacer(",", "%2C")
	target, err := esdb.ParseConnectionString(scheme + "://" + noComma.Replace(authority[:at]) + strings.Join(seeds, ",") + noComma.Replace(tail))
	if err != nil || target.Validate() != nil {
		return nil, errURL
	}
	literals.putBack(target)
	target.Logger = stopWhenAway
	return target, nil
}

// checkSettings refuses settings that nobody knows, and says which file of certificates can't be read.
func checkSettings(tail string) error {
	path, query, _ := strings.Cut(tail, "?")
	values, err := url.ParseQuery(query)
	if err != nil || strings.Trim(path, "/") != "" || strings.Contains(query, "#") {
		return errURL
	}
	for name, all := range values {
		switch name = strings.ToLower(name); {
		case !slices.Contains(settings, name) || len(all) > 1:
			return errURL
		case name == "tlscafile":
			if err := checkAuthority(all[0]); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkAuthority(file string) error {
	text, err := os.ReadFile(file)
	if err == nil && !x509.NewCertPool().AppendCertsFromPEM(text) {
		err = fmt.Errorf("%s holds no certificate in PEM", file)
	}
	return fault.Wrap(err, fault.Invalid, "STORE_CA_UNREADABLE", "the file that tlsCAFile names in the event store's URL can't be used")
}

// literals are IPv6 addresses, in brackets, by the names that stand in for them while the URL is parsed.
type literals map[string]string

// standIns checks hosts, each with its port or without, and returns them with ports and with names in the places of IPv6 addresses.
func standIns(hosts []string) (seeds []string, replaced literals, ok bool) {
	replaced = literals{}
	for _, seed := range hosts {
		host, port, hasPort := strings.Cut(seed, ":")
		if literal, bracketed := strings.CutPrefix(seed, "["); bracketed {
			address, after, closed := strings.Cut(literal, "]")
			ip, err := netip.ParseAddr(strings.Replace(address, "%25", "%", 1)) // a zone, as RFC 6874 writes it
			if !closed || err != nil || !ip.Is6() {
				return nil, nil, false
			}
			host = "ipv6-" + strconv.Itoa(len(replaced)) + ".invalid" // no name of a host (RFC 6761)
			replaced[host] = "[" + ip.String() + "]"
			if port, hasPort = strings.CutPrefix(after, ":"); !hasPort && after != "" {
				return nil, nil, false
			}
		}
		if !hasPort {
			port = defaultPort
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || host == "" {
			return nil, nil, false
		}
		seeds = append(seeds, net.JoinHostPort(host, port))
	}
	return seeds, replaced, true
}

// putBack puts the addresses where their names stand.
func (l literals) putBack(target *esdb.Configuration) {
	if host, port, _ := strings.Cut(target.Address, ":"); l[host] != "" {
		target.Address = l[host] + ":" + port
	}
	for _, seed := range target.GossipSeeds {
		if l[seed.Host] != "" {
			seed.Host = l[seed.Host]
		}
	}
}
