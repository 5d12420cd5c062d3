#!/bin/sh
# The first process of a tiny initramfs: from the kernel parameters to the root, which it then becomes.
#
# Each step is in a file of its own in /lib/bootpath; a file that was left out (lvm, ubi, verity) cannot be used.
# Functions give their result in a variable, never on stdout: `fail` has to end this process, not a subshell.
set -f
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
export DM_DISABLE_UDEV=1  # dmsetup(8), lvm(8): there is no udev, so they make the nodes themselves

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs /run
mkdir -p /run/bootpath /sysroot

for part in console parameters devices root lvm ubi verity; do
    [ ! -e "/lib/bootpath/$part.sh" ] || . "/lib/bootpath/$part.sh"
done

report init started
read_parameters "$(cat /proc/cmdline)"
reboot_on_panic
load_modules
[ -z "$lvm_by_name" ] || activate_by_name

find_device data "$data" "$slot"
data_device=$device
root_device=$device
if [ -n "$root_hash" ]; then
    find_device hash "$hash" "$hash_slot"
    open_verity "$data_device" "$device"
fi

mount_root "$root_device"
check_init
leave "$@"
