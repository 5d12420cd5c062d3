#!/bin/sh
# The superblocks here, from the programs that own their formats, and blkid's opinion of each:
#   e2fsprogs, erofs-utils, squashfs-tools, btrfs-progs, xfsprogs, dosfstools, exfatprogs, util-linux, cryptsetup,
#   xorriso 1.5.4, genisoimage 1.1.11, udftools 2.3
# Run it in this directory. Only the beginning of each image is kept; the rest is zeros, or nobody asks for it.
set -eu
export PATH="$PATH:/usr/sbin:/sbin" SOURCE_DATE_EPOCH=1700000000
here=$(pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
uuid=5a0c3b5e-90a1-4b1f-8c4b-0123456789a
mkdir tree
seq 4000 > tree/numbers

image() { truncate -s "$2" "$1"; }

image ext2 4M; mkfs.ext2 -q -U ${uuid}2 -L second ext2
image ext3 8M; mkfs.ext3 -q -U ${uuid}3 -L third ext3
image ext4 8M; mkfs.ext4 -q -U ${uuid}4 -L fourth -O 64bit,metadata_csum ext4
image jbd 8M; mke2fs -q -O journal_dev -U ${uuid}5 -L journal -b 4096 jbd
mkfs.erofs -U ${uuid}6 erofs tree > /dev/null
mksquashfs tree squashfs -quiet -no-progress -comp xz -b 64K > /dev/null
for sum in crc32c xxhash sha256 blake2; do
    image btrfs-$sum 128M; mkfs.btrfs -q -U ${uuid}7 -L "bee $sum" --csum $sum btrfs-$sum > /dev/null
done
image xfs 320M; mkfs.xfs -q -m uuid=${uuid}8 -L ex xfs
image xfs4 32M; mkfs.xfs -q -m crc=0,uuid=${uuid}9 -L vier --unsupported xfs4 2> /dev/null
image fat12 4M; mkfs.vfat -F 12 -i 12345678 -n TWELVE fat12 > /dev/null
image fat16 16M; mkfs.vfat -F 16 -i 1234abcd fat16 > /dev/null
image fat32 64M; mkfs.vfat -F 32 -i deadbeef -n 'THIRTY TWO' fat32 > /dev/null
image exfat 16M; mkfs.exfat -L 'ex fat' exfat > /dev/null
image swap 1M; mkswap -q -U ${uuid}a -L swap swap
image swap64k 1M; mkswap -q -p 65536 -U ${uuid}b swap64k
for kind in luks1 luks2; do
    image $kind 32M
    printf pass | cryptsetup luksFormat -q --type $kind --uuid ${uuid}c --pbkdf pbkdf2 --pbkdf-force-iterations 1000 $kind -
done
mkfs.ubifs -r tree -m 2048 -e 126976 -c 100 -o ubifs
cryptsetup config --label encrypted --subsystem ours luks2
mkdir disc
cp tree/numbers disc/Numbers
disc() { name=$1; shift; xorriso -as mkisofs -o "$name" "$@" disc < /dev/null 2> /dev/null; }
disc iso9660 -V 'PLAIN 1'
disc iso9660joliet -R -J -V 'An Operating System 12.5 amd64 n'
genisoimage -quiet -udf -R -J -V Bridge -o bridge disc
image udf 2M; mkudffs --utf8 --media-type=hd --label='a disk' --uuid=0123456789abcdef udf > /dev/null
# An image that was written over the beginning of a disk, whose btrfs is still there.
cp --sparse=always btrfs-crc32c stale; dd if=squashfs of=stale conv=notrunc status=none

for name in *; do
    [ -f "$name" ] || continue
    case $name in luks1) keep=4K ;; luks2 | ubifs) keep=32K ;; exfat) keep=4M ;; *) keep=2M ;; esac
    { head -c $keep "$name" || :; } | gzip -9n > "$here/$name.img.gz"
    { stat -c 'SIZE=%s' "$name"; blkid -p -o export "$name" | grep -v DEVNAME; } > "$here/$name.blkid" ||
        echo "AMBIGUOUS=1" >> "$here/$name.blkid"
done
