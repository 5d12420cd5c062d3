# LVM2 through its own program. A volume is found by its UUID: names may be taken twice, by a copy of a disk.

# lvm_says ARGUMENTS: runs lvm; what it said last is in $line when it fails.
lvm_says() {
    lvm "$@" > /run/bootpath/lvm 2>&1 && return
    last_line /run/bootpath/lvm
    return 1
}

# open_volume VG_UUID/LV_UUID: activates it when all it needs is there; its node is in $device.
open_volume() {
    local vg_uuid=${1%/*} lv_uuid=${1#*/} uuid line
    case $1 in
    *[!A-Za-z0-9/-]*) fail lvm "$1 is not <VG uuid>/<LV uuid>" ;;
    esac
    lvm_says lvchange --sysinit -ay --select "vg_uuid=$vg_uuid && lv_uuid=$lv_uuid" || trouble="lvm: $line"
    # lib/activate/dev_manager.c: the UUID of the device is LVM- and both, without dashes.
    uuid=LVM-$(echo "$vg_uuid$lv_uuid" | tr -d -)
    mapped_as "$uuid"
}

# mapped_as UUID: the device-mapper device that has it, or nothing; in $device.
mapped_as() {
    local path found
    device=
    set +f
    for path in /sys/block/dm-*; do
        [ -e "$path/dm/uuid" ] || continue
        read -r found < "$path/dm/uuid"
        [ "$found" != "$1" ] || device=/dev/${path##*/}
    done
    set -f
}

# activate_by_name: what rd.lvm.lv= and rd.lvm.vg= name; a device that is missing is awaited by whoever needs it.
activate_by_name() {
    local name line
    for name in $lvm_by_name; do
        case $name in
        -*) fail lvm "$name is not the name of a group or volume" ;;
        */*) lvm_says lvchange --sysinit -ay "$name" ;;
        *) lvm_says vgchange --sysinit -ay "$name" ;;
        esac || fail lvm "$name: $line"
    done
    report lvm activated "${lvm_by_name# }"
}
