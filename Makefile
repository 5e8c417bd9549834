# katib-stream: `make` lists what there is to do.

GO ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS = -X main.version=$(VERSION)

.DEFAULT_GOAL := help
.PHONY: help build demo test lint fmt docs proto fuzz bench clean setup

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/katib-stream and the example trainer bin/digits
	@echo "building (the first build compiles the embedded server and databases: a minute or two)"
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/katib-stream ./cmd/katib-stream
	$(GO) build -trimpath -o bin/digits ./examples/digits

demo: build ## run a real search on the embedded default, with the consumer killed in the middle
	bin/katib-stream demo

setup: ## install what the tests need and is missing (as root on Debian; elsewhere it says what to install)
	@tools/setup.sh
	@tools/python.sh

test: setup ## run every test, on real servers
	$(GO) tool gotestsum --format pkgname -- -race -timeout 10m $$($(GO) list ./... | grep -v /integration)
	$(GO) tool gotestsum --format testname -- -timeout 15m ./integration/...

lint: ## vet, staticcheck, gofumpt, tidy modules and the import rule
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	@unformatted=$$($(GO) tool gofumpt -l .); if [ -n "$$unformatted" ]; then echo "run make fmt: $$unformatted"; exit 1; fi
	$(GO) mod tidy -diff
	$(GO) test ./internal/house

fmt: ## format the code
	$(GO) tool gofumpt -w .

docs: ## write docs/commands.md from what the commands say of themselves
	$(GO) test ./cmd/katib-stream -run TestCommandsPage -update

proto: ## generate the Go code of Katib's gRPC interface; needs protoc
	@mkdir -p bin
	$(GO) build -o bin/ google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc
	protoc --plugin=bin/protoc-gen-go --plugin=bin/protoc-gen-go-grpc --proto_path=dbmanager/katibapi \
		--go_out=dbmanager/katibapi --go_opt=paths=source_relative \
		--go-grpc_out=dbmanager/katibapi --go-grpc_opt=paths=source_relative api.proto

fuzz: ## fuzz what a stranger can reach, FUZZTIME (30s) each
	@for target in FuzzDecodeEvents FuzzDecode FuzzParseSubject; do \
		$(GO) test ./schema -run '^$$' -fuzz "^$$target$$" -fuzztime $(or $(FUZZTIME),30s) || exit 1; done

bench: setup ## measure the consumer beside a bare loop of inserts, in one run
	$(GO) test ./integration/bench -run '^$$' -bench . -benchtime 1x -timeout 60m -v

clean: ## remove what was built
	rm -rf bin
