# The root: mounted, looked at, and become.

# file_system_of DEVICE: what is on it, in $file_system, unless a parameter names it.
file_system_of() {
    local line
    case ${file_system:+said}$1 in
    said*) return ;;
    ubi[0-9]*) file_system=ubifs; return ;;
    esac
    # The magics of squashfs, erofs and ext4, little-endian, at 0, 1024 and 1024 + 0x38.
    line=$(dd if="$1" bs=2048 count=1 2> /dev/null | hexdump -v -e '1/1 "%02x"')
    case ${line:0:8}.${line:2048:8}.${line:2160:4} in
    68737173.*) file_system=squashfs ;;
    *.e2e1f5e0.*) file_system=erofs ;;
    *.53ef) file_system=ext4 ;;
    *)
        line=$(blkid "$1")
        case $line in
        *\ TYPE=\"*) file_system=${line##* TYPE=\"}; file_system=${file_system%%\"*} ;;
        *) [ -z "$root_hash" ] || ! is_corrupt || mismatch; fail root "there is no file system on $1 that is known" ;;
        esac
        ;;
    esac
}

# mount_root DEVICE: on /sysroot. What verity guards is read-only, whatever the parameters say.
mount_root() {
    local one old_ifs=$IFS line
    file_system_of "$1"
    [ -z "$root_hash" ] || mode=ro
    IFS=,
    for one in $file_system; do
        IFS=$old_ifs
        modprobe -q "$one"
        mount -t "$one" -o "${mode:-ro}${mount_options:+,$mount_options}" "$1" /sysroot 2> /run/bootpath/mount && {
            report root mounted "$1 $one ${mode:-ro}"
            return
        }
        IFS=,
    done
    IFS=$old_ifs
    [ -z "$root_hash" ] || ! is_corrupt || mismatch
    [ "$file_system" != ubifs ] || grep -q '[[:space:]]ubifs$' /proc/filesystems ||
        fail root "the kernel has no UBIFS: the initramfs is not built --with ubifs"
    last_line /run/bootpath/mount
    fail root "cannot mount $1 as $file_system: ${line#mount: }"
}

# check_init: the first program, and what interprets it, can be read to their ends; its path in the root is in $init_path.
check_init() {
    local path interpreter
    for path in ${init_path:-/sbin/init /etc/init /bin/init /bin/sh}; do
        real_path "$path"
        [ -n "$real" ] && [ -f "/sysroot$real" ] && [ -x "/sysroot$real" ] || continue
        read_whole "$path"
        read -r interpreter < "/sysroot$real"
        case $interpreter in
        '#!'*)
            real_path "$(echo "${interpreter#'#!'}" | sed 's/^ *//; s/ .*//')"
            read_whole "the interpreter of $path"
            ;;
        esac
        init_path=$path
        return
    done
    [ -z "$root_hash" ] || ! is_corrupt || mismatch
    fail root "there is no ${init_path:-/sbin/init} in the root"
}

# read_whole NAME: the file at $real, to its end.
read_whole() {
    cat "/sysroot$real" > /dev/null 2>&1 && return
    [ -z "$root_hash" ] || ! is_corrupt || mismatch
    fail root "$1 cannot be read"
}

# real_path PATH: behind symbolic links, as they are seen from inside the root; in $real, empty when they go in circles.
real_path() {
    local rest=$1 part target links=0
    real=
    while [ -n "$rest" ]; do
        rest=${rest#/}
        part=${rest%%/*}
        case $rest in
        */*) rest=/${rest#*/} ;;
        *) rest= ;;
        esac
        case $part in
        '' | .) continue ;;
        ..) real=${real%/*}; continue ;;
        esac
        if [ -L "/sysroot$real/$part" ]; then
            links=$((links + 1))
            [ $links -le 40 ] || { real=; return; }
            target=$(readlink "/sysroot$real/$part")
            case $target in
            /*) real= ;;
            esac
            rest=/$target$rest
        else
            real=$real/$part
        fi
    done
}

# leave ARGUMENTS: the initramfs is emptied, and the root's init takes its place.
leave() {
    local place up idle
    for place in dev proc sys run; do
        if [ -d "/sysroot/$place" ]; then mount -o move "/$place" "/sysroot/$place"; fi
    done
    if [ -e /sysroot/proc/uptime ]; then read -r up idle < /sysroot/proc/uptime; else read -r up idle < /proc/uptime; fi
    echo "bootpath: @${up}0 init pivots: to $init_path, ${up} s after the kernel started"
    exec switch_root /sysroot "$init_path" "$@"
}
