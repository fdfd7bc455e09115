#!/usr/bin/env bash
# `make deb`: builds target/deb/{iotq,iotq-analyzer,iotq-collector}_VERSION_ARCH.deb.
#
# DEB_PROFILE=dev packs the programs of target/debug instead of optimised ones: for
# deb-test.sh, which looks at the packages.
set -euo pipefail
cd "$(dirname "$0")/.."

deploy/setup.sh --for deb
version=$(awk -F '"' '/^version = /{ print $2; exit }' Cargo.toml)
arch=$(dpkg --print-architecture)
target=${CARGO_TARGET_DIR:-target}
out=target/deb
if [[ ${DEB_PROFILE:-release} == dev ]]; then
    bin=$target/debug
    # Thrown away soon.
    compression=none
    cargo build --locked --quiet -p iotq-collector -p iotq-analyzer -p iotq-cli
else
    bin=$target/release
    compression=xz
    cargo build --release --locked -p iotq-collector -p iotq-analyzer -p iotq-cli
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 022
mkdir -p "$out" "$work/debian"
# dpkg-shlibdeps wants one.
: >"$work/debian/control"

program() {
    # program PACKAGE: without debug information, which is three quarters of it.
    install -d "$work/$1/usr/bin"
    strip --strip-unneeded --remove-section=.comment -o "$work/$1/usr/bin/$1" "$bin/$1"
    chmod 755 "$work/$1/usr/bin/$1"
}

document() {
    # document PACKAGE FILE…: compressed, in the package's folder of documents.
    local package=$1 file
    shift
    install -d "$work/$package/usr/share/doc/$package"
    for file in "$@"; do
        install -m 644 -t "$work/$package/usr/share/doc/$package" "$file"
        gzip --best --no-name "$work/$package/usr/share/doc/$package/$(basename "$file")"
    done
}

settings() {
    # settings PACKAGE FILE: a file in /etc that the administrator may change, and put passwords into.
    install -D -m 640 "deploy/deb/$2" "$work/$1/etc/iotq/$2"
    install -d "$work/$1/DEBIAN"
    echo "/etc/iotq/$2" >>"$work/$1/DEBIAN/conffiles"
}

scripts() {
    # scripts PACKAGE SERVICES [CACHE]
    local script
    for script in postinst prerm postrm; do
        sed -e "s#@USER@#$1#g" -e "s#@SERVICES@#$2#g" -e "s#@CACHE@#${3:-}#g" "deploy/deb/$script" >"$work/$1/DEBIAN/$script"
        chmod 755 "$work/$1/DEBIAN/$script"
    done
}

example() {
    # example NAME FILE …: settings and the like to copy.
    install -D -m 644 -t "$work/$1/usr/share/doc/$1/examples" "${@:2}"
}

package() {
    # package NAME DEPENDS SUMMARY: what the program links to is added to DEPENDS.
    local root=$work/$1 size libraries
    install -D -m 644 deploy/deb/copyright "$root/usr/share/doc/$1/copyright"
    gzip --best --no-name <CHANGELOG.md >"$root/usr/share/doc/$1/changelog.gz"
    libraries=$(cd "$work" && dpkg-shlibdeps -O "$1/usr/bin/$1" 2>/dev/null)
    libraries=${libraries#shlibs:Depends=}
    size=$(du --summarize --apparent-size --block-size=1024 "$root" | cut -f 1)
    install -d "$root/DEBIAN"
    cat >"$root/DEBIAN/control" <<CONTROL
Package: $1
Version: $version
Architecture: $arch
Maintainer: iotq developers <iotq@example.com>
Installed-Size: $size
Depends: ${2:+$2, }$libraries
Section: net
Priority: optional
Description: $3
 iotq answers what the devices in a network say, and to whom: a collector at a
 mirror port sums up packets (headers and names only), an analyzer stores
 the sums in ClickHouse, and iotq asks.
CONTROL
    (cd "$root" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | sort -z | xargs -0 md5sum >DEBIAN/md5sums)
    dpkg-deb --root-owner-group -Z"$compression" --build "$root" "$out/$1_${version}_$arch.deb" >/dev/null
    echo "$out/$1_${version}_$arch.deb"
}

program iotq
"$bin/iotq" man "$work/iotq/usr/share/man/man1" >/dev/null
gzip --best --no-name "$work"/iotq/usr/share/man/man1/*
install -d "$work/iotq/usr/share/bash-completion/completions" "$work/iotq/usr/share/zsh/vendor-completions" \
    "$work/iotq/usr/share/fish/vendor_completions.d"
"$bin/iotq" completions bash >"$work/iotq/usr/share/bash-completion/completions/iotq"
"$bin/iotq" completions zsh >"$work/iotq/usr/share/zsh/vendor-completions/_iotq"
"$bin/iotq" completions fish >"$work/iotq/usr/share/fish/vendor_completions.d/iotq.fish"
document iotq README.md
example iotq deploy/iotq.toml
package iotq '' "ask what the devices in a network say, and to whom"

program iotq-collector
settings iotq-collector collector.env
install -D -m 644 deploy/systemd/iotq-collector@.service "$work/iotq-collector/usr/lib/systemd/system/iotq-collector@.service"
document iotq-collector README.md deploy/MIRROR.md
example iotq-collector deploy/collector.toml deploy/mirror/*
scripts iotq-collector 'iotq-collector@*.service'
package iotq-collector adduser "tell iotq what passes a mirror port"

program iotq-analyzer
settings iotq-analyzer analyzer.env
install -D -m 644 deploy/systemd/iotq-analyzer.service "$work/iotq-analyzer/usr/lib/systemd/system/iotq-analyzer.service"
for file in engine.sh data.sh; do
    install -D -m 755 "deploy/$file" "$work/iotq-analyzer/usr/lib/iotq/$file"
done
install -m 644 deploy/engine.lock deploy/data.lock "$work/iotq-analyzer/usr/lib/iotq/"
install -D -m 755 deploy/deb/iotq-analyzer-engine "$work/iotq-analyzer/usr/sbin/iotq-analyzer-engine"
document iotq-analyzer README.md SECURITY.md
example iotq-analyzer deploy/analyzer.toml
for folder in prometheus grafana; do
    install -D -m 644 -t "$work/iotq-analyzer/usr/share/doc/iotq-analyzer/examples/$folder" "deploy/$folder"/*
done
scripts iotq-analyzer iotq-analyzer.service /var/lib/iotq
# procps: kill, for a reload; ca-certificates: to fetch the engine, and for a ClickHouse server with TLS.
package iotq-analyzer 'adduser, bash, ca-certificates, procps' "store what iotq's collectors saw, and answer"
