# What is said on the console, and how it ends when there is no root.

on_fail=reboot

# report UNIT WHAT [DETAIL]: an event, as bootpath's host side reads them back. The seconds count from the kernel's start.
report() {
    local up idle
    read -r up idle < /proc/uptime
    echo "bootpath: @${up}0 $1 $2${3:+: $3}"
}

# fail UNIT TEXT: one clear line, then what bootpath.onfail= says. Never returns.
fail() {
    echo "bootpath: $1: $2"
    report init "ends here" "onfail=$on_fail"
    case $on_fail in
    shell)
        setsid cttyhack sh
        report init "ends here" "the shell has ended, reboot"
        ;;
    halt)
        drain
        halt -f
        ;;
    esac
    drain
    reboot -f
    while :; do sleep 1000; done
}

# Waits until the console has sent everything: stty sets what is set already with TCSADRAIN.
drain() {
    sync
    stty echo < /dev/console 2> /dev/null
}

# last_line FILE: the last line of what a program said; in $line.
last_line() {
    local next
    line=
    while read -r next; do [ -z "$next" ] || line=$next; done < "$1"
}

# has PART: whether this initramfs was built with it.
has() {
    [ -e "/lib/bootpath/$1.sh" ]
}
