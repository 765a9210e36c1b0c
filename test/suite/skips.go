package main

import "strings"

// A leave is a skip that may be: what it leaves out is asked for elsewhere, or can't be had on every machine. All three must match, so
// that the same test can't be skipped for another reason.
type leave struct{ pack, test, reason string } // test and reason: how one begins, what the other holds

var leaves = []leave{
	{"eventstore", "TestContractWithAStoreOfOnesOwn", "ANNAL_TEST_EVENTSTORE_URL names no EventStoreDB"},
	{"eventstore/server", "TestStoreProcess", "started by TestKillMinusNine"}, // no test but that one's other process
	{"eventstore/server/officialsuite", "TestWhatIsLeftOutIsThere/", ""},      // pinned by name, with the reason, in the test itself
	{"eventstore/engine", "Test", "1 test of full disks left out: mounting a tmpfs needs root"},
	{"eventstore/engine", "Test", "1 test of full disks left out: mount:"}, // root of a container may not mount either
	{"console", "Test", "no Node here"},                                    // make interop brings one
	{"aggregates", "FuzzDecode/", ""},                                      // a seed that can be decoded and not stored
}

func allowed(s skip) bool {
	for _, l := range leaves {
		if s.pack == l.pack && strings.HasPrefix(s.test, l.test) && strings.Contains(s.reason, l.reason) {
			return true
		}
	}
	return false
}
