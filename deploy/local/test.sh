#!/bin/sh
# Runs every test of the module and prints the packages by time, the slowest last, and every skipped test with its reason (test/suite, which
# refuses a skip that is not on its list): packages where goroutines meet under the race detector if a C compiler is there, all of
# them with RACE=1. TIMEOUT bounds a package. What a test prints is shown when it fails.
set -eu
raced='/(commands|feed|relay|sagas|queries|eventstore|internal/rabbit|internal/run|internal/vault|internal/providers/.*|cmd/annald)$'
began=$(date +%s)
status=0
mkdir -p bin
go build -o bin/annal-suite ./test/suite
# Two packages at once: they share two cores with the servers.
run() { bin/annal-suite -timeout "${TIMEOUT:-10m}" -p "${PARALLEL:-2}" -count=1 "$@" || status=1; }
all=$(go list ./...)
# shellcheck disable=SC2046,SC2086 # package names are words
if [ "${RACE:-}" = 1 ]; then
	run -- -race $all
elif command -v "${CC:-cc}" >/dev/null 2>&1; then
	run -- -race $(echo "$all" | grep -E "$raced") -- $(echo "$all" | grep -Ev "$raced")
else
	echo "no C compiler: nothing runs under the race detector"
	run -- $all
fi
[ "$status" = 0 ] && deploy/local/fuzz.sh || status=1
echo "$(($(date +%s) - began)) s with the fuzzers"
exit $status
