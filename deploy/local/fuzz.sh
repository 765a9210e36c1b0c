#!/bin/sh
# Runs every fuzz target of the module for FUZZTIME (default 10s). What a fuzzer finds stays in the package's testdata.
set -eu
status=0
# Built with the coverage that fuzzing wants, which plain tests do not share.
echo "fuzzing: every target for ${FUZZTIME:-10s}; with a cold build cache each compiles first, which takes minutes"
for file in $(git ls-files --cached --others --exclude-standard '*_test.go'); do
	[ -f "$file" ] || continue
	for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file"); do
		# -parallel 2: the default is one worker a core, and the servers need one.
		fuzz() { go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-10s}" -parallel 2 "./$(dirname "$file")" >"${OUT:=$(mktemp)}" 2>&1; }
		# A worker that is late at the end of its time fails go's fuzzer without an input: then it gets a second go.
		fuzz || { ! grep -q 'Failing input' "$OUT" && grep -q '^    context deadline exceeded$' "$OUT" && fuzz; } || {
			status=1
			cat "$OUT"
		}
		echo "fuzz $(dirname "$file") $target: $(grep -c '^fuzz: elapsed' "$OUT" || :) reports, last: $(grep '^fuzz: elapsed' "$OUT" | tail -n 1)"
	done
done
rm -f "${OUT:-}"
exit $status
