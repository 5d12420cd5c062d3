#!/bin/sh
# Makes the golden partition tables beside this script with sgdisk, an independent writer.
# The 4096 one needs root: sgdisk takes the block size from a loop device, and for a file it is always 512.
# Made with GPT fdisk 1.0.9. The images are zeros but for the table, so they compress to almost nothing.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

partition() { # target block_bytes: the same three partitions, at 64, 80 and 128 KiB
    unit=$(($2 / 512))
    sgdisk --clear --set-alignment=1 \
        --disk-guid=5A0C3B5E-90A1-4B1F-8C4B-0123456789AB \
        --new=1:$((128 / unit)):$((159 / unit)) --typecode=1:EF02 --change-name=1:BIOS \
        --partition-guid=1:11111111-2222-4333-8444-555555555501 \
        --new=2:$((160 / unit)):$((255 / unit)) --typecode=2:EF00 --change-name=2:EFI \
        --partition-guid=2:11111111-2222-4333-8444-555555555502 \
        --new=5:$((256 / unit)):$((1599 / unit)) --typecode=5:8300 --change-name=5:'REDOX ❄ 𝔯' \
        --partition-guid=5:11111111-2222-4333-8444-555555555505 --attributes=5:set:60 \
        "$1" >&2
}

truncate -s 1M "$work/512.img"
partition "$work/512.img" 512
gzip -9nc "$work/512.img" >"$here/sgdisk-512.img.gz"

truncate -s 1M "$work/4096.img"
loop=$(losetup --sector-size 4096 --find --show "$work/4096.img")
partition "$loop" 4096
losetup --detach "$loop"
gzip -9nc "$work/4096.img" >"$here/sgdisk-4096.img.gz"
