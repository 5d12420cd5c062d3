# The words of the command line. docs/reference/boot-words.md has the grammar, formats/cmdline/root.py the other reader.

# one NAME OLD NEW: a word that may come only once, or twice with the same value.
one() {
    [ -z "$2" ] || [ "$2" = "$3" ] || fail words "$1 comes twice, as $2 and as $3"
    [ -n "$3" ] || fail words "$1 is empty"
}

# lower TEXT: in $lowered.
lower() {
    lowered=$1
    case $1 in
    *[A-Z]*) lowered=$(echo "$1" | tr A-Z a-z) ;;
    esac
}

# read_words LINE: sets the variables below. Blanks in quotes stand for themselves (lib/cmdline.c, next_arg).
read_words() {
    local word value blank old_ifs
    root= file_system= mount_options= init_path= mode= wait_seconds=10
    root_hash= verity_data= verity_hash= verity_options= lvm_by_name= logical_volume= ubi_volume=
    slot= hash_slot= said_on_fail=
    # First of all: it is for faults of the words too.
    case " $1 " in
    *" bootpath.onfail=shell "*) on_fail=shell ;;
    *" bootpath.onfail=halt "*) on_fail=halt ;;
    esac
    blank=$(printf '\037')
    old_ifs=$IFS
    case $1 in
    *\"*)
        set -- "$(echo "$1" | awk -F'"' '{ for (i = 1; i <= NF; i++) { if (i % 2 == 0) gsub(/[ \t]/, "\037", $i)
            printf "%s", $i } }')"
        ;;
    esac
    for word in $1; do
        case $word in
        *"$blank"*)
            IFS=$blank
            set -- $word
            IFS=' '
            word="$*"
            IFS=$old_ifs
            ;;
        esac
        value=${word#*=}
        case $word in
        --) break ;;
        ro | rw) mode=$word ;;
        rootwait) wait_seconds=999999999 ;;
        rootwait=* | rootdelay=*) wait_seconds=$value ;;
        root=*) root=$value ;;
        rootfstype=*) file_system=$value ;;
        rootflags=*) mount_options=$value ;;
        init=*) init_path=$value ;;
        roothash=*) lower "$value"; one roothash "$root_hash" "$lowered"; root_hash=$lowered ;;
        systemd.verity_root_data=*) one "${word%%=*}" "$verity_data" "$value"; verity_data=$value ;;
        systemd.verity_root_hash=*) one "${word%%=*}" "$verity_hash" "$value"; verity_hash=$value ;;
        systemd.verity_root_options=*) one "${word%%=*}" "$verity_options" "$value"; verity_options=$value ;;
        rd.lvm.lv=?* | rd.lvm.vg=?*) lvm_by_name="$lvm_by_name $value" ;;
        bootpath.lv=*) one bootpath.lv "$logical_volume" "$value"; logical_volume=$value ;;
        bootpath.ubi=*) one bootpath.ubi "$ubi_volume" "$value"; ubi_volume=$value ;;
        bootpath.slot=*) lower "$value"; one bootpath.slot "$slot" "$lowered"; slot=$lowered ;;
        bootpath.hash_slot=*) lower "$value"; one bootpath.hash_slot "$hash_slot" "$lowered"; hash_slot=$lowered ;;
        bootpath.onfail=*) one bootpath.onfail "$said_on_fail" "$value"; said_on_fail=$value ;;
        bootpath.*) fail words "$word is not known" ;;
        esac
    done
    check_words
    choose_devices
}

# reboot_on_panic: with onfail=reboot a panic is a failure like any other; the kernel's own default is to hang for ever.
reboot_on_panic() {
    local seconds
    read -r seconds < /proc/sys/kernel/panic
    [ "$on_fail" != reboot ] || [ "$seconds" != 0 ] || echo 5 > /proc/sys/kernel/panic
}

check_words() {
    case $said_on_fail in
    '' | reboot | shell | halt) on_fail=${said_on_fail:-reboot} ;;
    *) fail words "bootpath.onfail is $said_on_fail, expected reboot, shell or halt" ;;
    esac
    case $wait_seconds in
    '' | *[!0-9]* | ??????????*) fail words "rootdelay is $wait_seconds, expected seconds" ;;
    esac
    wait_seconds=$((1${wait_seconds} - 1$(echo "$wait_seconds" | tr 0-9 0)))  # 08 is no octal number
    case $root_hash in
    *[!0-9a-f]*) fail words "roothash is not hexadecimal" ;;
    esac
    if [ -n "$root_hash" ]; then
        has verity || fail words "roothash= needs an initramfs built --with verity"
        [ ${#root_hash} -ge 32 ] && [ ${#root_hash} -le 128 ] && [ $((${#root_hash} % 2)) = 0 ] ||
            fail words "roothash has ${#root_hash} digits, expected an even number from 32 to 128"
    elif [ -n "$verity_data$verity_hash$verity_options$hash_slot" ]; then
        fail words "words of verity come without roothash="
    fi
    [ -z "$lvm_by_name" ] || has lvm || fail words "rd.lvm words need an initramfs built --with lvm"
}

# Where the data is, and verity's tree: in $data and $hash. More than one place for the data is refused.
choose_devices() {
    local place
    data=
    [ -z "$root_hash" ] || [ "$root" != /dev/mapper/root ] || root=
    for place in "$verity_data" "${logical_volume:+LV=$logical_volume}" "${ubi_volume:+UBI=$ubi_volume}" "$root"; do
        [ -n "$place" ] || continue
        [ -z "$data" ] || [ "$data" = "$place" ] || fail words "the data is said to be on $data and on $place"
        data=$place
    done
    if [ -n "$root_hash" ]; then
        hash=$verity_hash
        # DPS: the data partition's UUID is the first 128 bits of the root hash, the hash partition's the last.
        [ -n "$data" ] || { as_guid "${root_hash:0:32}"; data=PARTUUID=$guid; }
        case ,$verity_options in
        *,hash-offset=*) hash=${hash:-$data} ;;
        esac
        [ -n "$hash" ] || { as_guid "${root_hash:$((${#root_hash} - 32))}"; hash=PARTUUID=$guid; }
    fi
    [ -n "$data" ] || fail words "nothing says where the root is: no root=, roothash= or bootpath. word"
    check_place data "$data" "$slot"
    [ -z "$root_hash" ] || check_place hash "$hash" "$hash_slot"
}

# as_guid HEX: 32 hexadecimal digits with dashes; in $guid.
as_guid() {
    guid=${1:0:8}-${1:8:4}-${1:12:4}-${1:16:4}-${1:20:12}
}

# check_place WHAT DEVICE SLOT: what can be known before any device is there.
check_place() {
    case $2 in
    LV=*/*) has lvm || fail words "$2 needs an initramfs built --with lvm" ;;
    UBI=*:*) has ubi || fail words "$2 needs an initramfs built --with ubi" ;;
    PARTUUID=?* | UUID=?* | LABEL=?* | /dev/?*) ;;
    *) fail words "the $1 device is $2, expected PARTUUID=, UUID=, LABEL=, LV=, UBI= or /dev/" ;;
    esac
    [ -n "$3" ] || return 0
    case $2 in
    LV=* | UBI=* | /dev/mapper/*) fail words "a slot is said of $2, which is no partition" ;;
    esac
    case $3 in
    *-*-*-*-*:[1-9]*:[0-9]*) ;;
    *) fail words "the slot is $3, expected <disk guid>:<entry number>:<first lba>" ;;
    esac
}
