# UBI on raw flash: its device, a volume of it, and for other file systems than UBIFS a read-only block device on that.

# load_ubi: its modules' parameters may name disks (block2mtd) and what is attached, so they wait until devices are there.
load_ubi() {
    # A module that is not there is not needed.
    modprobe -q block2mtd
    modprobe -q nandsim
    modprobe -q ubi 2> /run/bootpath/ubi || [ -e /dev/ubi_ctrl ] || {
        last_line /run/bootpath/ubi
        fail ubi "${line:-the kernel has no UBI}"
    }
}

# open_ubi MTD:VOLUME: $device is the block device, or ubiX_Y for UBIFS; empty while the flash is not there.
open_ubi() {
    local mtd=${1%:*} volume=${1##*:} number found line ubi=
    device=
    load_ubi
    mtd_number "$mtd"
    [ -n "$number" ] || { trouble="no flash is named $mtd"; return; }
    ubi_on "$number"
    if [ -z "$ubi" ]; then
        ubiattach -m "$number" > /run/bootpath/ubi 2>&1 || {
            last_line /run/bootpath/ubi
            fail ubi "cannot attach mtd$number: ${line#ubiattach: }"
        }
        ubi_on "$number"
    fi
    find_volume "$ubi" "$volume"
    [ -n "$found" ] || fail ubi "no volume of mtd$number is named $volume"
    if [ "$file_system" = ubifs ]; then
        device=$found
        return
    fi
    [ -b "/dev/ubiblock${found#ubi}" ] || ubiblock --create "/dev/$found" > /run/bootpath/ubi 2>&1 || {
        last_line /run/bootpath/ubi
        fail ubi "cannot make a block device of $volume: ${line#ubiblock: }"
    }
    device=/dev/ubiblock${found#ubi}
}

# open_ubifs UBI:VOLUME: the same for a volume as Linux names it, ubi0:root, of what ubi.mtd= attached.
open_ubifs() {
    local ubi=${1%%:*} found line
    device=
    load_ubi
    [ -e "/sys/class/ubi/$ubi" ] || { trouble="$ubi is not attached: ubi.mtd= says on which flash it is"; return; }
    find_volume "$ubi" "${1#*:}"
    [ -n "$found" ] || fail ubi "no volume of $ubi is named ${1#*:}"
    device=$found
}

# find_volume UBI NAME: the volume of this name, ubiX_Y; in $found, empty when there is none.
find_volume() {
    local path line
    found=
    set +f
    for path in /sys/class/ubi/"$1"_*; do
        [ -e "$path/name" ] || continue
        read -r line < "$path/name"
        [ "$line" != "$2" ] || found=${path##*/}
    done
    set -f
}

# mtd_number NAME_OR_NUMBER: in $number; empty when there is none.
mtd_number() {
    local device size erase name count=0
    number=
    while read -r device size erase name; do
        [ "$device" = "mtd$1:" ] || [ "$name" = "\"$1\"" ] || continue
        count=$((count + 1))
        number=${device#mtd}
        number=${number%:}
    done < /proc/mtd
    [ $count -le 1 ] || fail ubi "$1 is ambiguous: $count flash devices have this name"
}

# ubi_on MTD_NUMBER: the UBI device that is attached to it; in $ubi.
ubi_on() {
    local path found
    set +f
    for path in /sys/class/ubi/ubi*; do
        [ -e "$path/mtd_num" ] || continue
        read -r found < "$path/mtd_num"
        [ "$found" != "$1" ] || ubi=${path##*/}
    done
    set -f
}
