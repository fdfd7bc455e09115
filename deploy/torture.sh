#!/usr/bin/env bash
# `make torture`: kills, stops, cuts and slows the parts and fills their disks, at random
# moments, while known traffic is replayed and sent over a cable; then compares what
# is stored with what was sent.
#
# TORTURE_SECS=N  how long (60)
# TORTURE_SEED=N  what is done, and when (by the clock); a failure prints it
# TORTURE_PROFILE=dev  takes the programs that are in target/debug already
#
# Needs root, for namespaces of its own: nothing outside them is touched.
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ $(id -u) -ne 0 ]]; then
    echo "torture: namespaces need root: sudo make torture" >&2
    exit 1
fi
deploy/setup.sh --for test
deploy/engine.sh >&2
if [[ ${TORTURE_PROFILE:-release} == dev ]]; then
    exec "${CARGO_TARGET_DIR:-target}/debug/iotq-torture"
fi
cargo build --release --locked --workspace --bins
exec "${CARGO_TARGET_DIR:-target}/release/iotq-torture"
