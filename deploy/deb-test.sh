#!/usr/bin/env bash
# Installs, upgrades, removes and purges the packages for real, in a copy of this system
# that is thrown away (an overlay in memory). Needs root. The packages come from deb.sh.
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
if [[ -z ${DEB_TEST_INSIDE:-} ]]; then
    # Mounts of our own, which end with us.
    exec env DEB_TEST_INSIDE=1 unshare --mount --propagation private "$0" "$@"
fi

version=$(awk -F '"' '/^version = /{ print $2; exit }' Cargo.toml)
newer=$version+test
deploy/deb.sh >/dev/null
DEB_BUILD=0 DEB_VERSION=$newer deploy/deb.sh >/dev/null

box=$(mktemp -d)
mount -t tmpfs -o size=2g tmpfs "$box"
mkdir "$box"/{upper,work,root}
mount -t overlay overlay -o "lowerdir=/,upperdir=$box/upper,workdir=$box/work" "$box/root"
mount -t proc proc "$box/root/proc"
mount --bind /dev "$box/root/dev"
# What the packages say of systemd is for a system that runs it.
mount -t tmpfs tmpfs "$box/root/run"
cp target/deb/*.deb "$box/root/tmp/"
inside() {
    ${EXEC:-} chroot "$box/root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive "$@"
}
files_of_ours() {
    # What the box has that this system has not, but for dpkg's own and logs.
    (cd "$box/upper" && find . \( -path ./var/lib/dpkg -o -path ./var/cache -o -path ./var/log -o -path ./tmp -o -path './etc/*-' \) -prune \
        -o -iname '*iotq*' -print)
}
arch=$(dpkg --print-architecture)
packages=(iotq iotq-collector iotq-analyzer)
debs() {
    printf "/tmp/%s_$1_$arch.deb " "${packages[@]}"
}

step "install $version"
# shellcheck disable=SC2046 # a word a package
inside dpkg --install $(debs "$version") 2>&1 | sed 's/^/  /' >&2 || true
for package in "${packages[@]}"; do
    # shellcheck disable=SC2016 # dpkg-query's own
    [[ $(inside dpkg-query --show --showformat '${db:Status-Status}' "$package") == installed ]] || fail "$package is not installed"
    inside "/usr/bin/$package" --version >/dev/null || fail "/usr/bin/$package does not run"
done
for user in iotq-collector iotq-analyzer; do
    inside getent passwd "$user" >/dev/null || fail "no user $user"
done
inside test -s /usr/share/man/man1/iotq-top-talkers.1.gz || fail "no manual page"
inside bash -c 'source /usr/share/bash-completion/completions/iotq && complete -p iotq' >/dev/null || fail "no completion"

step "the programs as the units start them, and a question"
inside mkdir -p /var/lib/iotq /var/lib/iotq-analyzer
inside chown iotq-analyzer: /var/lib/iotq-analyzer
mkdir -p "$box/root/var/lib/iotq/engine" && mount --bind "${IOTQ_CACHE:-$HOME/.cache/iotq}/engine" "$box/root/var/lib/iotq/engine"
ip link set lo up 2>/dev/null || true
start=$(sed -n 's/^ExecStart=//p' deploy/systemd/iotq-analyzer.service)
# shellcheck disable=SC2086 # the unit's words
EXEC='exec' inside setpriv --reuid=iotq-analyzer --regid=iotq-analyzer --clear-groups --bounding-set=-all --no-new-privs \
    env IOTQ_CACHE=/var/lib/iotq IOTQ_LISTEN=127.0.0.1:52651 IOTQ_HTTP_LISTEN=127.0.0.1:52652 $start 2>"$box/analyzer.log" &
analyzer=$!
trap 'kill $analyzer 2>/dev/null || true' EXIT
for _ in $(seq 100); do
    grep -q serving "$box/analyzer.log" && break
    sleep 0.3
done
inside setpriv --reuid=nobody --regid=nogroup --clear-groups --bounding-set=-all --no-new-privs \
    iotq status --analyzer http://127.0.0.1:52651 >/dev/null || { cat "$box/analyzer.log" >&2; fail "no answer"; }
kill "$analyzer"
wait "$analyzer" || fail "the analyzer did not stop in order"
umount "$box/root/var/lib/iotq/engine"

step "upgrade to $newer keeps settings and data"
echo "IOTQ_LOG=debug" >>"$box/root/etc/iotq/collector.env"
# shellcheck disable=SC2046 # a word a package
inside dpkg --install $(debs "$newer") >/dev/null 2>&1 || fail "upgrade"
grep -q IOTQ_LOG=debug "$box/root/etc/iotq/collector.env" || fail "a changed setting is gone"
inside test -e /var/lib/iotq-analyzer/analyzer.lock || fail "data are gone"

step "remove keeps settings and data, purge leaves nothing"
inside dpkg --remove "${packages[@]}" >/dev/null 2>&1 || fail "remove"
inside test -e /etc/iotq/collector.env || fail "settings are gone"
inside test -e /usr/bin/iotq && fail "a program was left behind"
inside dpkg --purge "${packages[@]}" >/dev/null 2>&1 || fail "purge"
left=$(files_of_ours | while read -r file; do [[ -e $box/root/$file ]] && echo "$file"; done || true)
[[ -z $left ]] || fail "left behind: $left"
inside getent passwd iotq-analyzer >/dev/null && fail "a user was left behind"
step "all right"
