# A bare `make` prints this list. Every target works twice in a row, from a fresh clone, as root or
# not, and with no terminal.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
TOOL := go tool -modfile=tools/go.mod
ARGS ?=

.PHONY: help setup build conformance test check unit suite kills proof bench clean

help: ## print this list
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## install what is missing on this machine: PostgreSQL's server programs, curl
	@tools/setup.sh

build: ## bin/tidemark and bin/gateway
	@mkdir -p bin
	@go build -trimpath -ldflags "-X tidemark/cli.commit=$$(git describe --always --abbrev=12 --exclude '*' --dirty=+changes 2>/dev/null)" -o bin/ . ./gateway

conformance: setup build ## run every feature against the reference gateway; ARGS="…" go to `tidemark run`
	@bin/tidemark run $(ARGS)

# Each part runs, whatever became of those before it.
test: setup build ## everything that must hold: checks, tests with the race detector, the suite, one kill per defect
	@red=; for part in check unit suite kills; do $(MAKE) --no-print-directory $$part || red="$$red $$part"; done; \
	if [ -n "$$red" ]; then echo "make test: red:$$red"; exit 1; fi

check: ## formatting, vet, staticcheck
	@echo "== formatting, vet, staticcheck"
	@out=$$($(TOOL) gofumpt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "not formatted (run: $(TOOL) gofumpt -w FILE):"; echo "$$out"; exit 1; fi
	@go vet ./...
	@$(TOOL) staticcheck ./...

unit: ## unit and integration tests with the race detector, the layout law among them
	@echo "== unit and integration tests"
	@go test -race -timeout 15m ./...

suite: build
	@echo "== the suite on the reference gateway"
	@bin/tidemark run --no-color

kills: build
	@echo "== one kill per defect"
	@bin/tidemark prove --one-per-defect --no-color

proof: setup build ## the kill matrix: every defect of the reference against all scenarios that it must turn red
	@bin/tidemark prove

bench: setup build ## benchmarks, as a table
	@go test -run '^$$' -bench . -benchtime 2s ./gateway/... ./fixtures/... ./cluster/... | awk -f tools/bench.awk

clean: ## remove what was built and what runs left behind
	@rm -rf bin runs
