# `make help` lists the targets. Each prepares the machine first (scripts/setup), and says so briefly when
# there is nothing to do.

CARGO ?= cargo
# Where rustup puts cargo; a shell opened before the installation does not have it yet.
export PATH := $(PATH):$(HOME)/.cargo/bin

DEMO = fixtures/captures/overflow_mixed-server.pcap

.PHONY: help demo build test bench compare fmt lint doc deny ci install clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1 \2/p' Makefile | awk '{ n = $$2; $$1 = $$2 = ""; printf "  make %-8s %s\n", n, substr($$0, 3) }'

demo: build ## build, and analyse a bundled capture of a real accept-queue overflow
	$(or $(CARGO_TARGET_DIR),target)/release/hsanalyze $(DEMO)

build: ## the program, optimised: target/release/hsanalyze
	@scripts/setup build
	$(CARGO) build --release --locked

test: ## all tests; installs the programs they compare with (tshark, tcpdump, ...)
	@scripts/setup test
	$(CARGO) test --locked

bench: ## the benchmarks of single stages
	@scripts/setup build
	$(CARGO) bench --locked

compare: ## hsanalyze beside tcpdump, tshark, tcptrace and argus
	@scripts/setup bench
	benches/compare.sh

fmt: ## format the sources
	$(CARGO) fmt

lint: ## formatting and clippy, warnings denied
	@scripts/setup build
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings

doc: ## the library's documentation, warnings denied
	@scripts/setup build
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items

deny: ## licences, sources and advisories of the dependencies (needs cargo-deny)
	$(CARGO) deny --locked check

ci: ## what the continuous integration runs
	.ci/run

install: ## the program, into cargo's bin directory
	@scripts/setup build
	$(CARGO) install --locked --path .

clean: ## remove what was built
	$(CARGO) clean
