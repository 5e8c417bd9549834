# katib-stream: `make` lists what there is to do.

GO ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS = -X main.version=$(VERSION)
PY = $(CURDIR)/.venv/bin
# Where Python code is, as seen from producer/python, whose settings hold for all of it.
SCRIPTS = $(addprefix ../../,$(wildcard examples/python integration/python integration/bench/python integration/chaos/trainer))
# The Python tests as a whole are interrupted after 10 minutes, where the system has the program for it.
LIMIT = $(if $(shell command -v timeout),timeout --foreground --signal INT --kill-after 30 600)

.DEFAULT_GOAL := help
.PHONY: help build demo test lint fmt docs proto fuzz chaos chaos-mutants bench package clean setup python

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/katib-stream and the example trainer bin/digits
	@echo "building (the first build compiles the embedded server and databases: a minute or two)"
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/katib-stream ./cmd/katib-stream
	$(GO) build -trimpath -o bin/digits ./examples/digits

demo: build ## run a real search on the embedded default, with the consumer killed in the middle
	bin/katib-stream demo

setup: python ## install what the tests need and is missing (as root on Debian; elsewhere it says what to install)
	@tools/setup.sh

python: # .venv, with the tools for Python
	@tools/python.sh

test: setup build ## run every test, Go and Python, on real servers
	$(GO) tool gotestsum --format pkgname -- -race -timeout 10m $$($(GO) list ./... | grep -v /integration)
	cd producer/python && KATIB_STREAM_BIN=$(CURDIR)/bin/katib-stream $(LIMIT) $(PY)/python -m pytest -o faulthandler_exit_on_timeout=true
	$(GO) tool gotestsum --format testname -- -timeout 15m $$($(GO) list ./integration/... | grep -v /chaos)
	$(GO) test ./integration/chaos/... -v -timeout 10m

lint: python ## vet, staticcheck, gofumpt, tidy modules, the import rule; ruff and mypy
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	@unformatted=$$($(GO) tool gofumpt -l .); if [ -n "$$unformatted" ]; then echo "run make fmt: $$unformatted"; exit 1; fi
	$(GO) mod tidy -diff
	$(GO) test ./internal/house
	cd producer/python && $(PY)/ruff check . $(SCRIPTS)
	cd producer/python && $(PY)/ruff format --check . $(SCRIPTS)
	cd producer/python && $(PY)/mypy src
	cd producer/python && $(PY)/mypy --python-version 3.11 tests $(SCRIPTS)

fmt: python ## format the code
	$(GO) tool gofumpt -w .
	cd producer/python && $(PY)/ruff check --select I --fix . $(SCRIPTS) && $(PY)/ruff format . $(SCRIPTS)

docs: ## write docs/commands.md from what the commands say of themselves
	$(GO) test ./cmd/katib-stream -run TestCommandsPage -update

proto: ## generate the Go code of Katib's gRPC interface; needs protoc
	@mkdir -p bin
	$(GO) build -o bin/ google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc
	protoc --plugin=bin/protoc-gen-go --plugin=bin/protoc-gen-go-grpc --proto_path=dbmanager/katibapi \
		--go_out=dbmanager/katibapi --go_opt=paths=source_relative \
		--go-grpc_out=dbmanager/katibapi --go-grpc_opt=paths=source_relative api.proto

fuzz: setup ## fuzz what a stranger can reach, FUZZTIME (30s) each, or what TARGET matches
	@FUZZTIME=$(FUZZTIME) TARGET='$(TARGET)' tools/fuzz.sh

chaos: setup ## break everything for DURATION (10m), by the schedule of SEED, and hold what was promised against the database
	$(GO) test ./integration/chaos -run TestChaos -v -timeout 0 -chaos.duration $(or $(DURATION),10m) $(if $(SEED),-chaos.seed $(SEED)) \
		$(if $(DATABASE),-chaos.database $(DATABASE)) $(if $(FAULTS),-chaos.faults '$(FAULTS)')

chaos-mutants: setup ## plant one bug at a time, and demand that chaos finds each
	$(GO) test ./integration/chaos -run TestMutants -v -timeout 60m -chaos.mutants '$(or $(MUTANTS),.)'

bench: setup ## measure the consumer beside a bare loop of inserts, in one run
	$(GO) test ./integration/bench -run '^$$' -bench . -benchtime 1x -timeout 60m -v

package: python ## build the Python distribution, a wheel and a source archive, into dist
	$(PY)/python -m build --no-isolation --outdir dist producer/python

clean: ## remove what was built
	rm -rf bin dist
