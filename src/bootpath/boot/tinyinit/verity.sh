# dm-verity: the table that Linux wants, from the superblock (veritysetup's, version 1) or from the options.
#
# The superblock is not trusted: numbers are made of its digits, and the algorithm is a plain name, so nothing in it can
# become another argument of the table. If it is wrong, the data does not match the root hash.

# open_verity DATA HASH: /dev/mapper/root; in $root_device.
open_verity() {
    local superblock=yes hash_offset=0 version=1 data_bytes=4096 hash_bytes=4096 blocks= salt= algorithm=sha256
    local uuid= options= count=0 line start
    signature=
    read_options
    if [ $superblock = yes ]; then
        read_superblock "$2"
        start=$(((hash_offset + 512 + hash_bytes - 1) / hash_bytes))
    else
        [ -n "$blocks" ] || fail verity "superblock=no needs data-blocks="
        [ $((hash_offset % hash_bytes)) = 0 ] || fail verity "hash-offset=$hash_offset is not at a hash block"
        start=$((hash_offset / hash_bytes))
    fi
    [ -z "$signature" ] || {
        load_signature
        options="$options root_hash_sig_key_desc bootpath:root"
        count=$((count + 2))
    }
    [ $count = 0 ] || options=" $count$options"
    dmsetup create root --readonly ${uuid:+--uuid "CRYPT-VERITY-$uuid-root"} --table \
        "0 $((blocks * (data_bytes / 512))) verity $version $1 $2 $data_bytes $hash_bytes $blocks $start $algorithm $root_hash ${salt:--}$options" \
        > /run/bootpath/dmsetup 2>&1 || refused
    root_device=/dev/mapper/root
    # Its first block, so that a wrong root hash is told before anything is made of what it hides.
    dd if=$root_device of=/dev/null bs="$data_bytes" count=1 2> /dev/null || {
        ! is_corrupt || mismatch
        fail verity "cannot read $1"
    }
    report verity opened "$root_device${signature:+, its signature is good}"
}

# refused: the kernel does not take the table; dmsetup says little, the kernel's log says why.
refused() {
    local line
    line=$(dmesg | sed -n 's/.*device-mapper: \(table: \|verity: \).*verity: //p; s/.*device-mapper: verity: //p' | tail -n 1)
    [ -n "$line" ] || last_line /run/bootpath/dmsetup
    fail verity "the kernel refuses the root hash: $line"
}

# mismatch: what a read has found.
mismatch() {
    fail verity "$data_device does not match its root hash $root_hash"
}

# is_corrupt: whether the kernel has met a block that does not match (dm-verity.rst, "Status": V or C).
is_corrupt() {
    [ -n "$root_hash" ] || return
    case $(dmsetup status root) in
    *C) return 0 ;;
    esac
    return 1
}

# number_of OPTION: its value is a decimal number; in $number_read.
number_of() {
    number_read=${1#*=}
    case $number_read in
    '' | *[!0-9]* | 0?* | ????????????????*) fail verity "$1 is not a number" ;;
    esac
}

# read_options: veritytab(5), as far as it is known; what is not is refused.
read_options() {
    local option old_ifs=$IFS value
    IFS=,
    for option in $verity_options; do
        IFS=$old_ifs
        value=${option#*=}
        case $option in
        superblock=yes | superblock=no | superblock=true | superblock=false | superblock=1 | superblock=0)
            case $value in yes | true | 1) superblock=yes ;; *) superblock=no ;; esac
            ;;
        hash-offset=*) number_of "$option"; hash_offset=$number_read ;;
        format=0 | format=1) version=$value ;;
        data-block-size=*) number_of "$option"; data_bytes=$number_read ;;
        hash-block-size=*) number_of "$option"; hash_bytes=$number_read ;;
        data-blocks=*) number_of "$option"; blocks=$number_read ;;
        salt=*) lower "$value"; salt=${lowered#-} ;;
        hash=*) algorithm=$value ;;
        root-hash-signature=?*) signature=$value ;;
        ignore-corruption | restart-on-corruption | panic-on-corruption | ignore-zero-blocks | check-at-most-once)
            options="$options $(echo "$option" | tr - _)"
            count=$((count + 1))
            ;;
        *) fail verity "the option $option is not known" ;;
        esac
        IFS=,
    done
    IFS=$old_ifs
    check_table
}

# check_table: that each is one plain argument, wherever it comes from.
check_table() {
    case $salt in
    *[!0-9a-f]*) fail verity "the salt is not hexadecimal" ;;
    esac
    case $algorithm in
    '' | *[!a-z0-9_-]*) fail verity "the hash algorithm is not a name" ;;
    esac
    case $data_bytes:$hash_bytes in
    *[!0-9:]*) fail verity "the block sizes are $data_bytes and $hash_bytes" ;;
    esac
    [ "$data_bytes" -ge 512 ] && [ "$hash_bytes" -ge 512 ] && [ $((data_bytes % 512)) = 0 ] ||
        fail verity "the block sizes are $data_bytes and $hash_bytes"
}

# read_superblock DEVICE: 512 bytes at hash_offset.
read_superblock() {
    local hex size
    [ $((hash_offset % 512)) = 0 ] || fail verity "hash-offset=$hash_offset is not at a sector"
    hex=$(dd if="$1" bs=512 skip=$((hash_offset / 512)) count=1 2> /dev/null | hexdump -v -e '1/1 "%02x"')
    # "verity", two NULs, version 1
    case $hex in
    766572697479000001000000*) ;;
    *) fail verity "$1 has no superblock of verity at byte $hash_offset" ;;
    esac
    number_at "$hex" 12 4; version=$number_read
    uuid=${hex:32:32}
    algorithm=$(printf "$(echo "${hex:64:64}" | sed 's/\(00\)*$//; s/../\\x&/g')")
    number_at "$hex" 64 4; data_bytes=$number_read
    number_at "$hex" 68 4; hash_bytes=$number_read
    number_at "$hex" 72 8; blocks=$number_read
    number_at "$hex" 80 2; size=$number_read
    [ "$size" -le 256 ] || fail verity "the superblock of $1 has a salt of $size bytes"
    salt=${hex:176:$((size * 2))}
    check_table
}

# load_signature: gives the kernel the PKCS#7 of the root hash, as a key that the table names.
load_signature() {
    local line
    case $signature in
    base64:*) echo "${signature#base64:}" | base64 -d > /run/bootpath/signature 2> /dev/null ;;
    /dev/* | *=*)
        # The partition of a discoverable image: JSON, NULs behind it.
        find_device signature "$signature" ''
        tr -d '\0' < "$device" | tr , '\n' | sed -n 's/.*"signature" *: *"\([A-Za-z0-9+/=]*\)".*/\1/p' |
            base64 -d > /run/bootpath/signature 2> /dev/null
        ;;
    /*) cat "$signature" > /run/bootpath/signature 2> /dev/null ;;
    *) fail verity "root-hash-signature is $signature, expected base64:, a path or a device" ;;
    esac
    [ -s /run/bootpath/signature ] || fail verity "there is no signature in $signature"
    keyctl padd user bootpath:root @u < /run/bootpath/signature > /run/bootpath/keyctl 2>&1 || {
        last_line /run/bootpath/keyctl
        fail verity "the kernel does not take the signature: $line"
    }
}
