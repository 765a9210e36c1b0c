# Annal. `make` prints what there is. Everything local lives below $(ANNAL_HOME); nothing else on the machine is touched.
SHELL := /bin/sh
ANNAL_HOME ?= .annal
export ANNAL_HOME
LOCAL = mkdir -p bin && go build -o bin/annal-local ./deploy/local && exec bin/annal-local
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

.PHONY: clean
clean: ## down, then remove all data and binaries
	@$(LOCAL) clean
	@rm -rf bin

.PHONY: build
build: ## bin/annald and bin/annal
	go build -o bin/ ./cmd/...
