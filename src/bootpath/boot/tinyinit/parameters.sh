# The kernel parameters. docs/reference/kernel-command-line.md has the grammar; the other reader is formats/cmdline.

# one NAME OLD NEW: a parameter that may come only once, or twice with the same value.
one() {
    [ -z "$2" ] || [ "$2" = "$3" ] || fail parameters "$1 comes twice, as $2 and as $3"
    [ -n "$3" ] || fail parameters "$1 is empty"
}

# lower TEXT: in $lowered.
lower() {
    lowered=$1
    case $1 in
    *[A-Z]*) lowered=$(echo "$1" | tr A-Z a-z) ;;
    esac
}

# split_line LINE: its parameters with their quotes, one a line. As Linux (lib/cmdline.c, next_arg): outside quotes the
# blanks of lib/ctype.c separate, 0xa0 among them, and a quote that does not end reaches to the end. A line feed in
# quotes becomes \001, which no value may have.
split_line() {
    printf '%s\n' "$1" | LC_ALL=C awk '
        { text = text (NR > 1 ? "\n" : "") $0 }
        END {
            count = split(text, parts, "\"")
            for (i = 1; i <= count; i++) {
                if (i % 2)
                    gsub(/[ \t\n\v\f\r\240]+/, "\n", parts[i])
                else
                    gsub(/\n/, "\001", parts[i])
                printf "%s%s", (i > 1 ? "\"" : ""), parts[i]
            }
        }'
}

# read_parameter TEXT: its $name, with underscores for hyphens, and its $value, without the quotes around it;
# $has_value is empty when there is no equals sign.
read_parameter() {
    local text=$1 quoted=
    case $text in
    \"*) text=${text#\"}; quoted=yes ;;
    esac
    has_value= value=
    case $text in
    ?*=*)
        has_value=yes
        name=${text%%=*}
        value=${text#*=}
        case $value in
        \"*) value=${value#\"}; value=${value%\"} ;;
        *) [ -z "$quoted" ] || value=${value%\"} ;;
        esac
        ;;
    *)
        name=$text
        [ -z "$quoted" ] || name=${name%\"}
        ;;
    esac
    case $name in
    --) ;;
    *-*) name=$(echo "$name" | tr - _) ;;
    esac
}

# read_parameters LINE: sets the variables below.
read_parameters() {
    local parameter name value has_value old_ifs=$IFS
    root= file_system= mount_options= init_path= mode= wait_seconds=10
    root_hash= verity_data= verity_hash= verity_options= lvm_by_name= logical_volume= ubi_volume=
    slot= hash_slot= named_on_fail= force_gpt=
    IFS='
'
    set -- $(split_line "$1")
    IFS=$old_ifs
    # First of all: it is for faults of the parameters too.
    for parameter; do
        case $parameter in
        bootpath.onfail=shell) on_fail=shell ;;
        bootpath.onfail=halt) on_fail=halt ;;
        --) break ;;
        esac
    done
    for parameter; do
        read_parameter "$parameter"
        case $name${has_value:+=} in
        --) break ;;
        ro | rw) mode=$name ;;
        gpt) force_gpt=1 ;;
        rootwait) wait_seconds=999999999 ;;
        rootwait= | rootdelay=) wait_seconds=$value ;;
        root=) root=$value ;;
        rootfstype=) file_system=$value ;;
        rootflags=) mount_options=$value ;;
        init=) init_path=$value ;;
        roothash=) lower "$value"; one roothash "$root_hash" "$lowered"; root_hash=$lowered ;;
        systemd.verity_root_data=) one "$name" "$verity_data" "$value"; verity_data=$value ;;
        systemd.verity_root_hash=) one "$name" "$verity_hash" "$value"; verity_hash=$value ;;
        systemd.verity_root_options=) one "$name" "$verity_options" "$value"; verity_options=$value ;;
        rd.lvm.lv= | rd.lvm.vg=) [ -z "$value" ] || lvm_by_name="$lvm_by_name $value" ;;
        bootpath.lv=) one "$name" "$logical_volume" "$value"; logical_volume=$value ;;
        bootpath.ubi=) one "$name" "$ubi_volume" "$value"; ubi_volume=$value ;;
        bootpath.slot=) lower "$value"; one "$name" "$slot" "$lowered"; slot=$lowered ;;
        bootpath.hash_slot=) lower "$value"; one "$name" "$hash_slot" "$lowered"; hash_slot=$lowered ;;
        bootpath.onfail=) one "$name" "$named_on_fail" "$value"; named_on_fail=$value ;;
        bootpath.*) fail parameters "$parameter is not a parameter of bootpath" ;;
        esac
    done
    check_parameters
    choose_devices
}

# reboot_on_panic: with onfail=reboot a panic is a failure like any other; the kernel's own default is to hang for ever.
reboot_on_panic() {
    local seconds
    read -r seconds < /proc/sys/kernel/panic
    [ "$on_fail" != reboot ] || [ "$seconds" != 0 ] || echo 5 > /proc/sys/kernel/panic
}

# check_parameters: what each value may be.
check_parameters() {
    case $root$file_system$mount_options$init_path$verity_data$verity_hash$verity_options$logical_volume$ubi_volume in
    *[!\ -~]* | *\"*) fail parameters "a value has a quote, a control character, or one that is not ASCII" ;;
    esac
    case $named_on_fail in
    '' | reboot | shell | halt) on_fail=${named_on_fail:-reboot} ;;
    *) fail parameters "bootpath.onfail is $named_on_fail, expected reboot, shell or halt" ;;
    esac
    case $wait_seconds in
    '' | *[!0-9]* | ??????????*) fail parameters "rootdelay is $wait_seconds, expected seconds" ;;
    esac
    wait_seconds=$((1${wait_seconds} - 1$(echo "$wait_seconds" | tr 0-9 0)))  # 08 is no octal number
    case $root_hash in
    *[!0-9a-f]*) fail parameters "roothash is not hexadecimal" ;;
    esac
    if [ -n "$root_hash" ]; then
        has verity || fail parameters "roothash= needs an initramfs built --with verity"
        [ ${#root_hash} -ge 32 ] && [ ${#root_hash} -le 128 ] && [ $((${#root_hash} % 2)) = 0 ] ||
            fail parameters "roothash has ${#root_hash} digits, expected an even number from 32 to 128"
    elif [ -n "$verity_data$verity_hash$verity_options$hash_slot" ]; then
        fail parameters "verity's parameters come without roothash="
    fi
    [ -z "$lvm_by_name" ] || has lvm || fail parameters "rd.lvm parameters need an initramfs built --with lvm"
}

# choose_devices: where the data is, and verity's tree: in $data and $hash. More than one place for the data is refused.
choose_devices() {
    local place
    data=
    [ -z "$root_hash" ] || [ "$root" != /dev/mapper/root ] || root=
    for place in "$verity_data" "${logical_volume:+LV=$logical_volume}" "${ubi_volume:+UBI=$ubi_volume}" "$root"; do
        [ -n "$place" ] || continue
        [ -z "$data" ] || [ "$data" = "$place" ] || fail parameters "the data is said to be on $data and on $place"
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
    [ -n "$data" ] || fail parameters "no parameter names the root: no root=, roothash=, bootpath.lv= or bootpath.ubi="
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
    LV=*/*) has lvm || fail parameters "$2 needs an initramfs built --with lvm" ;;
    UBI=*:*) has ubi || fail parameters "$2 needs an initramfs built --with ubi" ;;
    ubi[0-9]:?* | ubi[0-9][0-9]:?*) has ubi || fail parameters "$2 needs an initramfs built --with ubifs" ;;
    PARTUUID=?* | UUID=?* | LABEL=?* | /dev/?*) ;;
    *) fail parameters "the $1 device is $2, expected PARTUUID=, UUID=, LABEL=, LV=, UBI=, ubi0: or /dev/" ;;
    esac
    [ -n "$3" ] || return 0
    case $2 in
    LV=*/*/*) ;;
    LV=* | UBI=* | ubi* | /dev/mapper/*) fail parameters "a slot is given for $2, which is not a partition" ;;
    esac
    case $3 in
    *-*-*-*-*:[1-9]*:[0-9]* | ????????:[1-9]*:[0-9]*) ;;
    *) fail parameters "the slot is $3, expected <disk guid or signature>:<partition number>:<first lba>" ;;
    esac
}
