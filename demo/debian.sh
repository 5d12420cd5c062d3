#!/bin/sh
# A Debian root with a graphical login, as a directory for `bootpath build live`:
#
#   demo/debian.sh TREE [--small] [--suite SUITE] [--mirror URL]
#
# It installs packages into TREE with mmdebstrap and lets demo/debian/customize.sh make a live root of it. --small
# leaves out the desktop and the programs, which are there to be a big system: 0.8 GiB instead of 2.2 GiB. Needs
# root and mmdebstrap (apt install mmdebstrap). SOURCE_DATE_EPOCH in the environment makes times reproducible.
# docs/howto/debian-root.md says what is changed, and why.
set -eu

usage() {
    sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

here=$(cd "$(dirname "$0")" && pwd)
tree='' suite=bookworm mirror=http://deb.debian.org/debian small=no
while [ $# -gt 0 ]; do
    case $1 in
    --small) small=yes ;;
    --suite) suite=${2:?} && shift ;;
    --mirror) mirror=${2:?} && shift ;;
    -*) usage ;;
    *) [ -z "$tree" ] || usage; tree=$1 ;;
    esac
    shift
done
[ -n "$tree" ] || usage
[ "$(id -u)" = 0 ] || { echo 'debian.sh: needs root, for the owners of files' >&2; exit 1; }
command -v mmdebstrap >/dev/null || { echo 'debian.sh: no mmdebstrap (apt install mmdebstrap)' >&2; exit 1; }

system=systemd-sysv,udev,dbus,login,passwd,kmod,iproute2,procps,util-linux,busybox-static,linux-image-amd64
greeter=lightdm,lightdm-gtk-greeter,xserver-xorg-core,xserver-xorg-input-libinput,adwaita-icon-theme,fonts-dejavu-core
desktop=xfce4,xfce4-terminal,firefox-esr,libreoffice-writer,libreoffice-calc,build-essential,python3,git,vim,less
desktop=$desktop,man-db,openssh-client,file,curl,fonts-noto-core,fonts-noto-cjk,locales-all,manpages-dev
[ "$small" = yes ] && packages=$system,$greeter || packages=$system,$greeter,$desktop

rm -rf "$tree"
mkdir -p "$(dirname "$tree")"
# No initramfs of Debian's is made: ours boots this root.
mmdebstrap --quiet --mode=root --variant=minbase --include="$packages" \
    --aptopt='Acquire::Check-Valid-Until "false"' \
    --setup-hook='mkdir -p "$1/etc/initramfs-tools" && echo update_initramfs=no >"$1/etc/initramfs-tools/update-initramfs.conf"' \
    --dpkgopt='force-confold' \
    "$suite" "$tree" "$mirror"
"$here/debian/customize.sh" "$tree"
