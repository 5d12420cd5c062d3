#!/bin/sh
# A kernel in which device-mapper, verity and the disk's driver are no modules, as the distribution's are: only such a
# one assembles its root by itself (dm-mod.create=) and needs no initramfs.
#
#   small_kernel.sh DIRECTORY
#
# From the distribution's linux-source, which is downloaded and unpacked, never installed, so any user may run this.
# It takes some minutes and 2 GB, which are free again afterwards. It leaves DIRECTORY/vmlinuz (a bzImage for x86-64) and
# DIRECTORY/config, and touches DIRECTORY/.stamp.
set -eu

[ $# = 1 ] || { echo 'usage: small_kernel.sh DIRECTORY' >&2; exit 2; }
[ "$(uname -m)" = x86_64 ] || { echo 'small kernel: it is for PCs, and this is none' >&2; exit 1; }
for tool in apt-get apt-cache dpkg-deb make cc flex bison bc; do
    command -v "$tool" >/dev/null || { echo "small kernel: no $tool (make tools)" >&2; exit 1; }
done
fragment=$(realpath "$(dirname "$0")/small_kernel.config")
package=$(apt-cache depends --important linux-source | sed -n 's/^ *Depends: \(linux-source-[0-9][^ ]*\)$/\1/p' | head -n 1)
[ -n "$package" ] || { echo 'small kernel: apt knows no linux-source; run apt-get update' >&2; exit 1; }

rm -rf "$1"
mkdir -p "$1/packages" "$1/source"
cd "$1"
sandbox=
[ "$(id -u)" != 0 ] || sandbox='-o APT::Sandbox::User=root'
# shellcheck disable=SC2086  # each word is an argument of its own, or none
(cd packages && apt-get $sandbox -qq download "$package")
dpkg-deb -x packages/*.deb packages
tar -xf "$(find packages/usr/src -name 'linux-source-*.tar.*' -type f | head -n 1)" -C source --strip-components=1
rm -rf packages
make -s -C source KCONFIG_ALLCONFIG="$fragment" tinyconfig >/dev/null
for option in BLK_DEV_DM DM_INIT DM_VERITY VIRTIO_BLK EROFS_FS; do
    grep -qx "CONFIG_$option=y" source/.config || { echo "small kernel: $package has no $option" >&2; exit 1; }
done
make -s -C source -j "$(nproc)" bzImage >/dev/null
mv source/arch/x86/boot/bzImage vmlinuz
mv source/.config config
rm -rf source
touch .stamp
