#!/bin/sh
# Flash images of UBI, made by ubinize of mtd-utils 2.1.5. Run it in this directory.
# Every volume has the numbers from 100000 on, cut to the length of its image.
set -eu
export PATH="$PATH:/usr/sbin:/sbin"
here=$(pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
seq 100000 199999 > numbers
head -c 30000 numbers > numbers-30000
head -c 50000 numbers > numbers-50000
cat > ubi.ini << END
[kernel]
mode=ubi
image=numbers-30000
vol_id=0
vol_type=static
vol_name=kernel
vol_size=64KiB
[root]
mode=ubi
image=numbers-50000
vol_id=3
vol_type=dynamic
vol_name=root fs
vol_size=128KiB
vol_flags=autoresize
[aligned]
mode=ubi
image=numbers-30000
vol_id=5
vol_type=dynamic
vol_name=aligned
vol_size=64KiB
vol_alignment=4096
[empty]
mode=ubi
vol_id=7
vol_type=dynamic
vol_name=empty
vol_size=32KiB
END
ubinize -o nand -p 16KiB -m 512 -s 512 -Q 7 ubi.ini
ubinize -o page -p 128KiB -m 2048 -e 5 -Q 9 ubi.ini
ubinize -o nor -p 16KiB -m 1 -Q 7 ubi.ini
for name in nand page nor; do gzip -9nc $name > "$here/$name.img.gz"; done
