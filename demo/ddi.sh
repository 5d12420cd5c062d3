#!/bin/sh
# Build a signed discoverable disk image with two slots, twice, and ask everyone who reads such images about it.
# usage: demo/ddi.sh DIRECTORY   (made; needs erofs-utils, openssl; what else is missing is passed over)
set -eu
directory=${1:?usage: demo/ddi.sh DIRECTORY}
bootpath=$(cd "$(dirname "$0")/.." && pwd)/.venv/bin/bootpath
mkdir -p "$directory"
cd "$directory"

say() { printf '\n\033[1m$ %s\033[0m\n' "$*"; "$@"; }
ask() { if command -v "$1" >/dev/null; then say "$@"; else echo "($1 is not installed)"; fi; }

mkdir -p tree/etc tree/usr/bin tree/proc tree/sys tree/dev tree/run esp/loader/entries
echo 'ID=demo' > tree/etc/os-release
echo 'title demo' > esp/loader/entries/demo-1.0+3-0.conf
test -e os.key || openssl req -x509 -newkey rsa:2048 -nodes -keyout os.key -out os.crt -subj /CN=demo -days 3650 2>/dev/null

export SOURCE_DATE_EPOCH=1700000000
seed=0d7e49a2-5b26-4c4c-8a6b-2f2d1c9f4a11
for output in os.img again.img; do
	say "$bootpath" build image tree/ -o "$output" --key os.key --key-certificate os.crt --esp esp/ --slots 2 --fill both --split --seed $seed
done
say cmp os.img again.img && echo 'the same bytes'
ask sgdisk -v os.img
ask veritysetup verify os.root-*64.img os.root-*-verity.img "$("$bootpath" build image tree/ --dry-run --key os.key --key-certificate os.crt --esp esp/ \
	--seed $seed --json | sed -n 's/.*"root_hash": "\(.*\)".*/\1/p' | head -n 1)" && echo 'verified'
say "$bootpath" inspect os.img
if [ "$(id -u)" = 0 ]; then ask systemd-dissect os.img; fi
