package main

import (
	"context"
	"slices"
	"strings"

	"github.com/annalhq/annal/internal/fault"
)

// A role is what one process of annald does.
type role string

// The roles. Their names are a promise to scripts.
const (
	roleEventStore role = "eventstore"
	roleRelay      role = "relay"
	roleProjector  role = "projector"
	roleWorker     role = "worker"
	roleNotary     role = "notary"
	roleAPI        role = "api"
	everything          = "all"
)

const howToSay = "--roles all, or a list of api, eventstore, relay, projector, worker[=context,..], notary"

// A recipe adds a role's parts to a daemon that is being built, in the order of dependence within the role. It opens what
// it needs (registering what must be closed) and starts nothing: run.All does.
type recipe struct {
	role  role
	build func(ctx context.Context, d *Daemon) error // nil: this build of annald has no such role yet
}

// recipes in the order of dependence between roles: what others need first, so drained last.
func recipes() []recipe {
	return []recipe{
		{roleEventStore, buildEventStore},
		{roleRelay, buildRelay},
		{roleProjector, buildProjector},
		{roleWorker, buildWorker},
		{roleNotary, buildNotary},
		{roleAPI, buildAPI},
	}
}

// selection is a parsed --roles.
type selection struct {
	roles    []role
	contexts []string // of worker=..; empty: all
	all      bool
}

func (s selection) has(r role) bool { return s.all || slices.Contains(s.roles, r) }

// parseRoles reads a list like api,worker=payment,inventory,relay: what follows worker= and is no role is a context.
//
// Fault: ROLE_UNKNOWN.
func parseRoles(list string) (selection, error) {
	if strings.TrimSpace(list) == "" {
		return selection{}, fault.New(fault.Invalid, "ROLE_UNKNOWN", "no roles were given; say "+howToSay)
	}
	var s selection
	inWorker := false
	for _, word := range strings.Split(list, ",") {
		word = strings.TrimSpace(word)
		if contexts, ok := strings.CutPrefix(word, string(roleWorker)+"="); ok && contexts != "" {
			s.roles, s.contexts, inWorker = append(s.roles, roleWorker), append(s.contexts, contexts), true
			continue
		}
		known := slices.ContainsFunc(recipes(), func(r recipe) bool { return string(r.role) == word })
		switch {
		case known:
			s.roles, inWorker = append(s.roles, role(word)), false
		case word == everything:
			s.all, inWorker = true, false
		case inWorker && word != "":
			s.contexts = append(s.contexts, word)
		default:
			return selection{}, fault.Newf(fault.Invalid, "ROLE_UNKNOWN",
				"%q is not a role; say "+howToSay, word)
		}
	}
	return s, nil
}

// absent is the honest answer for a role that somebody asked for by name and that this build does not have.
func absent(r role) error {
	return fault.Newf(fault.Unavailable, "ROLE_ABSENT", "this build of annald has no role %s yet", r)
}
