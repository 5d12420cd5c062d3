#!/bin/sh
# One EFI program of a kernel, its initramfs and its command line:  uki.sh STUB KERNEL INITRAMFS COMMAND_LINE OUTPUT
#
# The sections are those of systemd-stub(7). A machine with UEFI starts it as \EFI\BOOT\BOOTX64.EFI with nothing else.
set -eu
[ $# = 5 ] || { sed -n '2p' "$0" >&2; exit 2; }
stub=$1 kernel=$2 initramfs=$3 command_line=$4 output=$5

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf '%s' "$command_line" >"$work/cmdline"
printf 'ID=debian\nNAME=Debian\n' >"$work/os-release"
objcopy \
    --add-section .osrel="$work/os-release" --change-section-vma .osrel=0x20000 \
    --add-section .cmdline="$work/cmdline" --change-section-vma .cmdline=0x30000 \
    --add-section .linux="$kernel" --change-section-vma .linux=0x2000000 \
    --add-section .initrd="$initramfs" --change-section-vma .initrd=0x3000000 \
    "$stub" "$output"
