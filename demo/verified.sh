#!/bin/sh
# A signed image with a small Linux in it, which `bootpath boot` verifies and boots: busybox, the kernel and the entry
# inside the root, and our initramfs.
# Usage: demo/verified.sh IMAGE GUEST   (GUEST has a kernel with modules, busybox, lvm2 …: `make guest`; needs
# erofs-utils and openssl). Beside IMAGE it leaves the tree, os.key and os.crt.
set -eu
image=${1:?usage: demo/verified.sh IMAGE GUEST} guest=${2:?usage: demo/verified.sh IMAGE GUEST}
bootpath=$(cd "$(dirname "$0")/.." && pwd)/.venv/bin/bootpath
directory=$(dirname "$image")
tree=$directory/verified-tree

rm -rf "$tree"
mkdir -p "$tree/bin" "$tree/sbin" "$tree/etc" "$tree/root" "$tree/boot" "$tree/loader/entries"
mkdir -p "$tree/proc" "$tree/sys" "$tree/dev" "$tree/run" "$tree/tmp"
for busybox in "$guest"/bin/busybox "$guest"/usr/bin/busybox; do
    [ ! -f "$busybox" ] || cp "$busybox" "$tree/bin/busybox"
done
for applet in cat df grep login ls mount ps sh sha256sum uname; do ln -s busybox "$tree/bin/$applet"; done
for applet in getty init poweroff reboot; do ln -s ../bin/busybox "$tree/sbin/$applet"; done
cat >"$tree/etc/inittab" <<'INITTAB'
ttyS0::respawn:/sbin/getty -L 115200 ttyS0 vt100
::ctrlaltdel:/sbin/reboot
INITTAB
echo 'root::0:0:root:/root:/bin/sh' >"$tree/etc/passwd"
printf 'ID=demo\nVERSION_ID=1\n' >"$tree/etc/os-release"
cp "$guest"/boot/vmlinuz-* "$tree/boot/vmlinuz"
"$bootpath" build initramfs --with lvm,verity,ubi --sysroot "$guest" -o "$tree/boot/initrd" >/dev/null
cat >"$tree/loader/entries/demo-1.conf" <<'ENTRY'
title Demo
version 1
linux /boot/vmlinuz
initrd /boot/initrd
options quiet
linux-appendroot yes
ENTRY

[ -f "$directory/os.key" ] ||
    openssl req -x509 -newkey rsa:2048 -nodes -keyout "$directory/os.key" -out "$directory/os.crt" -subj /CN=me -days 3650 2>/dev/null
"$bootpath" build image "$tree" -o "$image" --all-root --key "$directory/os.key" --key-certificate "$directory/os.crt"
