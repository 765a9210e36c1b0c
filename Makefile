# Annal. `make` prints what there is. Everything local lives below $(ANNAL_HOME); nothing else on the machine is touched.
SHELL := /bin/sh
ANNAL_HOME ?= .annal
export ANNAL_HOME
FOR ?= 600
FILE ?= deploy/local/sample/online-retail-sample.csv.gz
LOCAL = mkdir -p bin && { [ -e bin/annal-local ] || echo building annal-local; } && go build -o bin/annal-local ./deploy/local && exec bin/annal-local
.DEFAULT_GOAL := help

.PHONY: help
help: ## print this
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: servers
servers: ## install (if missing) and start the private PostgreSQL and RabbitMQ
	@$(LOCAL) servers

.PHONY: run
run: ## servers, build, and annald with all roles in the foreground
	@$(LOCAL) run

.PHONY: start
start: ## the same in the background
	@$(LOCAL) start

.PHONY: stop
stop: ## drain and end annald
	@$(LOCAL) stop

.PHONY: down
down: ## stop annald and both servers; the data stays
	@$(LOCAL) down

.PHONY: config
config: ## print the settings that make run and make start give annald, secrets left out
	@$(LOCAL) config

.PHONY: clean
clean: ## down, then remove all data but backups, and the binaries unless ANNAL_HOME names another home
	@$(LOCAL) clean
	@case "$$ANNAL_HOME" in "" | .annal | "$(CURDIR)/.annal") rm -rf bin ;; *) echo "bin stays: it belongs to all homes" ;; esac

.PHONY: build
build: ## bin/annald and bin/annal
	go build -o bin/ ./cmd/...

.PHONY: test
test: ## servers, then every test against them, with the time of each package
	@$(LOCAL) servers --build
	@deploy/local/test.sh

.PHONY: test-race
test-race: ## the same under the race detector (needs a C compiler)
	@$(LOCAL) servers --build
	@RACE=1 deploy/local/test.sh

.PHONY: verify
verify: ## modules are the pinned ones, generated code is current, gofmt and vet are content
	@deploy/local/verify.sh

.PHONY: lint
lint: ## golangci-lint, built from tools/lint
	@[ -e bin/golangci-lint ] || echo building golangci-lint: that takes minutes
	@go build -C tools/lint -o "$(CURDIR)/bin/golangci-lint" github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	@bin/golangci-lint run

.PHONY: check
check: ## all that CI runs: verify, lint, test, then session, import-proof, import-disturbed, store-move and interop
	@$(MAKE) --no-print-directory verify
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory test
	@$(MAKE) --no-print-directory session
	@$(MAKE) --no-print-directory import-proof
	@$(MAKE) --no-print-directory import-disturbed
	@$(MAKE) --no-print-directory store-move
	@$(MAKE) --no-print-directory interop

.PHONY: session
session: ## the README's session, orders that must fail, and one key at two API processes, in a house of its own
	@test/session.sh

.PHONY: import-proof
import-proof: ## sums of the API equal those reckoned from the file by another program: make import-proof FILE=... (default: the sample)
	@test/import-proof.sh "$(FILE)"

.PHONY: import-disturbed
import-disturbed: ## an import through kill -9 and a wiped broker ends like one in peace: make import-disturbed FILE=...
	@test/import-disturbed.sh "$(FILE)"

.PHONY: store-move
store-move: ## a house moves to another event store: copy, compare, start there; equal digests: make store-move FILE=...
	@test/store-move.sh "$(FILE)"

.PHONY: interop
interop: ## other people's programs against a running house: npm graphql-http, Node's two clients of the event store
	@test/interop.sh

.PHONY: demo
demo: ## three minutes of a bad day before one's eyes: orders, kill -9, a wiped broker; 0 lost, 0 doubled
	@test/demo.sh

.PHONY: bench
bench: ## append, relay, projector and API beside their bare layers, and a table of it: make bench BENCH=relay for one, BENCH=large for 10 million events
	@test/bench.sh

.PHONY: bench-start
bench-start: ## milliseconds from exec to the first answer of annald --roles eventstore
	@test/start.sh

.PHONY: test-bare
test-bare: ## make test and make run in a bare Debian (debootstrap), as root and as a user; needs root
	@deploy/local/bare.sh

.PHONY: soak
soak: ## seeded and fuzz tests, power cuts, kills and byte flips again and again with new seeds: make soak FOR=600 (seconds)
	@$(LOCAL) servers
	@FOR="$(FOR)" deploy/local/soak.sh
