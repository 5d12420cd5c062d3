#!/bin/sh
# Install what the tests compare with, from packages of Debian and Ubuntu: all that is missing, when root; otherwise say
# what is missing.
#
#   install_tools.sh [full]
#
# With `full` also what only the full tests need: another machine, and what a kernel is built with.
#
# apt may take away one of them for another: a qemu-utils from elsewhere, say, that conflicts with the distribution's
# QEMU. So it is looked again for what is missing, once.
set -eu
PATH=$PATH:/usr/sbin:/sbin

# The package that brings a program, or a file where the package is not for programs.
tools='
    sgdisk gdisk                mcopy mtools               fsck.fat dosfstools         objcopy binutils
    fusermount3 fuse3           strace strace              chromium chromium           openssl openssl
    curl curl
    qemu-system-x86_64 qemu-system-x86                     qemu-img qemu-utils         fio fio
    nbdinfo libnbd-bin          nbdkit nbdkit              nbdsh python3-libnbd        nbd-client nbd-client
    veritysetup cryptsetup-bin  cryptsetup cryptsetup-bin  dmsetup dmsetup             lvm lvm2
    setpriv util-linux          blkid util-linux           losetup mount               ubinize mtd-utils
    mkfs.ext4 e2fsprogs         mkfs.btrfs btrfs-progs     mkfs.xfs xfsprogs           mkfs.exfat exfatprogs
    mkfs.erofs erofs-utils      mksquashfs squashfs-tools  cpio cpio                   bsdcpio libarchive-tools
    xorriso xorriso             sfdisk fdisk               /usr/lib/ISOLINUX isolinux
    /usr/lib/syslinux/modules/bios syslinux-common         /usr/lib/grub/x86_64-efi grub-efi-amd64-bin
    grub-mkstandalone grub-common
    bootctl systemd-boot        systemd-analyze systemd    systemd-dissect systemd-container
    sbsign sbsigntool           osslsigncode osslsigncode  tesseract tesseract-ocr     mmdebstrap mmdebstrap
    img2simg android-sdk-libsparse-utils                   zstd zstd                   xz xz-utils
    /usr/share/OVMF ovmf        /usr/lib/systemd/boot/efi systemd-boot-efi
    /usr/lib/u-boot/qemu-x86 u-boot-qemu
'
# As above.
full_tools='
    qemu-system-aarch64 qemu-system-arm                    /usr/share/AAVMF qemu-efi-aarch64
    flex flex                   bison bison                bc bc                  /usr/include/libelf.h libelf-dev
'
[ "${1:-}" != full ] || tools="$tools$full_tools"

missing() {
    set -- $tools
    while [ $# -gt 0 ]; do
        case $1 in
        /*) [ -e "$1" ] || echo "$2" ;;
        *) command -v "$1" >/dev/null || echo "$2" ;;
        esac
        shift 2
    done | sort -u
}

for turn in first second; do
    wanted=$(missing)
    [ -n "$wanted" ] || exit 0
    { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; } || break
    [ "$turn" = second ] || apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $wanted >/dev/null
done
wanted=$(missing)
[ -z "$wanted" ] || echo "not installed, their tests will be skipped:" $wanted >&2
