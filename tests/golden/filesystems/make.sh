#!/bin/sh
# Makes the images of this directory from the tree of tests/support/filetrees.py, in the source directory:
#   tests/golden/filesystems/make.sh
# dosfstools 4.2, mtools 4.0.33, e2fsprogs 1.47.0, squashfs-tools 4.5.1, mtd-utils 2.1.5, erofs-utils 1.5,
# xorriso 1.5.4; and erofs-utils 1.9.3, with lzma and zstd built in, named by NEW_MKFS_EROFS.
set -eu
here=$(dirname "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export LC_ALL=C.UTF-8 SOURCE_DATE_EPOCH=1700000002 MTOOLS_SKIP_CHECK=1
uuid=6f3a2f8e-93a5-4b6e-8f43-0d9ef0b2c001
make_tree() {
	python3 -c "import sys; from pathlib import Path
from tests.support.filetrees import make_tree
make_tree(Path(sys.argv[1]), links=sys.argv[2] == 'links')" "$work/$1" "$2"
}
mkdir "$work/tree" "$work/plain"
make_tree tree links
make_tree plain none
keep() { gzip -9n <"$work/img" >"$here/$1.img.gz"; rm -f "$work/img"; }

fat() { # name, KiB, options of mkfs.vfat
	name=$1 size=$2; shift 2
	mkfs.vfat -C "$@" -i 12345678 "$work/img" "$size" >/dev/null
	mcopy -s -m -i "$work/img" "$work"/plain/* ::/
	keep "$name"
}
fat fat12 1600 -F 12
fat fat16 6000 -F 16 -s 1
fat fat32 34000 -F 32 -s 1

ext() { # name, KiB, options of mke2fs
	name=$1 size=$2; shift 2
	mke2fs -q -U $uuid -E hash_seed=$uuid,root_owner=0:0 -d "$work/tree" "$@" "$work/img" "$size"
	keep "$name"
}
ext ext2-1k 1600 -t ext2 -b 1024
ext ext3-2k 4000 -t ext3 -b 2048 -O ^resize_inode
ext ext4-1k 2600 -t ext4 -b 1024 -O ^resize_inode
ext ext4-4k 4000 -t ext4 -b 4096 -O ^has_journal,^metadata_csum,^resize_inode
ext ext4-inline 2000 -t ext4 -b 4096 -O inline_data,^has_journal,^resize_inode
ext ext4-metabg 4000 -t ext4 -b 1024 -g 256 -O meta_bg,64bit,metadata_csum,metadata_csum_seed,^resize_inode,^has_journal

erofs() { # name, program, options
	name=$1 program=$2; shift 2
	$program --quiet -T1700000002 -U$uuid "$@" "$work/img" "$work/tree"
	keep "$name"
}
erofs erofs-plain mkfs.erofs
erofs erofs-chunks mkfs.erofs --chunksize=4096
erofs erofs-lz4 mkfs.erofs -zlz4
erofs erofs-lz4hc-big mkfs.erofs -zlz4hc,9 -C65536 -Eztailpacking,fragments
erofs erofs-legacy mkfs.erofs -zlz4hc -Elegacy-compress
erofs erofs-lzma "$NEW_MKFS_EROFS" -zlzma -C32768 -Eztailpacking
erofs erofs-deflate "$NEW_MKFS_EROFS" -b1024 -zdeflate -C8192 -Eall-fragments
erofs erofs-zstd "$NEW_MKFS_EROFS" -zzstd
erofs erofs-dedupe "$NEW_MKFS_EROFS" -zlz4hc -C16384 -Ededupe,fragments
erofs erofs-two "$NEW_MKFS_EROFS" -zlz4:deflate -C16384 -Elegacy-compress
erofs erofs-chunkindex "$NEW_MKFS_EROFS" --chunksize=8192 -Eforce-chunk-indexes

squashfs() { # name, options
	name=$1; shift
	mksquashfs "$work/tree" "$work/img" -quiet -no-progress -noappend -mkfs-time 1700000002 "$@" >/dev/null
	keep "$name"
}
unset SOURCE_DATE_EPOCH
squashfs squashfs-gzip -comp gzip
squashfs squashfs-xz -comp xz -no-fragments
squashfs squashfs-zstd -comp zstd -b 4096
squashfs squashfs-lz4 -comp lz4 -b 1M -always-use-fragments
squashfs squashfs-stored -noI -noD -noF -noX -comp gzip

xorriso -as mkisofs -R -J -joliet-long -D --hardlinks -V DEEP -o "$work/img" "$work/tree" </dev/null 2>/dev/null
keep iso9660-deep
xorriso -as mkisofs -R -hide-rr-moved --hardlinks -V MOVED -o "$work/img" "$work/tree" </dev/null 2>/dev/null
keep iso9660-moved
xorriso -hardlinks on -outdev "stdio:$work/img" -volid ZISOFS -compliance deep_paths_off -map "$work/tree" / \
	-zisofs level=9:block_size=32k -set_filter_r --zisofs / -- -commit </dev/null 2>/dev/null
keep iso9660-zisofs
ubifs() { # name, options of mkfs.ubifs
	name=$1; shift
	mkfs.ubifs -r "$work/tree" -m 8 -e 15872 -c 170 -j 256KiB "$@" -o "$work/img"
	keep "$name"
}
ubifs ubifs-lzo -x lzo
ubifs ubifs-zlib -x zlib -k test
ls -l "$here"
