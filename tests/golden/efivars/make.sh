#!/bin/sh
# A variable store of EDK2 with variables of systemd-boot, and the same as JSON, both by virt-firmware 26.10 (PyPI), from
# an empty store of Debian's package ovmf. Run it in this directory.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

text() { printf '%s\0' "$1" | iconv -t utf-16le | od -An -v -tx1 | tr -d ' \n'; }
loader=4a67b082-0a4c-41cf-b6c7-440b29bb8c4f
row() { printf '{"name": "%s", "guid": "%s", "attr": %s, "data": "%s"}%s\n' "$1" "$2" "$3" "$4" "$5"; }
{
    echo '{"version": 2, "variables": ['
    row LoaderEntryOneShot $loader 7 "$(text rescue.conf)" ,
    row LoaderEntryDefault $loader 7 "$(text 'fedora-*.conf')" ,
    row LoaderEntryLastBooted $loader 7 "$(text fedora-6.9.conf)" ,
    row LoaderConfigTimeout $loader 7 "$(text 7)" ,
    row LoaderSystemToken $loader 3 00ff10 ,
    row BootOrder 8be4df61-93ca-11d2-aa0d-00e098032b8c 7 01000000 ,
    row Odd 11111111-2222-4333-8444-555555555555 3 '' ''
    echo ']}'
} > "$work/in.json"
virt-fw-vars -i /usr/share/OVMF/OVMF_VARS.fd --set-json "$work/in.json" -o "$work/store.fd"
gzip -9n < "$work/store.fd" > store.fd.gz
virt-fw-vars -i "$work/store.fd" --output-json store.json
