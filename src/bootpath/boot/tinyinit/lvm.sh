# LVM2 through its own program. A volume is found by its UUID: names may be taken twice, by a copy of a disk.

# lvm_says ARGUMENTS: runs lvm; what it said last is in $line when it fails.
lvm_says() {
    lvm "$@" > /run/bootpath/lvm 2>&1 && return
    last_line /run/bootpath/lvm
    return 1
}

# open_volume VG_UUID/LV_UUID[/PARTITION] SLOT: activates it when all it needs is there; its node is in $device.
open_volume() {
    local vg_uuid=${1%%/*} lv_uuid=${1#*/} uuid line partition=
    case $lv_uuid in
    */*) partition=${lv_uuid#*/}; lv_uuid=${lv_uuid%%/*} ;;
    esac
    case $1 in
    *[!A-Za-z0-9/-]*) fail lvm "$1 is not <VG uuid>/<LV uuid>" ;;
    esac
    lvm_says lvchange --sysinit -ay --select "vg_uuid=$vg_uuid && lv_uuid=$lv_uuid" || trouble="lvm: $line"
    # lib/activate/dev_manager.c: the UUID of the device is LVM- and both, without dashes.
    uuid=LVM-$(echo "$vg_uuid$lv_uuid" | tr -d -)
    mapped_as "$uuid"
    [ -z "$device" ] || [ -z "$partition" ] || open_partition "$device" "$uuid" "$partition" "$2"
}

# open_partition VOLUME UUID NUMBER SLOT: a device of an entry of the volume's own GPT, named as by kpartx; in $device.
# The kernel makes none: it looks for partitions on disks only.
open_partition() {
    local sector table node partuuid place first= last name line
    mapped_as "part$3-$2"
    [ -z "$device" ] || return 0
    # The image was made for blocks of one size, whatever the disk has.
    for sector in 512 4096; do
        table=$(dd if="$1" bs=$sector skip=1 count=1 2> /dev/null | hexdump -v -n 92 -e '1/1 "%02x"')
        case $table in
        4546492050415254*) break ;;
        esac
        table=
    done
    [ -n "$table" ] || { trouble="$1 has no GPT"; return; }
    list_gpt "${1##*/}" $sector "$table" > /run/bootpath/volume
    while read -r node partuuid place last; do
        case $place in
        *:"$3":*) first=${place##*:}; break ;;
        esac
    done < /run/bootpath/volume
    [ -n "$first" ] || { trouble="the volume has no partition $3"; return; }
    [ -z "$4" ] || [ "$place" = "$4" ] || { trouble="not at the slot $4, but $place"; return; }
    read -r name < "/sys/block/${1##*/}/dm/name"
    dmsetup create "${name}p$3" ${root_hash:+--readonly} --uuid "part$3-$2" --table \
        "0 $(((last + 1 - first) * (sector / 512))) linear $1 $((first * (sector / 512)))" > /run/bootpath/dmsetup 2>&1 || {
        last_line /run/bootpath/dmsetup
        fail lvm "the kernel refuses partition $3 of $name: $line"
    }
    mapped_as "part$3-$2"
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
