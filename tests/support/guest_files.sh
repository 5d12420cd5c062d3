#!/bin/sh
# What a test guest is made of: the distribution's kernel with its modules, a static busybox, nbd-client, and what an
# initramfs without Python takes its programs from.
#
#   guest_files.sh DIRECTORY [ARCHITECTURE]
#
# Without an architecture (of dpkg: arm64) it is this machine's. Another one's package lists are fetched into DIRECTORY:
# apt and dpkg of this machine do not learn of it.
#
# The packages are downloaded and unpacked, never installed, so any user may run this. It leaves in DIRECTORY/root:
#   boot/vmlinuz-<release>                       one kernel
#   lib/modules/<release>/ or usr/lib/modules/   its modules
#   bin/busybox or usr/bin/busybox               statically linked
#   sbin/nbd-client or usr/sbin/nbd-client       for libc in Debian's place
#   sbin/lvm, dmsetup, ubiattach, bin/keyctl …   with the libraries they need, somewhere below
#   shared/busybox                               the one that needs libc
#   usr/lib/shim/shim*.efi.signed                the boot loader that Microsoft signed, on PCs
# and touches DIRECTORY/.stamp. Debian and Ubuntu name their kernels differently; everything else is the same.
set -eu

[ $# = 1 ] || [ $# = 2 ] || { echo 'usage: guest_files.sh DIRECTORY [ARCHITECTURE]' >&2; exit 2; }
for tool in apt-get apt-cache dpkg-deb; do
    command -v "$tool" >/dev/null || { echo "guest files: no $tool; they come from Debian or Ubuntu packages" >&2; exit 1; }
done

# The versioned package behind a name that only follows the newest kernel.
newest() {
    apt-cache depends --important "$1" 2>/dev/null | sed -n 's/^ *Depends: \('"$2"'-[0-9][^ ]*\)$/\1/p' | head -n 1
}

directory=$1
host=$(dpkg --print-architecture)
machine=${2:-$host}
if [ "$machine" != "$host" ]; then
    lists=$(realpath -m "$directory")/apt
    mkdir -p "$lists/lists/partial" "$lists/cache/archives/partial"
    : > "$lists/status"
    {
        printf 'APT::Architecture "%s";\nAPT::Architectures { "%s"; };\n' "$machine" "$machine"
        printf 'Dir::State "%s";\nDir::State::status "%s/status";\nDir::Cache "%s/cache";\n' "$lists" "$lists" "$lists"
        printf 'APT::Sandbox::User "%s";\n' "$(id -un)"
        # What no download needs.
        printf 'Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";\nAcquire::Languages "none";\n'
    } > "$lists/apt.conf"
    if grep -qx 'ID=ubuntu' /etc/os-release; then
        # Its archive has PCs only, the others are elsewhere.
        codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
        for suite in "$codename" "$codename-updates"; do
            echo "deb http://ports.ubuntu.com/ubuntu-ports $suite main universe"
        done > "$lists/sources.list"
        printf 'Dir::Etc::sourcelist "%s/sources.list";\nDir::Etc::sourceparts "/dev/null";\n' "$lists" >> "$lists/apt.conf"
    fi
    export APT_CONFIG="$lists/apt.conf"
    apt-get -qq update
fi
kernel=
find_kernel() {
    kernel=$(newest "linux-image-$machine" linux-image)                          # Debian
    [ -n "$kernel" ] || kernel=$(newest linux-image-virtual linux-image)         # Ubuntu
    [ -n "$kernel" ]
}
find_kernel || { [ "$(id -u)" = 0 ] && apt-get update -qq && find_kernel; } ||
    { echo "guest files: apt knows no kernel package; run apt-get update" >&2; exit 1; }
modules=$(newest "$kernel" linux-modules)  # Ubuntu keeps the modules apart

rm -rf "$directory/root" "$directory/packages" "$directory/.stamp"
mkdir -p "$directory/root" "$directory/packages"
cd "$directory/packages"
# root's downloads would be done as _apt, which may not write here.
sandbox=
[ "$(id -u)" != 0 ] || sandbox='-o APT::Sandbox::User=root'
# shellcheck disable=SC2086  # each word is an argument of its own, or none
apt-get $sandbox -qq download "$kernel" $modules busybox-static nbd-client
# Every library the programs need, from libc on; of alternatives the first. Debian and Ubuntu name some differently.
programs='lvm2 dmsetup mtd-utils keyutils'
libraries=$(apt-cache depends --recurse -o APT::Cache::ShowOnlyFirstOr=true --no-recommends --no-suggests \
    --no-conflicts --no-breaks --no-replaces --no-enhances $programs | sed -n '/elogind/d; s/^\(lib[^ :]*\)$/\1/p' | sort -u)
# shellcheck disable=SC2086
apt-get $sandbox -qq download $programs $libraries
# Signed for PCs only, and no guest but one needs it.
[ "$machine" != amd64 ] || apt-get $sandbox -qq download shim-signed || echo 'guest files: no shim-signed' >&2
for package in *.deb; do
    dpkg-deb -x "$package" ../root
done
mkdir shared
cd shared
# shellcheck disable=SC2086
apt-get $sandbox -qq download busybox
dpkg-deb -x busybox_*.deb .
mkdir ../../root/shared
for busybox in bin/busybox usr/bin/busybox; do
    if [ -f $busybox ]; then mv $busybox ../../root/shared/busybox; fi
done
cd ..
cd ..
rm -rf packages

set -- root/boot/vmlinuz-*
[ -f "$1" ] || { echo "guest files: $kernel has no boot/vmlinuz-*" >&2; exit 1; }
chmod a+r root/boot/*
touch .stamp
