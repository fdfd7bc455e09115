#!/usr/bin/env bash
# Installs what building, running and testing iotq needs of the system and lacks.
#
# setup.sh [--for build|test|deb]
#   build: a C compiler, libpcap's headers, npm (fetches the ClickHouse engine)
#   test:  iproute2 and tcpreplay too (live capture in a network namespace), valgrind
#          (counts instructions), and what installs the packages in a clean Debian
#   deb:   what Debian packages are made with
#
# With root or sudo it installs; else it prints the one command to run and fails.
# Fast and silent when nothing is missing.
set -euo pipefail

purpose='test'
if [[ ${1:-} == --for ]]; then
    purpose=${2:?build, test or deb}
fi

missing=()
need() {
    # need PACKAGE COMMAND…: any of the commands will do.
    local package=$1 command
    shift
    for command in "$@"; do
        if command -v "$command" >/dev/null; then
            return
        fi
    done
    missing+=("$package")
}

need gcc cc gcc
need libc6-dev cc gcc
need make make
need npm npm
# What the linker needs is what proves that the headers are there.
if ! [[ -e /usr/include/pcap/pcap.h || -e /usr/local/include/pcap/pcap.h ]]; then
    missing+=(libpcap-dev)
fi
if [[ $purpose == test ]]; then
    need iproute2 ip
    need tcpreplay tcpreplay
    need valgrind valgrind
fi
if [[ $purpose != build ]] && command -v dpkg >/dev/null; then
    need dpkg-dev dpkg-shlibdeps
fi
if [[ $purpose == test && $(id -u) -eq 0 ]] && command -v dpkg >/dev/null; then
    need mmdebstrap mmdebstrap
    need systemd-container systemd-nspawn
fi

if ! command -v cargo >/dev/null; then
    echo "setup: Rust is missing. Install rustup; it then fetches the toolchain that rust-toolchain.toml pins." >&2
    exit 1
fi
if [[ ${#missing[@]} -eq 0 ]]; then
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "setup: please install what these Debian packages contain: ${missing[*]}" >&2
    exit 1
fi

if [[ $(id -u) -eq 0 ]]; then
    as_root=()
elif command -v sudo >/dev/null && { [[ -t 0 ]] || sudo --non-interactive true 2>/dev/null; }; then
    as_root=(sudo)
else
    echo "setup: something is missing. Please run, as root:" >&2
    echo "    apt-get update && apt-get install --yes --no-install-recommends ${missing[*]}" >&2
    exit 1
fi

echo "setup: installing ${missing[*]}" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
    # Another package manager may be at work: wait for it, within reason.
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get --option DPkg::Lock::Timeout=300 --option Dpkg::Use-Pty=0 \
        install --yes --quiet --no-install-recommends "${missing[@]}" >>"$log" 2>&1
}
# Package lists may be absent or too old to find anything: get new ones only then.
if ! install; then
    "${as_root[@]}" apt-get --quiet update >>"$log" 2>&1 || true
    if ! install; then
        cat "$log" >&2
        echo "setup: could not install ${missing[*]}" >&2
        exit 1
    fi
fi
