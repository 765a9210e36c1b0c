package server

import "maps"

// Served are the calls that the server answers with a handler of its own.
func (s *Server) Served() map[string]bool {
	g := s.transport()
	defer g.Stop()
	return methods(g)
}

// HasRule reports whether the table of rights knows the call.
func HasRule(method string) bool { _, ok := rules[method]; return ok }

// RuledMethods are the calls that the table knows.
func RuledMethods() (all []string) {
	for m := range maps.Keys(rules) {
		all = append(all, m)
	}
	return all
}

// Woken is how often subscriptions were woken.
func (s *Server) Woken() uint64 { return s.woken.Load() }

// Calls is how many calls are in progress, the open ones aside.
func (s *Server) Calls() int64 { return s.gate.calls.Load() }

// Held is how many bytes unanswered appends hold.
func (s *Server) Held() int64 { return s.appends.used.Load() }

// Milliseconds are those of a duration in either of its two forms.
var Milliseconds = milliseconds
