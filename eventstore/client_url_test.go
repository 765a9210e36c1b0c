package eventstore

import (
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/annalhq/annal/eventstore/server/servertest"
	"github.com/annalhq/annal/internal/fault"
)

func TestConnectionStrings(t *testing.T) {
	for text, want := range map[string]struct {
		address, user, password string
		seeds                   []string
	}{
		"esdb://store:2113?tls=false":                          {address: "store:2113"},
		"esdb://store":                                         {address: "store:2113"},
		"esdb://store/?nodePreference=follower":                {address: "store:2113"},
		"kurrentdb+discover://store:1":                         {address: "store:1"},
		"esdb://[::1]:2114?tls=false":                          {address: "[::1]:2114"},
		"esdb://[::1]":                                         {address: "[::1]:2113"},
		"esdb://shop:secret@[2001:db8::1]:2113":                {address: "[2001:db8::1]:2113", user: "shop", password: "secret"},
		"esdb+discover://[fe80::1%25eth0]:2113":                {address: "[fe80::1%eth0]:2113"},
		"esdb://a:1,b,c:3?tls=false":                           {seeds: []string{"a:1", "b:2113", "c:3"}},
		"esdb://shop:x@[::1]:1,b:2,[::2]?tls=false":            {seeds: []string{"[::1]:1", "b:2", "[::2]:2113"}, user: "shop", password: "x"},
		"esdb://shop:1,2@a:1,b:2":                              {seeds: []string{"a:1", "b:2"}, user: "shop", password: "1,2"},
		"esdb://shop:%3F%2F%40%2C@store:1":                     {address: "store:1", user: "shop", password: "?/@,"},
		"esdb://store:1?connectionName=a,b&keepAliveTimeout=9": {address: "store:1"},
	} {
		got, err := parseTarget(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		var seeds []string
		for _, s := range got.GossipSeeds {
			seeds = append(seeds, s.String())
		}
		if got.Address != want.address || got.Username != want.user || got.Password != want.password || !slices.Equal(seeds, want.seeds) {
			t.Errorf("%s: %q %q %q %q", text, got.Address, got.Username, got.Password, seeds)
		}
	}
}

// What is refused is not connected to, and neither told to anybody: it may hold a password.
func TestConnectionStringsThatMakeNoSense(t *testing.T) {
	var printed strings.Builder
	log.SetOutput(&printed)
	defer log.SetOutput(os.Stderr)
	for _, text := range []string{
		"", "esdb", "esdb://", "http://store:2113", "esdb://:2113", "esdb://store:", "esdb://store:0", "esdb://store:99999", "esdb://store:-1", "esdb://store:x",
		"esdb://a:1,,b:2", "esdb://::1:2113", "esdb://[::1:2113", "esdb://[::1]x", "esdb://[::1]:", "esdb://[127.0.0.1]:1", "esdb://[store]:1", "esdb://[]:1",
		"esdb://@store:1", "esdb://:secret@store:1", "esdb://store:1/path", "esdb://store:1?tls=perhaps", "esdb://store:1?tsl=false",
		"esdb://store:1?tls=false&tls=true", "esdb://shop:2024?secret@store:1", "esdb://shop:2024?secret,x@store:1", "esdb://shop:2024/secret@store:1", "esdb://a:1,b:2/secret",
		"esdb://shop:2024#secret@store:1", "esdb://shop:%zzsecret@store:1", "esdb://store:1?%zzsecret", "esdb://shop:secret@store:1?userCertFile=x",
	} {
		_, err := parseTarget(text)
		if fault.CodeOf(err) != "STORE_URL_MALFORMED" || fault.KindOf(err) != fault.Invalid || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", text, err)
		}
	}
	none := filepath.Join(t.TempDir(), "none.pem")
	if _, err := parseTarget("esdb://shop:secret@store:1?tlsCAFile=" + none); fault.CodeOf(err) != "STORE_CA_UNREADABLE" || !strings.Contains(err.Error(), none) || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
	if printed.Len() > 0 {
		t.Errorf("printed: %s", &printed)
	}
}

func TestAStoreIsReachedByItsIPv6Address(t *testing.T) {
	store := servertest.StartAt(t, t.TempDir(), "[::1]:0")
	for _, url := range []string{store.URL, strings.Replace(store.URL, "esdb:", "esdb+discover:", 1), strings.Replace(store.URL, "?", ",[::1]:1?", 1)} {
		c, err := Open(url, Config{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Head(t.Context()); err != nil {
			t.Errorf("%s: %v", url, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}
