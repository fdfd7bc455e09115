#!/usr/bin/env bash
# `make check`: everything that can be said about the source without running it.
set -euo pipefail
cd "$(dirname "$0")/.."

step() {
    echo "check: $*" >&2
}

deny_version=0.20.2
deny_root=${IOTQ_CACHE:-$HOME/.cache/iotq}/tools/cargo-deny-$deny_version

step format
cargo fmt --all --check

step lints
cargo clippy --workspace --all-targets --locked --quiet -- --deny warnings

step documentation
RUSTDOCFLAGS="--deny warnings" cargo doc --workspace --no-deps --locked --quiet

step scripts
if command -v shellcheck >/dev/null; then
    shellcheck deploy/*.sh deploy/deb/{iotq-analyzer-engine,postinst,postrm,prerm} .ci/run
else
    for script in deploy/*.sh .ci/run; do
        bash -n "$script"
    done
    echo "check: shellcheck is missing, the scripts were only parsed" >&2
fi

step "systemd units"
if command -v systemd-analyze >/dev/null; then
    units=$(mktemp -d)
    for unit in deploy/systemd/*.service; do
        # The programs are not installed here.
        sed 's#^ExecStart=/usr/bin/[^ ]*#ExecStart=/bin/true#' "$unit" >"$units/$(basename "${unit/@/@eth1}")"
    done
    problems=$(systemd-analyze verify --man=no "$units"/*.service 2>&1) || true
    rm -rf "$units"
    if [[ -n $problems ]]; then
        echo "$problems" >&2
        exit 1
    fi
else
    echo "check: systemd-analyze is missing, the units were not checked" >&2
fi

step "alert rules"
promtool=$(command -v promtool || true)
if [[ -z $promtool ]]; then
    promtool=${IOTQ_CACHE:-$HOME/.cache/iotq}/tools/promtool
fi
if [[ ! -x $promtool ]] && command -v apt-get >/dev/null; then
    # Debian has it with Prometheus, of which nothing else is needed: 19 MB to fetch, once.
    unpacked=$(mktemp -d)
    (
        cd "$unpacked"
        apt-get --quiet --quiet download prometheus 2>/dev/null ||
            { [[ $(id -u) -eq 0 ]] && apt-get --quiet --quiet update && apt-get --quiet --quiet download prometheus 2>/dev/null; } || exit 0
        dpkg-deb --fsys-tarfile prometheus_*.deb | tar --extract ./usr/bin/promtool
        mkdir -p "$(dirname "$promtool")"
        mv usr/bin/promtool "$promtool"
    )
    rm -rf "$unpacked"
fi
if [[ -x $promtool ]]; then
    (cd deploy/prometheus && "$promtool" check rules iotq.rules.yml && "$promtool" test rules iotq.test.yml) >/dev/null || {
        (cd deploy/prometheus && "$promtool" test rules iotq.test.yml) >&2
        exit 1
    }
elif [[ -n ${CI:-} ]]; then
    echo "check: promtool is missing" >&2
    exit 1
else
    echo "check: promtool is missing, the alert rules were not checked" >&2
fi

step "licences and sources"
deny=$(command -v cargo-deny || true)
if [[ -z $deny && -x $deny_root/bin/cargo-deny ]]; then
    deny=$deny_root/bin/cargo-deny
fi
if [[ -z $deny ]]; then
    # Some minutes on two cores, once: it is kept in the cache.
    echo "check: building cargo-deny $deny_version" >&2
    CARGO_TARGET_DIR=$(mktemp -d)
    export CARGO_TARGET_DIR
    trap 'rm -rf "$CARGO_TARGET_DIR"' EXIT
    cargo install cargo-deny --locked --version "$deny_version" --root "$deny_root" --quiet
    deny=$deny_root/bin/cargo-deny
fi
# No advisories: their database is not in a package registry.
"$deny" --log-level warn --all-features --locked check bans licenses sources

step "all right"
