#!/bin/sh
# Make a Debian tree a live root on RedoxFS:  customize.sh TREE
#
# Runs as root, once mmdebstrap has let go of it. See docs/howto/debian-root.md for the reason of each step.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
tree=$1

cp -R "$here/root/." "$tree/"
chroot "$tree" sh -c 'echo root:bootpath | chpasswd'
echo debian-live >"$tree/etc/hostname"
printf '127.0.0.1 localhost debian-live\n' >"$tree/etc/hosts"
: >"$tree/etc/machine-id" # an empty one is made anew at each boot
rm -f "$tree/var/lib/dbus/machine-id"
echo '# / is mounted before this is read' >"$tree/etc/fstab"

# Nothing to check, to remount, to trim or to fetch.
chroot "$tree" systemctl mask --quiet \
    systemd-remount-fs.service systemd-firstboot.service systemd-pstore.service systemd-rfkill.service \
    systemd-rfkill.socket sys-kernel-debug.mount sys-kernel-tracing.mount dev-hugepages.mount dev-mqueue.mount \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
    fstrim.timer man-db.timer user@.service proc-sys-fs-binfmt_misc.automount systemd-binfmt.service
chroot "$tree" systemctl set-default --quiet graphical.target

# systemd is started by our init, on the overlay.
chroot "$tree" dpkg-divert --quiet --local --rename --divert /sbin/init.systemd --add /sbin/init
ln -sf ../lib/live/init "$tree/usr/sbin/init"

# What many processes open goes to memory first, see root/usr/lib/live/init: programs of the boot, what they are linked
# with, and what they load. Larger files are not worth it.
programs='/usr/bin/dash /usr/bin/bash /usr/bin/mount /usr/bin/kmod /usr/bin/udevadm /usr/bin/systemctl /usr/bin/login
    /usr/bin/dbus-daemon /usr/bin/ls /usr/bin/cat /usr/bin/tail /usr/bin/sleep /usr/sbin/agetty /usr/lib/systemd/systemd
    /usr/lib/systemd/systemd-executor /usr/lib/systemd/systemd-journald /usr/lib/systemd/systemd-logind
    /usr/lib/systemd/systemd-user-runtime-dir /usr/lib/xorg/Xorg /usr/sbin/lightdm /usr/sbin/lightdm-gtk-greeter'
libraries=/usr/lib/$(uname -m)-linux-gnu
chroot "$tree" sh -c '
    libraries=$1
    shift
    for program in "$@"; do [ ! -x "$program" ] || { echo "$program"; ldd "$program"; }; done |
        sed -n "s|^[^ ]* => \(/[^ ]*\) .*|\1|p; s|^[[:space:]]*\(/[^ ]*\).*|\1|p"
    for file in "$libraries"/security/pam_*.so "$libraries"/libnss_*.so.2; do echo "$file"; done
' - "$libraries" $programs | sort -u | while read -r file; do
    file=$(chroot "$tree" readlink -f "$file")
    [ "$(stat -c %s "$tree$file")" -gt 16777216 ] || echo "${file#/}"
done | sort -u >"$tree/usr/lib/live/hot"

# Our initramfs boots it; Debian's does not know how.
rm -f "$tree"/boot/initrd.img-* "$tree"/initrd.img* "$tree"/vmlinuz*

# What RedoxFS cannot hold. Devices come with devtmpfs; names with colons go to an archive.
rm -rf "$tree"/dev/* "$tree"/run/* "$tree"/tmp/*
find "$tree" -xdev \( -type p -o -type s -o -type b -o -type c \) -delete
(cd "$tree" && find . -xdev -name '*:*' ! -type d -print0 | sort -z >/tmp/live-names.$$ &&
    tar --null --no-recursion --files-from=/tmp/live-names.$$ -czf usr/lib/live/names.tar.gz &&
    xargs -0 -r rm -f </tmp/live-names.$$ && rm -f /tmp/live-names.$$)
