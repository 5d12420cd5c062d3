# Kernel modules, and the devices that parameters name. Where two devices match, a slot decides, or the boot ends.

# The modules of /etc/bootpath/modules but file systems, which mount needs one of, and flash, which waits for its parameters.
load_modules() {
    local path name names=
    while read -r path; do
        name=${path##*/}
        case ${name%.ko} in
        ext4 | squashfs | erofs | ubifs | ubi | block2mtd | nandsim) ;;
        *) names="$names ${name%.ko}" ;;
        esac
    done < /etc/bootpath/modules
    [ -z "$names" ] || modprobe -a $names 2> /run/bootpath/modprobe || {
        last_line /run/bootpath/modprobe
        fail modules "${line:-modprobe has failed}"
    }
    report modules loaded
}

# centiseconds UPTIME: as a number without zeros before it, which would make it octal; in $now.
centiseconds() {
    now=$((${1%.*} * 100 + 1${1#*.} - 100))
}

# find_device WHAT DEVICE SLOT: waits for it; its node is in $device.
find_device() {
    local seen= there end now up idle lowered
    read -r up idle < /proc/uptime
    centiseconds "$up"
    end=$((now + wait_seconds * 100))
    trouble=
    while :; do
        list_nodes
        # Looking is work: only when a device has come or gone.
        if [ "$there" != "$seen" ]; then
            seen=$there
            device=
            case $2 in
            PARTUUID=*) list_rows; lower "${2#*=}"; same_partuuid "$lowered"; choose "$2" "$3" ;;
            UUID=* | LABEL=*) list_rows; same_contents "$2"; choose "$2" "$3" ;;
            LV=*) open_volume "${2#*=}" "$3" ;;
            UBI=*) open_ubi "${2#*=}" ;;
            ubi[0-9]*:*) open_ubifs "$2" ;;
            *)
                list_rows
                : > /run/bootpath/candidates
                [ ! -b "$2" ] || { place_of "$2"; echo "$2 $place" > /run/bootpath/candidates; }
                choose "$2" "$3"
                ;;
            esac
            if [ -n "$device" ]; then
                report devices "found the $1" "$2 is $device"
                return
            fi
        fi
        read -r up idle < /proc/uptime
        centiseconds "$up"
        [ $now -lt $end ] || fail devices "no $1 device $2 after $wait_seconds s${trouble:+: $trouble}"
        sleep 0.1
    done
}

# list_nodes: all devices there are, in $there.
list_nodes() {
    set +f
    set -- /dev/*
    set -f
    there="$*"
}

listed=

# list_rows: the partitions of every disk, one a line, in /run/bootpath/rows:
#   NODE PARTUUID DISK:ENTRY:FIRST_LBA [LAST_LBA]
# DISK is the GPT's GUID, or an MBR's signature. Source: UEFI 2.10 §5.3; block/partitions/msdos.c for PARTUUIDs of an MBR.
# A partition that the kernel has not made yet has no node there, and is listed with "-": it may come. What was listed
# holds until a device comes or goes.
list_rows() {
    local disk there
    list_nodes
    [ "$there" != "$listed" ] || return 0
    listed=$there
    : > /run/bootpath/rows
    set +f
    for disk in /sys/block/*; do
        case ${disk##*/} in
        ram* | loop* | zram* | dm-* | sr* | fd* | mtdblock* | ubiblock*) ;;
        *) [ ! -e "/dev/${disk##*/}" ] || list_disk "${disk##*/}" >> /run/bootpath/rows ;;
        esac
    done
    set -f
}

# list_disk NAME: its rows, on stdout.
list_disk() {
    local sector table header
    read -r sector < "/sys/block/$1/queue/logical_block_size"
    # Protective MBR, or MBR; then the GPT's header, if there is one.
    table=$(dd if="/dev/$1" bs="$sector" count=2 2> /dev/null | hexdump -v -e '1/1 "%02x"')
    header=${table:$((sector * 2))}
    # With this parameter the kernel takes the copy at the end where the first one is damaged (block/partitions/efi.c).
    [ -z "$force_gpt" ] || sound_gpt "$1" "$sector" "$header" || last_header "$1" "$sector"
    case ${header:0:16} in
    4546492050415254) list_gpt "$1" "$sector" "${header:0:184}" ;;
    *) [ "${table:1020:4}" != 55aa ] || list_mbr "$1" "${table:880:8}" ;;
    esac
}

# last_header NAME SECTOR: the last block of the disk, in $header.
last_header() {
    local sectors
    read -r sectors < "/sys/block/$1/size"
    header=$(dd if="/dev/$1" bs="$2" skip=$((sectors * 512 / $2 - 1)) count=1 2> /dev/null |
        hexdump -v -e '1/1 "%02x"')
}

# sound_gpt NAME SECTOR HEADER: are it and its entries what their checksums say?
sound_gpt() {
    local length entries count size number_read
    [ "${3:0:16}" = 4546492050415254 ] || return 1
    number_at "$3" 12 4; length=$number_read
    number_at "$3" 72 8; entries=$number_read
    number_at "$3" 80 4; count=$number_read
    number_at "$3" 84 4; size=$number_read
    [ $length -ge 92 ] && [ $length -le "$2" ] && [ $((size * count)) -le 1048576 ] || return 1
    # The header's checksum is made while its own field is zero.
    [ "$(printf "$(echo "${3:0:32}00000000${3:40:$((length * 2 - 40))}" | sed 's/../\\x&/g')" | crc)" = "${3:32:8}" ] &&
        [ "$(dd if="/dev/$1" bs="$2" skip=$entries count=$(((size * count + $2 - 1) / $2)) 2> /dev/null |
            head -c $((size * count)) | crc)" = "${3:176:8}" ]
}

# crc: the CRC-32 of stdin, in the order of bytes in which a GPT has it: gzip ends with it, and with the length.
crc() {
    gzip -c | tail -c 8 | head -c 4 | hexdump -v -e '1/1 "%02x"'
}

# list_gpt NAME SECTOR HEADER
list_gpt() {
    local disk_guid entries count size hex number node guid number_read first
    mixed_guid "${3:112:32}"
    disk_guid=$guid
    number_at "$3" 72 8; entries=$number_read
    number_at "$3" 80 4; count=$number_read
    number_at "$3" 84 4; size=$number_read
    # UEFI: 128 * 2^n; the kernel reads as many as we do, and no table is as large as this.
    [ $size -ge 128 ] && [ $((size * count)) -le 1048576 ] || return
    dd if="/dev/$1" bs="$2" skip=$entries count=$(((size * count + $2 - 1) / $2)) 2> /dev/null |
        hexdump -v -n $((size * count)) -e "$size/1 \"%02x\" \"\\n\"" |
        grep -n -v '^00000000000000000000000000000000' |
        while IFS=: read -r number hex; do
            mixed_guid "${hex:32:32}"
            number_at "$hex" 32 8; first=$number_read
            number_at "$hex" 40 8
            node_of "$1" $number
            echo "$node $guid $disk_guid:$number:$first $number_read"
        done
}

# list_mbr NAME SIGNATURE: what the kernel made of it, by number.
list_mbr() {
    local path number start sector node
    read -r sector < "/sys/block/$1/queue/logical_block_size"
    for path in "/sys/block/$1/$1"*; do
        [ -e "$path/partition" ] || continue
        read -r number < "$path/partition"
        read -r start < "$path/start"
        printf '/dev/%s %s-%02x %s:%d:%d\n' "${path##*/}" "${2:6:2}${2:4:2}${2:2:2}${2:0:2}" "$number" \
            "${2:6:2}${2:4:2}${2:2:2}${2:0:2}" "$number" $((start * 512 / sector))
    done
}

# node_of DISK NUMBER: the node of a partition, or "-" while the kernel has none; in $node.
node_of() {
    node=-
    if [ -e "/sys/block/$1/$1$2/partition" ]; then
        [ ! -b "/dev/$1$2" ] || node=/dev/$1$2
    elif [ -e "/sys/block/$1/$1p$2/partition" ]; then
        [ ! -b "/dev/$1p$2" ] || node=/dev/$1p$2
    fi
}

# mixed_guid HEX: a GUID as GPT stores it, its first three fields little-endian; in $guid.
mixed_guid() {
    guid=${1:6:2}${1:4:2}${1:2:2}${1:0:2}-${1:10:2}${1:8:2}-${1:14:2}${1:12:2}-${1:16:4}-${1:20:12}
}

# number_at HEX OFFSET BYTES: a little-endian number; in $number_read.
number_at() {
    local at=$(($2 * 2)) text= left=$3
    while [ "$left" -gt 0 ]; do
        text=${1:$at:2}$text
        at=$((at + 2))
        left=$((left - 1))
    done
    number_read=$((0x$text))
}

# same_partuuid PARTUUID: the partitions that have it, with their places, in /run/bootpath/candidates.
same_partuuid() {
    local node partuuid place last
    while read -r node partuuid place last; do
        [ "$partuuid" != "$1" ] || echo "$node $place"
    done < /run/bootpath/rows > /run/bootpath/candidates
}

# same_contents NAME: the same for the UUID or LABEL of what is on them, which may be a volume too.
same_contents() {
    local node pairs name=${1%%=*} value=${1#*=}
    set +f
    set -- /sys/class/block/*
    set -f
    blkid $(for node; do echo "/dev/${node##*/}"; done) 2> /dev/null |
        while read -r node pairs; do
            case " $pairs" in
            *" $name=\"$value\""*) place_of "${node%:}"; echo "${node%:} $place" ;;
            esac
        done > /run/bootpath/candidates
}

# place_of NODE: DISK:ENTRY:FIRST_LBA, or "nowhere" for what is no partition; in $place.
place_of() {
    local node partuuid last
    while read -r node partuuid place last; do
        [ "$node" != "$1" ] || return 0
    done < /run/bootpath/rows
    place=nowhere
}

# choose NAME SLOT: the one candidate, or the one at the slot; in $device, if it is there.
choose() {
    local node place count=0 nodes= there= matches=0
    while read -r node place; do
        count=$((count + 1))
        nodes="$nodes $node ($place)"
        [ -n "$2" ] && [ "$place" != "$2" ] || { there=$node; matches=$((matches + 1)); }
    done < /run/bootpath/candidates
    if [ $matches -gt 1 ]; then
        fail devices "$1${2:+ at the slot $2} is ambiguous:$nodes"
    elif [ $count -gt 0 ] && [ $matches = 0 ]; then
        trouble="not at the slot $2, but$nodes"
    elif [ "$there" != - ]; then
        device=$there
    fi
}
