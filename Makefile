# Sluice: everything that a developer and CI run. `make help` lists the targets.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

CACHE    := $(CURDIR)/.cache
BIN      := $(CACHE)/bin
TESTSUM  := $(BIN)/testsum
LINT     := $(BIN)/golangci-lint
VULN     := $(BIN)/govulncheck
SUMMARY  := $(CACHE)/test-summary.txt
PARTS    := internal/itest/with-parts.sh

# Packages whose tests run again under the race detector: all but the programs
# in examples and the integration tests, which drive separate processes.
RACE_PKGS = $$(go list ./... | grep -v -e /examples/ -e /internal/itest)

PKG       ?= ./...
RUN       ?= .
FUZZTIME  ?= 4s
BENCH     ?= .
BENCHTIME ?= 1s
CI_STAGES := fmt-check tidy-check vet lint test race cross fuzz examples vuln

# What gateways, servers and laptops run. The tests of 386 stand for those of all
# 32-bit machines: most amd64 machines run them natively.
PORTS     := linux/386 linux/arm linux/arm64 linux/mipsle windows/amd64 darwin/arm64 freebsd/amd64

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: test
test: $(TESTSUM) ## Install the real parts where a package manager is at hand, run all tests (PKG=./rule/... RUN=TestX)
	@$(PARTS) bash -o pipefail -c 'go test -json -run "$(RUN)" $(PKG) | $(TESTSUM) -o $(SUMMARY) $(if $(CI),-noskip)'

.PHONY: race
race: $(TESTSUM) ## Run the library's tests under the race detector
	@go test -race -short -json $(RACE_PKGS) | $(TESTSUM)

.PHONY: cross
cross: $(TESTSUM) ## Build for every platform of PORTS, vet for 386 and run the library's tests there
	@for port in $(PORTS); do \
		begin=$$SECONDS; \
		export CGO_ENABLED=0 GOOS=$${port%/*} GOARCH=$${port#*/}; \
		go build $$(go list ./... | grep -v /examples/); \
		go build -o /dev/null ./examples/mqtt2kinesis; \
		echo "$$port: builds ($$((SECONDS-begin)) s)"; \
	done
	@CGO_ENABLED=0 GOARCH=386 go vet ./...
	@internal/tools/test32.sh $(TESTSUM)

.PHONY: fuzz
fuzz: ## Run every fuzz target for a short while (FUZZTIME=4s)
	@internal/tools/fuzz.sh $(FUZZTIME)

.PHONY: bench
bench: ## Run the benchmarks (BENCH=Render PKG=./template BENCHTIME=1s)
	go test -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) -benchmem $(PKG)

.PHONY: compare
compare: ## Benchmarks beside other libraries, which live in modules of their own
	for dir in internal/bench/*/; do go -C $$dir test -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) -benchmem ./...; done

.PHONY: torture
torture: ## Kill bridges, fill disks, turn clocks, and check that nothing is lost (TORTURE=1m SEED=7)
	go test -v -timeout 0 ./internal/torture -clock -torture $(or $(TORTURE),1m) -seed $(or $(SEED),0)

.PHONY: sim
sim: ## The whole product in virtual time, random scripts (SEEDS=1000 SEED=1 TIME=10m)
	go test -v -timeout 0 ./internal/sim -seeds $(or $(SEEDS),1000) -seed $(or $(SEED),1) -time $(or $(TIME),10m)

.PHONY: mutants
mutants: ## Deliberate faults, and which test finds each (takes about an hour)
	go run ./internal/sim/mutants -run '$(or $(MUTANTS),.)'

.PHONY: hostile
hostile: ## Inputs that are meant to take the process down, each in a child with hard limits
	go test ./internal/hostile -count=1 -timeout 30m -all

.PHONY: examples
examples: ## Build the examples and run the one that ends by itself
	go build -o $(BIN)/ ./examples/...
	$(BIN)/quickstart

.PHONY: fmt
fmt: $(LINT) ## Format the code
	$(LINT) fmt

.PHONY: fmt-check
fmt-check: $(LINT)
	@$(LINT) fmt --diff

.PHONY: tidy-check
tidy-check:
	go mod tidy -diff
	go mod verify

.PHONY: vet
vet: ## Run go vet
	go vet ./...
	go -C internal/tools vet ./...

.PHONY: lint
lint: $(LINT) ## Run the chosen linters, staticcheck among them
	$(LINT) run

.PHONY: vuln
vuln: $(VULN) ## Look for known vulnerabilities, where their database can be reached
	@internal/tools/vuln.sh $(VULN)

.PHONY: ci
ci: ## Everything that CI runs, stage by stage
	@SECONDS=0; for stage in $(CI_STAGES); do \
		begin=$$SECONDS; echo "=== $$stage"; \
		$(MAKE) --no-print-directory $$stage || { echo "=== $$stage: FAILED after $$((SECONDS-begin)) s"; exit 1; }; \
		echo "=== $$stage: ok in $$((SECONDS-begin)) s"; \
	done; echo "=== all stages: ok in $$SECONDS s"

.PHONY: tools
tools: $(LINT) $(VULN) $(TESTSUM) ## Build the pinned tools into .cache/bin

.PHONY: clean
clean: ## Remove what the targets above have built and installed in this folder
	rm -rf $(CACHE)

# The tools are pinned by internal/tools/go.mod, a module of its own.
$(LINT) $(VULN): internal/tools/go.mod
	@mkdir -p $(BIN)
	@echo "building $(@F) (once)"
	@go -C internal/tools build -o $@ $$(go -C internal/tools list -f '{{if eq .Name "main"}}{{.ImportPath}}{{end}}' tool | grep '/$(@F)$$')
	@touch $@

$(TESTSUM): $(wildcard internal/tools/testsum/*.go)
	@mkdir -p $(BIN)
	@go -C internal/tools test ./testsum >/dev/null
	@go -C internal/tools build -o $@ ./testsum
