#!/bin/sh
# Says what is not as it should be in the tree, and fails then. It changes nothing: generated code is made in a copy.
set -eu
status=0
go mod verify >/dev/null || status=1

# Only files that git knows or would know: not what lies about below .annal or bin.
go_files=$(git ls-files --cached --others --exclude-standard '*.go')
unformatted=$(for f in $go_files; do if [ -f "$f" ]; then echo "$f"; fi; done | xargs gofmt -l)
if [ -n "$unformatted" ]; then
	printf 'not gofmt-ed:\n%s\n' "$unformatted"
	status=1
fi

# A program that was built in passing and added with everything else stays in the history of every clone.
large=$(git ls-files | while IFS= read -r f; do if [ -f "$f" ] && [ "$(wc -c <"$f")" -gt 2097152 ]; then echo "$f"; fi; done)
if [ -n "$large" ]; then
	printf 'over 2 MiB, and so not for git:\n%s\n' "$large"
	status=1
fi

echo 'vetting every package (with a cold build cache that takes minutes)'
go vet ./... || status=1

# Every generator of the tree runs in a copy with the same module cache; a difference means that somebody edited or forgot.
if [ -n "$(git grep --untracked -l '^//go:generate ' -- '*.go' || :)" ]; then
	echo 'running the generators in a copy'
	copy=$(mktemp -d)
	trap 'rm -rf "$copy"' EXIT
	git ls-files --cached --others --exclude-standard | while IFS= read -r f; do
		if [ -f "$f" ]; then
			mkdir -p "$copy/$(dirname "$f")"
			cp -p "$f" "$copy/$f"
		fi
	done
	differ=$(cd "$copy" && git init -q && git add -A && go generate ./... >&2 && git diff --name-only && git ls-files --others --exclude-standard) || status=1
	if [ -n "$differ" ]; then
		printf 'go generate changes or makes these; run it and commit:\n%s\n' "$differ"
		status=1
	fi
fi
go run -C tools/compose . ../../deploy/compose.yaml || status=1
exit $status
