"""Linux's own LVM2 and UBI, in a guest, as judges: the tables that the kernel is given, and what it reads through them.

LVM2 activates the golden group, and says what it loaded. UBI attaches a flash (nandsim) onto which ubinize's image was
written, writes to it, and what it leaves on the flash is read here.
"""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path

from bootpath.block.leaves.file import FileDevice
from bootpath.core.device import Identity, read_bytes
from bootpath.formats.dm.table import parse_table
from bootpath.formats.ubi.attach import check_ubi_volume, read_ubi
from bootpath.image.contents.lvm import find_volume_groups
from bootpath.vm.disks import Disk
from bootpath.vm.qemu import QEMU
from tests.golden import test_lvm2 as lvm2_golden
from tests.golden import test_ubi as ubi_golden
from tests.support.guestrun import run_to_the_end
from tests.support.volumes import open_logical_volume, open_ubi_volume
from tests.vm.conftest import Start

SECONDS = 240.0
MIB = 1 << 20

BEGIN = """\
#!/bin/sh
export PATH=/bin:/sbin:/usr/bin
end() { echo "$@"; dmesg | tail -n 15; poweroff -f; }
step() { "$@" > /tmp/said 2>&1 && return; cat /tmp/said; end "FAILED $* END"; }
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs devtmpfs /dev; mkdir -p /run /tmp /etc/lvm
while read -r module; do case $module in
*nandsim.ko) insmod "$module" first_id_byte=0x20 second_id_byte=0x33 ;;
*) insmod "$module" ;; esac; done < /etc/bootpath/modules
"""

LVM = (
    BEGIN
    + """\
step lvm vgchange --sysinit --noudevsync -ay vg0
echo "TABLES"; dmsetup table | sort; echo "TABLES END"
for pv in /dev/vda /dev/vdb /dev/vdc; do echo "DEVICE $(cat /sys/class/block/${pv#/dev/}/dev) $pv END"; done
dmsetup ls | while read -r name rest; do case $name in vg0-lost) ;; *)
    dmsetup mknodes $name; echo "SUM $name $(sha256sum < /dev/mapper/$name | cut -d ' ' -f 1) END" ;; esac; done
end "DONE END"
"""
)

# Small pages of 512 bytes: nandsim's 16 MiB chip with eraseblocks of 16 KiB.
UBI = (
    BEGIN
    + """\
ln -s ../proc/self/mounts /etc/mtab 2>/dev/null
step nandwrite -q /dev/mtd0 /image
step ubiattach -m 0 -O 512
sum() { echo "SUM $1 $(head -c $3 /dev/$2 | sha256sum | cut -d ' ' -f 1) END"; }
for one in 0 3 5; do mknod /dev/ubi0_$one c $(sed 's/:/ /' /sys/class/ubi/ubi0_$one/dev) 2>/dev/null; done
sum kernel ubi0_0 30000
sum root ubi0_3 46080
sum aligned ubi0_5 36864
seq 1 30000 > /new; echo more >> /new
step ubiupdatevol /dev/ubi0_0 -s 60000 /new
for round in 1 2 3 4 5; do seq $round 40000 | head -c 100000 > /round; step ubiupdatevol /dev/ubi0_3 /round; done
step ubirmvol /dev/ubi0 -n 7
step ubimkvol /dev/ubi0 -n 9 -N made -s 30KiB
mknod /dev/ubi0_9 c $(sed 's/:/ /' /sys/class/ubi/ubi0_9/dev) 2>/dev/null
head -c 50000 /new > /less; step ubiupdatevol /dev/ubi0_5 /less
sum kernel2 ubi0_0 60000
sum root2 ubi0_3 15160320
sum aligned2 ubi0_5 73728
echo "VOLUMES $(for one in 0 3 5 9; do echo -n $(cat /sys/class/ubi/ubi0_$one/name):; \
    cat /sys/class/ubi/ubi0_$one/data_bytes; done | tr ' \\n' '_ ')END"
step ubidetach -m 0
step nanddump -q --bb=dumpbad --omitoob -f /dev/vda /dev/mtd0
sync
end "DONE END"
"""
)


def said(machine: QEMU, word: str) -> list[str]:
    """What stands behind the word, on every line that begins with it."""
    return re.findall(rf"^{word} (.*?) ?END\r?$", machine.console.text, re.MULTILINE)


def test_lvm2_loads_the_tables_that_we_make(start: Start, tmp_path: Path) -> None:
    names = ("pv0", "pv1", "pv2")
    for name in names:
        content = lvm2_golden.disk(name)
        (tmp_path / name).write_bytes(read_bytes(content, 0, content.size_bytes))
    machine = run_to_the_end(
        start,
        tmp_path,
        LVM,
        tuple(Disk(name, tmp_path / name) for name in names),
        ("lvm", "dmsetup"),
        modules=("virtio_pci", "virtio_blk", "dm-mod"),
        wanted_modules=("dm-zero",),
    )
    devices = [FileDevice.open(tmp_path / name, identity=Identity(name)) for name in names]
    (found,) = find_volume_groups(devices).groups
    numbers = {path: number for number, path in (line.split() for line in said(machine, "DEVICE"))}
    by_uuid = {
        uuid: numbers[f"/dev/vd{'abc'[names.index(device.identity.name)]}"] for uuid, device in found.members.items()
    }
    listing = re.search(r"TABLES\r?\n(.*?)TABLES END", machine.console.text, re.DOTALL)
    assert listing is not None
    loaded: dict[str, list[str]] = {}
    for line in listing[1].splitlines():
        name, _, row = line.strip().partition(": ")
        loaded.setdefault(name, []).append(row.strip())
    sums = dict(line.split() for line in said(machine, "SUM"))
    for volume in found.volumes:
        mapped = "vg0-" + volume.name.replace("-", "--")
        rows = sorted(loaded[mapped], key=lambda row: int(row.split()[0]))
        assert parse_table("\n".join(rows)) == found.table(volume, names=by_uuid)
        if volume.name == "lost":
            continue
        opened = open_logical_volume(found, volume)
        assert sums[mapped] == sha256(read_bytes(opened, 0, opened.size_bytes)).hexdigest()
        opened.close()
    assert len(loaded) == len(found.volumes)
    for device in devices:
        device.close()


def test_the_kernel_reads_and_writes_ubi_as_we_read_it(start: Start, tmp_path: Path) -> None:
    dump = tmp_path / "flash"
    with dump.open("wb") as file:
        file.truncate(16 * MIB)
    written = ubi_golden.image("nand")
    machine = run_to_the_end(
        start,
        tmp_path,
        UBI,
        (Disk("flash", dump),),
        ("nandwrite", "nanddump", "ubiattach", "ubidetach", "ubiupdatevol", "ubimkvol", "ubirmvol"),
        modules=("virtio_pci", "virtio_blk", "nandsim", "ubi"),
        files=(("image", read_bytes(written, 0, written.size_bytes)),),
    )
    sums = dict(line.split() for line in said(machine, "SUM"))

    # What ubinize made: the kernel reads it as we do.
    ubi = read_ubi(written)
    for name, short in (("kernel", "kernel"), ("root fs", "root"), ("aligned", "aligned")):
        content = ubi_golden.leb_by_leb(written, ubi, name)
        length = {"kernel": 30000, "root": 46080, "aligned": 36864}[short]
        assert sums[short] == sha256(content[:length]).hexdigest()

    # What the kernel left: updates, a volume that grew, a new one, eraseblocks here and there.
    device = FileDevice.open(dump)
    ubi = read_ubi(device)
    assert (ubi.peb_bytes, ubi.pebs, ubi.image_seq, ubi.corrupted) == (16384, 1024, 7, 0)
    sizes = dict(word.replace("_", " ").rsplit(":", 1) for word in said(machine, "VOLUMES")[0].split())
    assert {volume.name: str(volume.size_bytes) for volume in ubi.volumes} == sizes
    for name, short, length in (
        ("kernel", "kernel2", 60000),
        ("root fs", "root2", 15160320),
        ("aligned", "aligned2", 73728),
    ):
        volume = ubi.volume(name)
        assert volume is not None
        check_ubi_volume(device, ubi, volume)
        opened = open_ubi_volume(device, ubi, volume)
        content = read_bytes(opened, 0, opened.size_bytes)
        if name == "kernel":  # of 60000 bytes, the last are no whole sector
            content = ubi_golden.leb_by_leb(device, ubi, name)[:60000]
        assert sums[short] == sha256(content[:length]).hexdigest()
        opened.close()
    made = ubi.volume("made")
    assert made is not None
    assert made.lebs == ()
    device.close()
