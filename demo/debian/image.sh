#!/bin/sh
# An image of a live root that boots both ways:  image.sh TREE WORK IMAGE SIZE [EFI_STUB]
#
# By our loader: kernel and initramfs lie in the RedoxFS (usr/lib/boot). By its own: one EFI program with the same kernel
# and an initramfs that mounts the disk lies on the EFI partition; without the stub (apt install systemd-boot-efi) it is
# left out. WORK is for what is made on the way. BOOTPATH names the program (default: .venv/bin/bootpath).
set -eu
[ $# -ge 4 ] || { sed -n '2p' "$0" >&2; exit 2; }
tree=$1 work=$2 image=$3 size=$4 stub=${5:-}
here=$(cd "$(dirname "$0")" && pwd)
bootpath=${BOOTPATH:-$here/../../.venv/bin/bootpath}

set -- "$tree"/boot/vmlinuz-*
[ $# = 1 ] && [ -f "$1" ] || { echo "image.sh: expected one kernel in $tree/boot, found: $*" >&2; exit 1; }
mkdir -p "$work" "$tree/usr/lib/boot"
cp "$1" "$tree/usr/lib/boot/kernel"
"$bootpath" build initramfs --sysroot "$tree" -o "$work/live-initramfs"
cp "$work/live-initramfs" "$tree/usr/lib/boot/initfs"

set -- --size "$size"
if [ -f "$stub" ]; then
    "$bootpath" build initramfs --with disk --sysroot "$tree" -o "$work/disk-initramfs"
    "$here/uki.sh" "$stub" "$tree/usr/lib/boot/kernel" "$work/disk-initramfs" \
        'console=tty0 console=ttyS0 quiet panic=-1' "$work/boot.efi"
    set -- "$@" --efi-loader "$work/boot.efi" --esp-size 32MiB
fi
"$bootpath" build live "$tree" -o "$image" "$@"
