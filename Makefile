# Everything that is done to this tree, by name. `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Tools and other things that are slow to build stay outside the work tree.
CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/waggle
TOOLS := $(CACHE)/tools-$(shell sha256sum tools.mod | cut -c1-12)
DATA  ?= ./data
SEEDS ?= 2000
KILLS ?= 30
FAULTS ?= 60
RACES ?= 34
USAGE_KILLS ?= 100
CANARIES ?= 5m

.PHONY: help
help: ## list the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: deps
deps: ## install what Debian must bring (idempotent)
	@./scripts/install-debian.sh

.PHONY: deps-test
deps-test: ## the same, and what the tests need besides
	@./scripts/install-debian.sh test

.PHONY: build
build: ## build ./waggle
	@go build -trimpath -o waggle .

.PHONY: run
run: deps build ## start a node on 127.0.0.1, data in ./data
	@./waggle serve --data $(DATA)

.PHONY: demo
demo: deps build ## Fashion-MNIST through the HTTP API: recall, speed and a page to look at
	@./scripts/demo.sh

.PHONY: test
test: deps-test check test-unit test-e2e ## what a change must pass

.PHONY: test-unit
test-unit: ## unit, property, crash and simulation tests, short
	@go test $$(go list ./... | grep -v /e2e)

# Long tests of one goroutine: the race detector has nothing to find in them.
SINGLE := ^TestRecall|^TestSim|Crash|Damage|^TestTornAt|^TestFlippedBit|^TestHole|^TestPartitionOracle|^TestAgainstModel|^TestEqualsModel|^TestManyDocuments|AgainstMap$$|^TestMembersModel$$|AreBounded$$|^TestObservedEqualsLoaded$$|^TestPlan|^TestMachineIsDeterministic$$|^TestAtLeast$$|^TestFilteredQueries$$

.PHONY: test-race
test-race: ## the packages with goroutines under the race detector
	@go test -race -count=1 -timeout 20m -skip '$(SINGLE)' ./actors/... ./grains/... ./http/... ./hubsvc/... ./persistence/... $$(go list ./index/... | grep -v /hnsw)
	@go test -race -count=1 -timeout 20m -run '^TestPointsReplaced|^TestViews|^TestEverything|^TestReplacedPoints|^TestConformance/.*/Concurrent' ./index/hnsw

.PHONY: test-e2e
test-e2e: ## the real binary: README, command line, clients of the npm registry, a few kills
	@go test -count=1 ./e2e

.PHONY: test-clients
test-clients: ## the clients of the npm registry alone
	@go test -count=1 ./e2e -run TestClients -v | grep -v '^=== '

.PHONY: clients
clients: ## print the directory of those clients, fetched once if they are not there
	@./scripts/clients.sh

.PHONY: consul
consul: ## print the path of a Consul for tests, built once if there is none
	@./scripts/consul.sh

.PHONY: test-consul
test-consul: ## membership against a real Consul
	@CONSUL_BIN="$$(./scripts/consul.sh)" go test -count=1 -tags consul -run TestReal ./grains/membership

.PHONY: sim
sim: ## the simulation over SEEDS seeds
	@go test -count=1 ./actors/driver/... -run Sim -seeds $(SEEDS) -timeout 30m

.PHONY: kill9
kill9: ## kill -9 under load, KILLS times
	@go test -count=1 ./e2e -run TestKill -kills $(KILLS) -timeout 20m -v | grep -v '^=== '

# The tests of several nodes as a program, so that what it prints last is last.
CLUSTER = CONSUL_BIN="$$(./scripts/consul.sh)"; export CONSUL_BIN; mkdir -p "$(CACHE)"; go test -c -tags $(TAGS) -o "$(CACHE)/cluster.test" ./e2e/cluster; \
	cd e2e/cluster; "$(CACHE)/cluster.test" -test.v -test.timeout 20m -seed $(or $(SEED),0)

.PHONY: e2e
e2e: TAGS = chaos
e2e: ## three real nodes and Consul, FAULTS faults that overlap, and checkers
	@$(CLUSTER) -faults $(FAULTS) | grep -v '^=== '

.PHONY: test-long
test-long: TAGS = chaos
test-long: ## what takes an hour: RACES races for a quota of each kind, CANARIES of strangers' requests, usage after USAGE_KILLS kills, how long refusals take
	@$(CLUSTER) -test.timeout 120m -test.run 'TestQuotas|TestCanaries|TestUsage' -usage-kills $(USAGE_KILLS) -races $(RACES) -canaries $(CANARIES) | grep -v '^=== '
	@go test -count=1 -tags figures -timeout 60m ./http -run TestFigures -v | grep '^figure\|^---\|_test.go'

.PHONY: e2e-netns
e2e-netns: TAGS = chaos,netns
e2e-netns: ## the same over network namespaces and nft rules (root)
	@$(CLUSTER) -faults $(FAULTS) -netns -test.run 'TestNamespaces|TestChaos' | grep -v '^=== '

.PHONY: e2e-figures
e2e-figures: TAGS = figures
e2e-figures: ## fail-over times, throughput and idle load of three nodes
	@$(CLUSTER) -test.run TestFigures -test.timeout 60m | grep -v '^=== '

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME each (default 10s)
	@./scripts/fuzz.sh

.PHONY: check
check: $(TOOLS)/.built ## format, lint, dead code, modules
	@test -z "$$($(TOOLS)/gofumpt -l .)" || { $(TOOLS)/gofumpt -d .; echo 'run: make format' >&2; exit 1; }
	@go vet ./...
	@test -z "$$(go fix -diff ./... 2>/dev/null)" || { go fix -diff ./...; echo 'run: go fix ./...' >&2; exit 1; }
	@$(TOOLS)/golangci-lint run ./...
	@dead="$$($(TOOLS)/deadcode -test -tags consul,chaos,figures,netns ./...)"; test -z "$$dead" || { echo "$$dead"; exit 1; }
	@go mod verify >/dev/null
	@go mod tidy -diff

.PHONY: format
format: $(TOOLS)/.built ## format the tree
	@$(TOOLS)/gofumpt -w .

.PHONY: ci
ci: test test-race test-consul sim kill9 e2e ## everything

.PHONY: bench
bench: ## what this machine reaches
	@./scripts/bench.sh

.PHONY: bench-tenancy
bench-tenancy: ## what keys and tenants cost: PAIRS of measurements with and without, TENANTS at once
	@go test -count=1 -run '^$$' -bench Admission ./http | grep ^Benchmark
	@go test -count=1 -tags figures -timeout 60m ./e2e -run 'TestFiguresTenancy|TestFiguresManyTenants' -v $(if $(PAIRS),-pairs $(PAIRS)) $(if $(TENANTS),-tenants $(TENANTS)) | grep '^figure\|^---\|_test.go'

.PHONY: bench-neighbour
bench-neighbour: ## what tenants notice of one with 64 connections, of searches and of upserts: ROUNDS (5) pairs of EACH (10) seconds
	@go test -count=1 -tags figures -timeout 60m ./e2e -run TestFiguresNeighbour -v -rounds $(or $(ROUNDS),5) -seconds $(or $(EACH),10) | grep '^figure\|^---\|_test.go'

.PHONY: bench-index
bench-index: ## the graph beside hnswlib: DATA=DIR (or gaussians, wide) PEER=BINARY ROWS=N METRIC=l2|cos|l1 OUT=DIR
	@go run ./index/bench -data "$(if $(filter file,$(origin DATA)),/usr/share/datasets/fashion-mnist,$(DATA))" \
		-peer "$(PEER)" -rows "$(or $(ROWS),0)" -metric "$(or $(METRIC),l2)" -out "$(OUT)" -rounds $(or $(ROUNDS),2)

.PHONY: bench-growth
bench-growth: ## the same at 10,000 and at 1,000,000 x 128: PEER=BINARY OUT=DIR
	@go run ./index/bench -data wide -peer "$(PEER)" -rows 10000 -queries 10000 -out "$(OUT)/10k" -rounds 7
	@go run ./index/bench -data wide -peer "$(PEER)" -rows 1000000 -queries 1000 -out "$(OUT)/1m" -rounds 2

.PHONY: bench-million
bench-million: ## one node to POINTS (1,000,000) x 128: upserts, searches meanwhile, the collector's pauses
	@go test -count=1 -tags figures ./e2e -run TestFiguresMillion -timeout 90m -v -points $(or $(POINTS),1000000) | grep -v '^=== '

.PHONY: bench-text
bench-text: ## texts through the API on one node: inserts, BM25 and hybrid searches of 100,000
	@go test -count=1 -tags figures ./e2e -run TestFiguresText -timeout 60m -v | grep '^figure\|^---\|_test.go'

.PHONY: bench-pauses
bench-pauses: ## the collector's pauses in a node with POINTS (1,000,000) x 128 at full load, made in process
	@go test -count=1 -tags figures ./grains -run TestFiguresPauses -timeout 60m -v -points $(or $(POINTS),1000000) | grep -v '^=== '

.PHONY: bench-mcp
bench-mcp: ## what a search costs as a tool of MCP, beside the native one
	@go test -count=1 -tags figures ./e2e -run TestFiguresMCP -v | grep "^figure\|^---"

.PHONY: bench-scan
bench-scan: ## a scan of codes, and the nearest as floats, beside an exact one
	@go run ./index/bench -run scan -queries 10000

.PHONY: bench-replace
bench-replace: ## a graph of which half was replaced beside a new one: ROWS=N DATA=DIR (or gaussians, wide)
	@go run ./index/bench -run replace -data "$(if $(filter file,$(origin DATA)),gaussians,$(DATA))" -rows "$(or $(ROWS),0)"

# The name has the hash of tools.mod: files that a clone has just written are not newer tools.
$(TOOLS)/.built: | tools.mod tools.sum
	@echo 'building the linters (once, a few minutes)' >&2
	@mkdir -p $(TOOLS)
	@GOBIN=$(TOOLS) go install -modfile=tools.mod tool
	@touch $@
