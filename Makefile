# Every target does its own set-up; on a machine with Go, git and Debian's package tool nothing else is needed.
#
#   make run     build Clacks and start it with demonstration data (Ctrl-C stops it)
#   make test    set up everything and run all tests
#   make help    the other targets

SHELL := /bin/bash
.DEFAULT_GOAL := help

BIN      := bin
CACHE    := .cache
DATA     ?= data
HTTP     ?= 127.0.0.1:8050
AMQP     ?= 127.0.0.1:5672
FUZZTIME ?= 30s
KILLS    ?= 500
SOAK     ?= 10m
PACKAGES ?= ./...

GOLANGCI_VERSION    := v2.15.0
STATICCHECK_VERSION := v0.8.2

# Without a C compiler that finds its headers Go builds without cgo.
CGO = $(shell [ "$$(go env CGO_ENABLED)" = 1 ] && $$(go env CC) -x c -include stdlib.h -fsyntax-only /dev/null 2>/dev/null && echo 1 || echo 0)

# libxml2 validates when its headers are there, too; the pure-Go validator serves otherwise.
TAGS = $(shell [ "$(CGO)" = 1 ] && pkg-config --exists libxml-2.0 2>/dev/null && echo libxml2)
GOTAGS = -tags '$(TAGS)'

.PHONY: help
help: ## show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: deps-run
deps-run:
	@scripts/deps run

.PHONY: deps
deps: ## install what building and testing need (Debian, Ubuntu), or say what is missing
	@scripts/deps all

build check: export CGO_ENABLED := $(CGO)

.PHONY: build
build: ## build bin/clacks
	@mkdir -p $(BIN)
	go build $(GOTAGS) -trimpath -o $(BIN)/clacks ./cmd/clacks

.PHONY: run
run: deps-run ## set up, build, and start a living Clacks with demonstration data
	@$(MAKE) --no-print-directory build
	$(BIN)/clacks serve --data $(DATA) --http $(HTTP) --amqp $(AMQP) --definitions examples/employees --sql-schema examples/employees/schema.sql --demo

.PHONY: test
test: deps ## set up and run all tests
	@$(MAKE) --no-print-directory check

.PHONY: check
check:
	go vet $(GOTAGS) $(PACKAGES)
	go test $(GOTAGS) -timeout 25m $(PACKAGES)
	CGO_ENABLED=0 go build -o /dev/null ./cmd/clacks
	CGO_ENABLED=0 go test -timeout 10m ./internal/xsd ./definitions/... ./events

.PHONY: race
race: deps ## run all tests under the race detector
	go test $(GOTAGS) -race -timeout 40m $(PACKAGES)

.PHONY: qt3
qt3: deps ## run the W3C's suite for XQuery 3.1 (QT3TESTS names its folder) and write docs/xquery-conformance.md
	@set -o pipefail; go test $(GOTAGS) ./xquery -run '^TestQT3$$' -count=1 -timeout 20m -v -qt3.report | \
		awk '/^QT3: / {summary = $$0; next} {print} END {if (!summary) exit 1; print summary}'

.PHONY: crash
crash: deps ## kill the service at every failpoint, KILLS times in all, and check that nothing is lost or invented
	CLACKS_CRASH_KILLS=$(KILLS) go test $(GOTAGS) -run TestCrash -count=1 -timeout 80m -v ./cmd/clacks

.PHONY: soak
soak: deps ## let 200 connections come and go for SOAK, at the listener and at the whole service, and check that nothing grows
	CLACKS_SOAK=$(SOAK) go test $(GOTAGS) -run '^TestSoak$$' -count=1 -timeout 0 -v ./bus/listener ./cmd/clacks

.PHONY: bench
bench: deps ## measure against the same servers used without Clacks, in one run; prints ratios
	scripts/bench

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME
	scripts/fuzz $(FUZZTIME)

$(CACHE)/bin/golangci-lint-$(GOLANGCI_VERSION):
	@mkdir -p $(CACHE)/bin
	GOBIN=$(abspath $(CACHE)/bin) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	@mv $(CACHE)/bin/golangci-lint $@

$(CACHE)/bin/staticcheck-$(STATICCHECK_VERSION):
	@mkdir -p $(CACHE)/bin
	GOBIN=$(abspath $(CACHE)/bin) go install honnef.co/go/tools/cmd/staticcheck@$(STATICCHECK_VERSION)
	@mv $(CACHE)/bin/staticcheck $@

.PHONY: lint
lint: deps $(CACHE)/bin/golangci-lint-$(GOLANGCI_VERSION) $(CACHE)/bin/staticcheck-$(STATICCHECK_VERSION) ## gofmt, vet, staticcheck, golangci-lint
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$unformatted" ] || { echo "not gofmt-ed:"; echo "$$unformatted"; exit 1; }
	go mod tidy -diff
	go vet $(GOTAGS) ./...
	$(CACHE)/bin/staticcheck-$(STATICCHECK_VERSION) $(GOTAGS) ./...
	$(CACHE)/bin/golangci-lint-$(GOLANGCI_VERSION) run $(if $(TAGS),--build-tags $(TAGS)) ./...

.PHONY: clean
clean: ## remove what was built (not the data)
	rm -rf $(BIN) $(CACHE)
