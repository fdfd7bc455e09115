# Short names for what the scripts in deploy/ do. `make` alone lists them.

.PHONY: help setup engine data build deb deb-test demo check test fuzz torture bench clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what the system lacks (with root or sudo, else say what to run)
	@deploy/setup.sh

engine: ## fetch and verify the pinned ClickHouse engine (and `make data`) into the cache
	@deploy/setup.sh --for build
	@deploy/engine.sh
	@deploy/data.sh || echo "going on without tables of networks; 'make data' tries again" >&2

data: ## fetch and verify the pinned tables of networks and countries into the cache
	@deploy/setup.sh --for build
	@deploy/data.sh

build: ## build the three programs, optimised, into target/release
	@deploy/setup.sh --for build
	cargo build --release --locked -p iotq-collector -p iotq-analyzer -p iotq-cli

deb: ## Debian packages of the three programs, into target/deb
	@deploy/deb.sh

deb-test: ## install, start, upgrade, remove and purge them in a clean Debian (needs root)
	@deploy/deb-test.sh

demo: ## everything from nothing: a household's hour, replayed and asked about (DEMO_EXIT=1: check it and end)
	@DEMO_EXIT='$(DEMO_EXIT)' deploy/demo.sh

check: ## format, lints, documentation, scripts, licences
	@deploy/setup.sh --for build
	@deploy/check.sh

test: ## all tests, and the demo with its answers checked
	@deploy/test.sh

fuzz: ## feed made-up octets to all readers (FUZZ_SECS=N each, FUZZ_TARGETS='dns …')
	@deploy/fuzz.sh

torture: ## let everything go wrong at random, then count (TORTURE_SECS=N, TORTURE_SEED=N; needs root)
	@deploy/torture.sh

bench: ## measure, with other tools beside it, and write BENCHMARKS.md (BENCH_PACKETS=N, BENCH_RUNS=N, BENCH_STORED_PACKETS=N, BENCH_COLLECTORS=N,N, BENCH_ONLY=WORD)
	@deploy/bench.sh

clean: ## remove what was built; the cache stays
	cargo clean
