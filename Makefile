# `make help` lists the targets. Those that build run scripts/setup first, which installs missing packages.
#
# `demo` uses the profile `release`, which builds quickly, and `test` `checked`, which also checks for overflows; `build`,
# `install` and the benchmarks use `dist`, which runs faster (docs/PERFORMANCE.md).

CARGO ?= cargo
# rustup installs cargo there; shells opened before that do not have it in PATH yet.
export PATH := $(PATH):$(HOME)/.cargo/bin

TARGET = $(or $(CARGO_TARGET_DIR),target)
# The profile for `make demo`.
PROFILE ?= release
DEMO = fixtures/captures/overflow_mixed-server.pcap

.PHONY: help demo build test bench compare fmt lint doc deny ci install packages clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1 \2/p' Makefile | awk '{ n = $$2; $$1 = $$2 = ""; printf "  make %-8s %s\n", n, substr($$0, 3) }'

demo: ## build quickly, and analyse a bundled capture of a real accept-queue overflow
	@scripts/setup build
	$(CARGO) build --profile $(PROFILE) --locked --bin hsanalyze
	$(TARGET)/$(PROFILE)/hsanalyze $(DEMO)

build: ## the program, fully optimised: target/dist/hsanalyze
	@scripts/setup build
	$(CARGO) build --profile dist --locked --bin hsanalyze

test: ## all tests; installs the programs they compare with (tshark, tcpdump, ...)
	@scripts/setup test
	$(CARGO) test --profile checked --locked --features parquet

bench: ## the benchmarks of single stages
	@scripts/setup build
	$(CARGO) bench --locked

compare: ## run times of hsanalyze, tcpdump, tshark, tcptrace and argus
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

deny: ## licences and sources of the dependencies; installs cargo-deny into the build directory
	scripts/deny

ci: ## everything that must hold before a change is taken
	.ci/run

install: ## the program, into cargo's bin directory
	@scripts/setup build
	$(CARGO) install --profile dist --locked --path .

packages: ## .deb, .rpm, wheel and Homebrew formula into target/packages, and tries them
	@scripts/setup packages
	scripts/packages
	scripts/packages-check

clean: ## remove everything that was built
	$(CARGO) clean
