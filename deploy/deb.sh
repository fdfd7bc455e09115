#!/usr/bin/env bash
# Builds target/deb/{iotq,iotq-analyzer,iotq-collector}_VERSION_ARCH.deb.
#
# DEB_VERSION=… another version than Cargo.toml's; DEB_BUILD=0 takes the programs that are
# in the target folder already.
set -euo pipefail
cd "$(dirname "$0")/.."

version=${DEB_VERSION:-$(awk -F '"' '/^version = /{ print $2; exit }' Cargo.toml)}
arch=$(dpkg --print-architecture)
target=${CARGO_TARGET_DIR:-target}
out=target/deb
if [[ ${DEB_BUILD:-1} != 0 ]]; then
    cargo build --release --locked -p iotq-collector -p iotq-analyzer -p iotq-cli
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"

program() {
    # program PACKAGE: without debug information, which is three quarters of it.
    install -d "$work/$1/usr/bin"
    strip --strip-debug -o "$work/$1/usr/bin/$1" "$target/release/$1"
    chmod 755 "$work/$1/usr/bin/$1"
}

settings() {
    # settings PACKAGE FILE: a file in /etc that the administrator may change.
    install -D -m 644 "deploy/deb/$2" "$work/$1/etc/iotq/$2"
    install -d "$work/$1/DEBIAN"
    echo "/etc/iotq/$2" >>"$work/$1/DEBIAN/conffiles"
}

scripts() {
    # scripts PACKAGE SERVICES CACHE
    local script
    for script in postinst prerm postrm; do
        sed -e "s#@USER@#$1#g" -e "s#@SERVICES@#$2#g" -e "s#@CACHE@#$3#g" "deploy/deb/$script" >"$work/$1/DEBIAN/$script"
        chmod 755 "$work/$1/DEBIAN/$script"
    done
}

package() {
    # package NAME DEPENDS SUMMARY
    local root=$work/$1 size
    install -D -m 644 LICENSE-MIT "$root/usr/share/doc/$1/copyright"
    gzip --best --no-name <CHANGELOG.md >"$root/usr/share/doc/$1/changelog.gz"
    chmod 644 "$root/usr/share/doc/$1/changelog.gz"
    size=$(du --summarize --apparent-size --block-size=1024 "$root" | cut -f 1)
    install -d "$root/DEBIAN"
    cat >"$root/DEBIAN/control" <<CONTROL
Package: $1
Version: $version
Architecture: $arch
Maintainer: iotq developers <iotq@example.com>
Installed-Size: $size
Depends: $2
Section: net
Priority: optional
Description: $3
 iotq answers what the devices in a network say, and to whom: a collector at a
 mirror port sums up packets (headers and names only), an analyzer stores
 the sums in ClickHouse, and iotq asks.
CONTROL
    (cd "$root" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | sort -z | xargs -0 md5sum >DEBIAN/md5sums)
    dpkg-deb --root-owner-group --build "$root" "$out/$1_${version}_$arch.deb" >/dev/null
    echo "$out/$1_${version}_$arch.deb"
}

program iotq
"$work/iotq/usr/bin/iotq" man "$work/iotq/usr/share/man/man1" >/dev/null
gzip --best --no-name "$work"/iotq/usr/share/man/man1/*
install -d "$work/iotq/usr/share/bash-completion/completions" "$work/iotq/usr/share/zsh/vendor-completions" \
    "$work/iotq/usr/share/fish/vendor_completions.d"
"$work/iotq/usr/bin/iotq" completions bash >"$work/iotq/usr/share/bash-completion/completions/iotq"
"$work/iotq/usr/bin/iotq" completions zsh >"$work/iotq/usr/share/zsh/vendor-completions/_iotq"
"$work/iotq/usr/bin/iotq" completions fish >"$work/iotq/usr/share/fish/vendor_completions.d/iotq.fish"
package iotq "libc6 (>= 2.34), libgcc-s1" "ask what the devices in a network say, and to whom"

program iotq-collector
settings iotq-collector collector.env
install -D -m 644 deploy/systemd/iotq-collector@.service "$work/iotq-collector/usr/lib/systemd/system/iotq-collector@.service"
install -D -m 644 deploy/deb/60-iotq-collector.conf "$work/iotq-collector/usr/lib/sysctl.d/60-iotq-collector.conf"
scripts iotq-collector 'iotq-collector@*' ''
package iotq-collector "adduser, libc6 (>= 2.34), libgcc-s1, libpcap0.8 (>= 1.9)" "tell iotq what passes a mirror port"

program iotq-analyzer
settings iotq-analyzer analyzer.env
install -D -m 644 deploy/systemd/iotq-analyzer.service "$work/iotq-analyzer/usr/lib/systemd/system/iotq-analyzer.service"
for file in engine.sh data.sh; do
    install -D -m 755 "deploy/$file" "$work/iotq-analyzer/usr/lib/iotq/$file"
done
install -m 644 deploy/engine.lock deploy/data.lock "$work/iotq-analyzer/usr/lib/iotq/"
install -D -m 755 deploy/deb/iotq-analyzer-engine "$work/iotq-analyzer/usr/sbin/iotq-analyzer-engine"
scripts iotq-analyzer iotq-analyzer.service /var/lib/iotq
package iotq-analyzer "adduser, libc6 (>= 2.34), libgcc-s1" "store what iotq's collectors saw, and answer"
