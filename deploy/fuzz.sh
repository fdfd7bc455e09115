#!/usr/bin/env bash
# `make fuzz`: feeds made-up octets to everything that reads octets from outside.
#
# FUZZ_SECS=N      how long each target runs (60)
# FUZZ_TARGETS=…   which ones, by name (all)
# IOTQ_CAPTURES=…  captures to begin with (../shared/captures, if it is there)
#
# Ends with an error as soon as a target finds something: the input is in
# fuzz/artifacts/, and `cargo fuzz run TARGET FILE` runs it again. What was found
# interesting is kept in the cache, and is where the next run begins.
set -euo pipefail
cd "$(dirname "$0")/.."

deploy/setup.sh --for build
cache=${IOTQ_CACHE:-$HOME/.cache/iotq}
fuzz_version=0.13.2
fuzz_root=$cache/tools/cargo-fuzz-$fuzz_version
if ! command -v c++ >/dev/null; then
    echo "fuzz: libFuzzer is C++: please install g++" >&2
    exit 1
fi
if [[ ! -x $fuzz_root/bin/cargo-fuzz ]]; then
    # A minute on two cores, once.
    echo "fuzz: building cargo-fuzz $fuzz_version" >&2
    build=$(mktemp -d)
    trap 'rm -rf "$build"' EXIT
    CARGO_TARGET_DIR=$build cargo install cargo-fuzz --locked --version "$fuzz_version" --root "$fuzz_root" --quiet
fi
captures=${IOTQ_CAPTURES:-../shared/captures}
if [[ -d $captures ]]; then
    IOTQ_CAPTURES=$(realpath "$captures")
    export IOTQ_CAPTURES
else
    unset IOTQ_CAPTURES
    echo "fuzz: no captures in $captures, beginning with nothing" >&2
fi

# No sanitizer: it needs a nightly compiler, and what it finds is in unsafe code, of
# which we have none on these paths. libFuzzer's own coverage does without.
fuzz() {
    "$fuzz_root/bin/cargo-fuzz" fuzz "$@"
}
read -ra targets <<<"${FUZZ_TARGETS:-$(fuzz list --fuzz-dir fuzz | tr '\n' ' ')}"
fuzz build --fuzz-dir fuzz --sanitizer none
for target in "${targets[@]}"; do
    echo "fuzz: $target" >&2
    corpus=$cache/fuzz/$target
    mkdir -p "$corpus"
    IOTQ_FUZZ_SEEDS=$corpus fuzz run --fuzz-dir fuzz --sanitizer none "$target" "$corpus" -- \
        -max_total_time="${FUZZ_SECS:-60}" -timeout=5 -rss_limit_mb=2048 -max_len=65536 -verbosity=0 -print_final_stats=1
done
echo "fuzz: nothing found" >&2
