#!/usr/bin/env bash
# `make bench`: measures the collector and the whole path, with libpcap's bare loop
# and whatever other tools are installed (nfpcapd, softflowd, tshark) beside them in
# the same run, and writes BENCHMARKS.md. Collector and whole path run twice, the second
# time with --no-names --no-connections: what these cost is printed as a ratio.
# BENCH_PACKETS, BENCH_RUNS, BENCH_STORED_PACKETS and BENCH_COLLECTORS change its size, BENCH_ONLY takes a part.
set -euo pipefail
cd "$(dirname "$0")/.."

deploy/setup.sh --for build
deploy/engine.sh >&2
cargo build --release --locked --workspace --bins
"${CARGO_TARGET_DIR:-target}/release/iotq-bench" --report BENCHMARKS.md
