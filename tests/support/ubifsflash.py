"""A UBIFS on flash to which a kernel writes: the flash, what is done to it, and the kernel's listing beside ours."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.table.stack import Stack
from bootpath.formats.ubi.attach import read_ubi
from bootpath.fs.readers.files import FileKind, Files
from bootpath.fs.readers.open import open_files
from bootpath.vm.disks import Disk
from tests.support.filetrees import MAX_BYTES, make_tree
from tests.support.guestrun import Start, run_to_the_end
from tests.support.tinyroot import run
from tests.support.tools import tool
from tests.support.volumes import open_ubi_volume

PEB_BYTES = 16 << 10
VID_OFFSET = 448
LEB_BYTES = PEB_BYTES - 512
PEBS = 192
FLASH_BYTES = PEBS * PEB_BYTES
LISTING_BYTES = 1 << 20
STAGES = 8
"""How many copies of the flash the guest makes."""

_BEGIN = """\
#!/bin/sh
export PATH=/bin:/sbin:/usr/bin
end() { echo "$@"; dmesg | tail -n 25; poweroff -f; }
step() { "$@" > /tmp/said 2>&1 && return; cat /tmp/said; end "FAILED $* END"; }
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs devtmpfs /dev; mkdir -p /run /tmp /mnt /judge
mount -t debugfs debugfs /sys/kernel/debug
while read -r module; do case $module in
*block2mtd.ko) insmod "$module" block2mtd=/dev/vda,16384 ;;
*) insmod "$module" ;; esac; done < /etc/bootpath/modules
node() { mknod "/dev/$1" c $(sed 's/:/ /' "/sys/class/ubi/$1/dev") 2> /dev/null; }
copy() { dd if=/dev/mtd0 of=/dev/vdb bs=16k seek=$(($1 * 192)) conv=notrunc 2> /dev/null; }
list() { (cd "$1"; find . | sort | while read -r path; do
    if [ -L "$path" ]; then echo "$path|link|$(readlink "$path")"
    elif [ -f "$path" ]; then
        sum=$(sha256sum < "$path"); echo "$path|file|$(stat -c '%f|%s|%h|%Y' "$path")|${sum%% *}"
    else echo "$path|other|$(stat -c '%f|%h|%Y' "$path")"; fi; done); }
step ubiattach -m 0 -O 448
node ubi0_0
step mount -t ubifs ubi0:root /mnt
cd /mnt
"""

_END = """\
echo /dev/vdc,16384 > /sys/module/block2mtd/parameters/block2mtd
for stage in 0 1 2 3 4 5 6 7; do
    dd if=/dev/vdb of=/dev/vdc bs=16k skip=$((stage * 192)) count=192 2> /dev/null
    step ubiattach -m 1 -O 448
    node ubi1_0
    step mount -t ubifs -o ro ubi1:root /judge
    list /judge | dd of=/dev/vdd bs=1M seek=$stage conv=notrunc 2> /dev/null
    step umount /judge
    step ubidetach -m 1
done
sync
end "DONE END"
"""

# fsync writes to the journal, sync commits too. 0: the journal is all there is, and what was not written is lost.
# 1: after a commit, with more behind it. 2: truncations, files that come again, one that is held open.
# 3: unmounted in between. 4 and on: cut in a write, and recovered by the next mount.
UBIFS_INIT = (
    _BEGIN
    + """\
mkdir new; for one in $(seq 40); do seq $one $((one * 40)) > new/file$one; done
ln -s ../text new/link; ln text new/hard; mkfifo new/fifo; mknod new/null c 1 3
rm edges/4096 empty; mv many new/moved; chmod 600 vmlinuz; seq 20000 > zeros; fsync new/file* zeros; seq 100 > lost
copy 0
for one in $(seq 30); do seq $one 3000 > new/file$one; done; sync; echo 1 > new/added; rm new/file1
dd if=/dev/zero of=text bs=1000 seek=120 count=3 conv=notrunc 2> /dev/null; fsync text new/added
copy 1
truncate -s 5000 text; truncate -s 100000 text; seq 1000 | dd of=text bs=1 seek=70000 conv=notrunc 2> /dev/null
rm new/file2; echo again > new/file2; truncate -s 3 new/file3; rm -r deep; mkdir deep; echo x > deep/a
echo more >> new/file4; echo open > new/held; fsync text new/file* deep/a new/held; exec 7< new/held; rm new/held
mv new/file5 new/file6; ln new/file7 new/file8a; mkdir new/dir; rmdir new/dir; mkdir new/dir
echo y > new/dir/y; fsync new/dir/y
copy 2
exec 7<&-; cd /; step umount /mnt; step mount -t ubifs ubi0:root /mnt; cd /mnt
seq 500 > after; fsync after; cd /; step umount /mnt
copy 3
RANDOM=77
work() {
    for round in $(seq 3000); do
        one=new/random$((RANDOM % 50)); other=new/random$((RANDOM % 50))
        case $((RANDOM % 12)) in
        0 | 1 | 2) seq $RANDOM $((RANDOM % 3000 + 33000)) > $one || return ;;
        3) echo $RANDOM >> $one || return ;;
        4) rm -f $one || return ;;
        5) [ ! -e $one ] || mv $one $other || return ;;
        6) [ ! -e $one ] || truncate -s $((RANDOM % 40000)) $one || return ;;
        7) [ ! -e $one ] || ln -f $one $other ;;
        8) [ ! -e $one ] || fsync $one || return ;;
        9) ln -sf target$RANDOM new/link$((RANDOM % 10)) || return ;;
        10) mkdir -p new/dir$((RANDOM % 4))/deeper || return; rm -rf new/dir$((RANDOM % 4)) || return ;;
        11) dd if=/dev/zero of=$one bs=1000 seek=$((RANDOM % 60)) count=2 conv=notrunc,fsync || return ;;
        esac
    done
}
for stage in 4 5 6 7; do
    mount -t ubifs ubi0:root /mnt || end "FAILED mount END"
    cd /mnt; echo 1 > /sys/kernel/debug/ubifs/ubi0_0/tst_recovery; work > /dev/null 2>&1
    copy $stage; cd /; umount /mnt
done
"""
    + _END
)


def make_written_flash(path: Path) -> Path:
    """The flash before anything is done to it: mkfs.ubifs's image of the tree of `filetrees`, in a volume."""
    tree = make_tree(path.with_name("tree"))
    volume, config = path.with_suffix(".ubifs"), path.with_suffix(".ini")
    run(tool("mkfs.ubifs"), "-r", tree, "-m", 8, "-e", LEB_BYTES, "-c", 170, "-x", "lzo", "-j", "256KiB", "-o", volume)
    config.write_text(
        f"[root]\nmode=ubi\nimage={volume}\nvol_id=0\nvol_type=dynamic\nvol_name=root\nvol_size={LEB_BYTES * 172}\n"
    )
    run(tool("ubinize"), "-o", path, "-p", PEB_BYTES, "-m", 1, "-O", VID_OFFSET, "-Q", 7, config)
    with path.open("r+b") as flash:
        flash.seek(0, 2)
        flash.write(b"\xff" * (FLASH_BYTES - flash.tell()))
    return path


def run_guest(start: Start, directory: Path) -> None:
    """Have a guest write to the flash; its copies are in ``stages`` below `directory`, its listings in ``listing``."""
    make_written_flash(directory / "flash")
    sizes = {"stages": FLASH_BYTES * STAGES, "judged": FLASH_BYTES, "listing": LISTING_BYTES * STAGES}
    for name, size in sizes.items():
        with (directory / name).open("wb") as file:
            file.truncate(size)
    run_to_the_end(
        start,
        directory,
        UBIFS_INIT,
        tuple(Disk(name, directory / name) for name in ("flash", *sizes)),
        ("ubiattach", "ubidetach"),
        modules=("virtio_pci", "virtio_blk", "block2mtd", "ubi", "zstd", "ubifs"),
    )


def stage(directory: Path, number: int) -> tuple[bytes, bytes]:
    """A copy of the flash that the guest made, and what it listed of it."""
    with (directory / "stages").open("rb") as stages, (directory / "listing").open("rb") as listings:
        stages.seek(number * FLASH_BYTES)
        listings.seek(number * LISTING_BYTES)
        return stages.read(FLASH_BYTES), listings.read(LISTING_BYTES).rstrip(b"\0")


def open_volume(image: bytes) -> Stack:
    """The volume on a flash."""
    device = MemoryDevice(image)
    ubi = read_ubi(device)
    volume = ubi.volume("root")
    assert volume is not None
    return open_ubi_volume(device, ubi, volume)


def open_root(image: bytes) -> Files:
    """Its files."""
    return open_files(open_volume(image))


def assert_as_listed(files: Files, listing: str) -> int:
    """What a guest listed is what we read, and nothing else is there; how many there are."""
    listed = set()
    for line in listing.splitlines():
        name, kind, *rest = line.split("|")
        path = "/" + name.removeprefix(".").lstrip("/")
        listed.add(path)
        node = files.lookup(path, follow=False)
        if kind == "link":
            assert (node.kind, files.readlink(path)) == (FileKind.SYMLINK, rest[0]), path
        elif kind == "file":
            mode, size, links, mtime, digest = rest
            assert node.kind is FileKind.FILE, path
            found = f"{node.mode:x}|{node.size_bytes}|{node.links}|{node.mtime_ns // 10**9}"
            assert found == f"{mode}|{size}|{links}|{mtime}", path
            assert sha256(files.read_file(path, MAX_BYTES)).hexdigest() == digest, path
        else:
            mode, links, mtime = rest
            assert f"{node.mode:x}|{node.links}|{node.mtime_ns // 10**9}" == f"{mode}|{links}|{mtime}", path
    assert {path for path, _ in files.walk("/")} == listed
    return len(listed)
