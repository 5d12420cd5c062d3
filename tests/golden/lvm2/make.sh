#!/bin/sh
# Volume groups as LVM2 2.03.16 writes them, on loop devices (root), without a device mapper: nothing is activated.
# Run it in this directory. Beside the volumes' beginnings are LVM2's own reports: what lies where, and the metadata.
set -eu
export PATH="$PATH:/usr/sbin:/sbin" LVM_SUPPRESS_FD_WARNINGS=1
here=$(pwd)
work=$(mktemp -d)
a= b= c=
trap 'for loop in $a $b $c; do losetup -d $loop; done; rm -rf "$work"' EXIT
cd "$work"
truncate -s 6M pv0 pv1 pv2
a=$(losetup -f --show pv0); b=$(losetup -f --show pv1); c=$(losetup -f --show pv2)
filter="filter=[\"a|^$a\$|\",\"a|^$b\$|\",\"a|^$c\$|\",\"r|.*|\"] use_devicesfile=0"
other='backup { backup=0 archive=0 } global { event_activation=0 }'
lv() {
    lvm "$@" --driverloaded n --config "devices { $filter } activation { udev_sync=0 udev_rules=0 monitoring=0 } $other" \
        2> errors || { cat errors >&2; exit 1; }
}
create() { lv lvcreate -q -an -Zn -Wn "$@" > /dev/null; }

lv pvcreate -q -y --metadatasize 32k --dataalignment 64k $a > /dev/null
lv pvcreate -q -y --metadatasize 32k --dataalignment 64k --metadatacopies 2 $b > /dev/null
lv pvcreate -q -y --metadatasize 32k --dataalignment 64k --metadatacopies 0 --labelsector 3 $c > /dev/null
lv vgcreate -q -s 64k vg0 $a $b $c > /dev/null
create -n root -l 20 vg0 $a
create -n striped -i 3 -I 16k -l 12 vg0
create -n span -l 100 vg0
lv lvextend -q -l +7 vg0/root > /dev/null
create -n dash-ed_1.x+y -l 1 -p r vg0
create -n nothing --type zero -l 2 vg0
create -n lost --type error -l 2 vg0
# The texts go round in their ring, one for each change; go on until the last one wraps.
wraps() { set -- $(od -An -tu8 -j 4128 -N 24 pv0); [ $(($2 + $3)) -gt $1 ]; }
round=0
until wraps; do
    round=$((round + 1)); [ $round -lt 100 ]
    lv lvrename -q vg0 root again > /dev/null; lv lvrename -q vg0 again root > /dev/null
done

lv lvs -a --segments --noheadings --units s --nosuffix --separator '|' \
    -o lv_name,lv_uuid,seg_type,stripes,stripe_size,seg_start,seg_size,seg_pe_ranges > "$here/segments.txt"
sed -i "s|$a|pv0|g; s|$b|pv1|g; s|$c|pv2|g" "$here/segments.txt"
lv vgcfgbackup -f "$here/vgcfgbackup.txt" vg0 > /dev/null
sed -i "s|$a|pv0|g; s|$b|pv1|g; s|$c|pv2|g; /^description/d; /^creation_host/s/=.*/= \"host\"/" "$here/vgcfgbackup.txt"
for pv in pv0 pv1 pv2; do gzip -9nc $pv > "$here/$pv.img.gz"; done
lv vgexport -q vg0 > /dev/null
gzip -9nc pv0 > "$here/exported.img.gz"
