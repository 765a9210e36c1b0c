#!/bin/sh
# Repeats the seeded tests with new seeds until FOR (seconds, default 600) have passed: packages with property tests run
# 2,000 checks a round, all others in another order each time, every fuzz target for 30 s; once, a subscription is left alone for longer than
# a minute. Stops at the first failure and prints its seed.
set -eu
until=$(($(date +%s) + ${FOR:-600}))
rapid=$(go list -f '{{.ImportPath}} {{.TestImports}} {{.XTestImports}}' ./... | grep 'pgregory.net/rapid' | cut -d ' ' -f 1 || :)
round=0
go test -count=1 ./eventstore/server -run '^TestAnIdleSubscriptionLives$' -idle=75s
while [ "$(date +%s)" -lt "$until" ]; do
	round=$((round + 1))
	echo "round $round, $((until - $(date +%s))) s left"
	for package in $rapid; do
		[ "$(date +%s)" -lt "$until" ] || exit 0
		go test -count=1 -timeout 30m "$package" -rapid.checks="${CHECKS:-2000}"
	done
	[ "$(date +%s)" -lt "$until" ] || exit 0
	go test -count=1 -shuffle=on -timeout 30m -p 2 ./...
	[ "$(date +%s)" -lt "$until" ] || exit 0
	# The event store's durability: a minute of power cuts, every byte of every file, two hundred kills.
	go test -count=1 -timeout 60m -v -run 'TestPowerCuts|TestFlippedBytes' ./eventstore/engine -args -cuts 60s -flips 1
	go test -count=1 -timeout 60m -v -run TestKillsLoseNothing ./eventstore/server -args -kills 200
	FUZZTIME=30s deploy/local/fuzz.sh
done
