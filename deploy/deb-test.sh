#!/usr/bin/env bash
# `make deb-test`: installs the packages in a clean Debian that runs systemd (a container
# without a network, thrown away afterwards), starts the units, captures, asks, upgrades,
# removes and purges. Needs root. The clean Debian is made once and kept in the cache.
#
# DEB_PROFILE=dev takes the programs of target/debug.
# No `grep -q` behind a pipe: it ends early, and what writes to it would fail.
set -euo pipefail
cd "$(dirname "$0")/.."

step() {
    echo "deb-test: $*" >&2
}
fail() {
    echo "deb-test: FAILED: $*" >&2
    exit 1
}

if [[ $(id -u) -ne 0 ]]; then
    fail "needs root"
fi
deploy/setup.sh --for test
cache=${IOTQ_CACHE:-$HOME/.cache/iotq}
deploy/engine.sh >&2

# shellcheck disable=SC1091 # the system's
codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
# What the packages depend on, systemd, and what the test itself uses.
contents=ca-certificates,procps,systemd-sysv,dbus,adduser,libpcap0.8,iproute2
base=$cache/debian/$codename-$(cksum <<<"$contents" | cut -d ' ' -f 1).tar
if [[ ! -s $base ]]; then
    step "making a clean $codename (once, some two minutes)"
    mkdir -p "$cache/debian"
    # From where this system has its packages.
    sites() {
        # shellcheck disable=SC2016 # apt's own
        apt-get indextargets --format '$(SITE) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
            awk -v release="$codename" '$2 == release && $3 == "main" { print $1; exit }'
    }
    site=$(sites)
    if [[ -z $site ]]; then
        apt-get --quiet update >/dev/null
        site=$(sites)
    fi
    mmdebstrap --quiet --variant=minbase --include="$contents" \
        "$codename" "$base.new.tar" "deb $site $codename main"
    mv "$base.new.tar" "$base"
fi

version=$(awk -F '"' '/^version = /{ print $2; exit }' Cargo.toml)
newer=$version+test
deploy/deb.sh >/dev/null

box=$(mktemp -d)
container=
finish() {
    local status=$?
    trap - EXIT INT TERM HUP
    if [[ $status -ne 0 && -n ${init:-} ]]; then
        inside journalctl --no-pager --lines=60 --quiet >&2 || true
    fi
    if [[ -n $container ]]; then
        kill -TERM "$container" 2>/dev/null || true
        for _ in {1..100}; do
            kill -0 "$container" 2>/dev/null || break
            sleep 0.1
        done
        kill -KILL "$container" 2>/dev/null || true
        wait "$container" 2>/dev/null || true
    fi
    rm -rf "$box"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

eventually() {
    # eventually WHAT COMMAND…: within a minute.
    local what=$1
    shift
    for _ in {1..300}; do
        if "$@" >/dev/null 2>&1; then
            return
        fi
        sleep 0.2
    done
    fail "not within a minute: $what"
}

step "a clean $codename starts"
tar --extract --file "$base" --directory "$box"
cp target/deb/*_"$version"_*.deb "$box/root/"
# The next release: the same with another number.
for package in iotq iotq-collector iotq-analyzer; do
    dpkg-deb --raw-extract "$box/root/${package}_${version}_$(dpkg --print-architecture).deb" "$box/root/next"
    sed -i "s/^Version: .*/Version: $newer/" "$box/root/next/DEBIAN/control"
    dpkg-deb --root-owner-group -Znone --build "$box/root/next" "$box/root/${package}_${newer}_$(dpkg --print-architecture).deb" >/dev/null
    rm -rf "$box/root/next"
done
systemd-nspawn --quiet --register=no --keep-unit --private-network --resolv-conf=off --timezone=off \
    --console=pipe --bind-ro="$cache:/engine-cache" --directory "$box" --boot </dev/null >"$box.log" 2>&1 &
container=$!
inside() {
    nsenter --target "$init" --mount --uts --ipc --net --pid --cgroup --root --wd=/ \
        env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive "$@"
}
has_init() {
    init=$(pgrep --parent "$container") && [[ $(<"/proc/$init/comm") == systemd ]]
}
eventually "systemd starts in the container: $(tail -3 "$box.log")" has_init
rm -f "$box.log"
has_booted() {
    [[ $(inside systemctl is-system-running) =~ running|degraded ]]
}
eventually "the container is up" has_booted

# All files and users, but for what systemd, dpkg and we ourselves write at run time.
snapshot() {
    inside find / -xdev \( -path /proc -o -path /sys -o -path /run -o -path /dev -o -path /tmp -o -path /var/tmp \
        -o -path /var/log -o -path /var/cache -o -path /var/lib/dpkg -o -path /var/lib/systemd -o -path /root \
        -o -path /engine-cache -o -path '/etc/*-' \) -prune -o -print | sort
    inside cat /etc/passwd /etc/group
}
arch=$(dpkg --print-architecture)
packages=(iotq iotq-collector iotq-analyzer)
debs() {
    printf "/root/%s_$1_$arch.deb " "${packages[@]}"
}
ask() {
    # As somebody who may do nothing else.
    inside setpriv --reuid=nobody --regid=nogroup --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs iotq "$@"
}
of_unit() {
    inside systemctl show --property "$2" --value "$1"
}
line_of() {
    # line_of UNIT FIELD: of its process's status.
    # shellcheck disable=SC2016 # awk's own
    inside awk -v field="$2:" '$1 == field { print $2 }' "/proc/$(of_unit "$1" MainPID)/status"
}

snapshot >"$box/root/before"

step "install $version"
# shellcheck disable=SC2046 # a word a package
inside dpkg --install $(debs "$version") >"$box/root/dpkg.log" 2>&1 || fail "install: $(<"$box/root/dpkg.log")"
for package in "${packages[@]}"; do
    inside "/usr/bin/$package" --version >/dev/null || fail "/usr/bin/$package does not run"
    inside dpkg --verify "$package" || fail "$package is not as packed"
done
inside test -s /usr/share/man/man1/iotq-top-talkers.1.gz || fail "no manual page"
inside bash -c 'source /usr/share/bash-completion/completions/iotq && complete -p iotq' >/dev/null || fail "no completion"
for file in analyzer.env collector.env; do
    [[ $(inside stat --format '%a %U' "/etc/iotq/$file") == '640 root' ]] || fail "/etc/iotq/$file can be read by others"
done

step "without its engine, the analyzer says what to do"
inside systemctl start iotq-analyzer >/dev/null 2>&1 && fail "the analyzer started without an engine"
inside journalctl --sync
inside journalctl --unit iotq-analyzer --quiet | grep 'iotq-analyzer-engine' >/dev/null || fail "the log does not name iotq-analyzer-engine"
[[ $(inside iotq-analyzer-engine 2>&1 || true) == *'npm is missing'* ]] || fail "iotq-analyzer-engine without npm does not say so"
inside systemctl stop iotq-analyzer
# What it would fetch.
rm -rf "$box/var/lib/iotq"
mkdir "$box/var/lib/iotq"
ln -s /engine-cache/engine /engine-cache/data "$box/var/lib/iotq/"
inside iotq-analyzer-engine >/dev/null 2>&1 || fail "iotq-analyzer-engine does not find the engine"

step "the units start, with nothing they need not have"
inside ip link add eth9 type veth peer name gen9
inside ip address add 192.0.2.1/24 dev gen9
inside ip neighbour add 192.0.2.9 lladdr 00:00:5e:00:53:09 dev gen9
inside ip link set gen9 up
inside ip link set eth9 up
inside systemctl enable --now iotq-analyzer iotq-collector@eth9 >/dev/null 2>&1 || fail "the units do not start"
for unit in iotq-analyzer:iotq-analyzer iotq-collector@eth9:iotq-collector; do
    user=${unit#*:} unit=${unit%:*}
    [[ $(of_unit "$unit" ActiveState) == active ]] || fail "$unit is not active"
    [[ $(line_of "$unit" Uid) == "$(inside id --user "$user")" ]] || fail "$unit does not run as $user"
    for set in CapEff CapPrm CapAmb; do
        [[ $(line_of "$unit" "$set") =~ ^0+$ ]] || fail "$unit has capabilities: $set $(line_of "$unit" "$set")"
    done
    [[ $(line_of "$unit" NoNewPrivs) == 1 && $(line_of "$unit" Seccomp) == 2 ]] || fail "$unit is not restricted"
    exposure=$(inside systemd-analyze security --no-pager "$unit" | sed -n 's/.*exposure level for [^:]*: \([0-9.]*\).*/\1/p')
    echo "deb-test: $unit: exposure $exposure" >&2
    awk -v exposure="$exposure" 'BEGIN { exit !(exposure != "" && exposure < 2.5) }' || fail "$unit is exposed more than the documentation says"
done
inside journalctl --unit iotq-collector@eth9 --quiet --output cat | grep -i 'landlock' >&2 || fail "the collector does not say what it dropped"

step "frames are captured, stored and asked for by somebody who may do nothing"
for _ in {1..20}; do
    inside bash -c 'echo 0123456789 >/dev/udp/192.0.2.9/9'
done
has_stored() {
    ask conversations --since 10m --format csv | grep '192.0.2.1,192.0.2.9,20,'
}
eventually "20 datagrams are in the answer" has_stored
ask status >/dev/null || fail "no status"
[[ $(ask status --format json) == *'"connected":true'* ]] || fail "status does not show the collector"
inside systemctl reload iotq-analyzer || fail "no reload"

step "a program that hangs is started again"
unit=iotq-collector@eth9
inside bash -c "mkdir -p /run/systemd/system/$unit.service.d &&
    printf '[Service]\nWatchdogSec=2\n' >/run/systemd/system/$unit.service.d/quick.conf"
inside systemctl daemon-reload
inside systemctl restart "$unit"
sleep 3
[[ $(of_unit "$unit" NRestarts) == 0 ]] || fail "$unit does not tell its watchdog that it is alive"
inside kill -STOP "$(of_unit "$unit" MainPID)"
has_restarted() {
    [[ $(of_unit "$unit" NRestarts) == 1 && $(of_unit "$unit" ActiveState) == active ]]
}
eventually "$unit is started again" has_restarted

step "upgrade to $newer keeps settings and data, and restarts what runs"
echo "IOTQ_LOG=debug" >>"$box/etc/iotq/collector.env"
before=$(of_unit iotq-analyzer MainPID)
# shellcheck disable=SC2046 # a word a package
inside dpkg --install $(debs "$newer") >"$box/root/dpkg.log" 2>&1 || fail "upgrade: $(<"$box/root/dpkg.log")"
grep -q IOTQ_LOG=debug "$box/etc/iotq/collector.env" || fail "a changed setting is gone"
[[ $(of_unit iotq-analyzer MainPID) != "$before" ]] || fail "the old analyzer still runs"
eventually "the datagrams are still there" has_stored

step "remove stops the services and keeps settings and data"
inside dpkg --remove "${packages[@]}" >"$box/root/dpkg.log" 2>&1 || fail "remove: $(<"$box/root/dpkg.log")"
inside pgrep iotq >/dev/null && fail "something still runs"
[[ -e $box/etc/iotq/collector.env && -d $box/var/lib/iotq-analyzer/engine ]] || fail "settings or data are gone: $(ls "$box/var/lib/iotq-analyzer")"
inside test -e /usr/bin/iotq && fail "a program was left behind"

step "purge leaves nothing"
inside dpkg --purge "${packages[@]}" >"$box/root/dpkg.log" 2>&1 || fail "purge: $(<"$box/root/dpkg.log")"
snapshot | diff "$box/root/before" - >&2 || fail "left behind, or taken along"
[[ -s $cache/engine/lock || -d $cache/engine ]] || fail "the cache is gone"
step "all right"
