"""The kernel's device mapper as the judge: it loads the tables that we export, and reads and writes what we do."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from random import Random

from bootpath.block.leaves.file import FileDevice
from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.leaves.open import open_device
from bootpath.block.table.devicenames import DeviceNames
from bootpath.block.table.stack import open_table
from bootpath.boot.initramfs.build import Added, InitramfsSpec, build_initramfs
from bootpath.boot.initramfs.compression import Compression
from bootpath.core.device import read_bytes
from bootpath.formats.dm.export import ExportFormat, export_listing
from bootpath.formats.dm.listing import ListedTable, parse_listing
from bootpath.formats.dm.table import Table, TableLine
from bootpath.formats.dm.targets import rename_devices
from bootpath.formats.dm.verity import VerityTarget
from bootpath.formats.verity.tree import VerityParameters
from bootpath.image.verity.tree import build_tree
from bootpath.report.dmtable import normalised
from bootpath.vm.config import MachineConfig
from bootpath.vm.disks import Disk
from bootpath.vm.qemu import QEMU
from tests.support.images import MIB
from tests.support.tools import guest_files, guest_kernel, tool
from tests.vm.conftest import Start

SECONDS = 180.0
DISKS = {"a": "vda", "b": "vdb", "ours": "vdc", "theirs": "vdd", "hashes": "vde", "f": "vdf"}
SIZE = 2 * MIB
KEY, SMALL_KEY = Random(3).randbytes(64).hex(), Random(4).randbytes(32).hex()
VERITY = VerityParameters(SIZE // 4096, salt=b"\x12\x34")
LISTING = f"""\
joined: 0 1024 linear a 8
joined: 1024 2048 striped 2 16 a 2048 b 0
joined: 3072 96 striped 2 24 a 100 b 100
joined: 3168 8 zero
plain: 0 2048 crypt aes-xts-plain64 {KEY} 7 a 64
half: 0 2048 crypt capi:xts(aes)-plain64 {SMALL_KEY} 0 b 0 1 allow_discards
units: 0 4096 crypt aes-xts-plain64 {KEY} 8 f 0 2 sector_size:4096 iv_large_sectors
sectors: 0 4096 crypt aes-xts-plain64 {KEY} 8 f 0 1 sector_size:4096
held: 0 4096 snapshot b ours P 8
fresh: 0 4096 snapshot b theirs P 16
late: 0 2048 delay a 0 0 a 0 1
bad: 0 2048 flakey b 0 60 0 5 corrupt_bio_byte 32 r 1 0
"""
READ = ("joined", "plain", "half", "units", "sectors", "held", "fresh", "checked")
WRITTEN = ("units", "held", "fresh")

INIT = """\
#!/bin/sh
export PATH=/bin:/sbin:/usr/bin
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs devtmpfs /dev; mkdir -p /run /tmp
while read -r module; do insmod "$module"; done < /etc/bootpath/modules
fail() { dmesg | tail -n 20; echo "SAID FAILED $1 END"; poweroff -f; }
hash() { for name in "$@"; do echo "SAID $when $name $(sha256sum < /dev/mapper/$name) END"; done; }
for table in /etc/tables/*; do
    only=; grep -q verity "$table" && only=--readonly
    dmsetup create --noudevsync --noudevrules $only "${table##*-}" "$table" || fail "$table"
done
dmsetup mknodes
dmsetup table --showkeys | while read -r line; do echo "SAID TABLE $line END"; done
for disk in READ_DISKS; do echo "SAID NUMBER $disk $(cat /sys/class/block/$disk/dev) END"; done
when=BEFORE; hash READ_NAMES
for name in WRITE_NAMES; do
    dd if=/dev/vda of=/dev/mapper/$name bs=4096 skip=3 seek=100 count=150 conv=notrunc,fsync || fail "writing $name"
    dd if=/dev/vda of=/dev/mapper/$name bs=4096 skip=9 seek=2 count=1 conv=notrunc,fsync || fail "writing $name"
done
when=AFTER; hash WRITE_NAMES
dmsetup remove_all || fail remove
sync
echo "SAID DONE END"
poweroff -f
"""


def digest_of(listed: tuple[ListedTable, ...], name: str, paths: Mapping[str, Path], *, write: bool = False) -> str:
    """Ours; with `write`, after 201 chunks of the device were changed."""
    opener = partial(open_device, writable=write)
    mapped = {disk: str(path) for disk, path in paths.items()}
    with ExitStack() as stack:
        names = DeviceNames(opener, mapped=mapped)
        table = next(each.table for each in listed if each.name == name)
        device = stack.enter_context(closing(open_table(table, names)))
        if write:
            with closing(open_device(str(paths["a"]))) as source:
                device.write(300 * 4096 - 512, read_bytes(source, 0, 200 * 4096))
            device.flush()
        return hashlib.sha256(read_bytes(device, 0, device.size_bytes)).hexdigest()


def test_the_kernel_reads_and_writes_what_we_do(start: Start, tmp_path: Path) -> None:
    dmsetup = Path(tool("dmsetup"))
    paths = {name: tmp_path / f"{name}.img" for name in DISKS}
    for index, (name, path) in enumerate(paths.items()):
        path.write_bytes(Random(index).randbytes(SIZE) if name in ("a", "b", "f") else bytes(SIZE))
    with closing(FileDevice.open(paths["hashes"], writable=True)) as hashes:
        root_hash = build_tree(MemoryDevice(paths["a"].read_bytes()), hashes, VERITY, start_block=1)
    verity = VerityTarget("a", "hashes", VERITY, 1, root_hash).pack()
    listed = (*parse_listing(LISTING), ListedTable("checked", Table((TableLine(0, SIZE // 512, "verity", verity),))))

    # The kernel goes on with a store that we made, and fills its first area of 256 exceptions.
    ours = digest_of(listed, "held", paths, write=True)
    assert digest_of(listed, "held", paths) == ours
    before = {name: digest_of(listed, name, paths) for name in READ}

    added: list[Added] = [Added(dmsetup, "/sbin/dmsetup")]
    for number, each in enumerate(listed):
        table = rename_devices(each.table, lambda name: f"/dev/{DISKS[name]}")
        file = tmp_path / f"{number:02}-{each.name}"
        file.write_text(export_listing((ListedTable("", table),), ExportFormat.DMSETUP))
        added.append(Added(file, f"/etc/tables/{file.name}"))
    init = INIT.replace("READ_DISKS", " ".join(DISKS.values())).replace("READ_NAMES", " ".join(READ))
    spec = InitramfsSpec(
        guest_files(),
        init.replace("WRITE_NAMES", " ".join(WRITTEN)).encode(),
        modules=("virtio_pci", "virtio_blk", "xts", "ecb", *(f"dm_{name}" for name in MODULES)),
        added=tuple(added),
        compression=Compression.GZIP,
    )
    config = MachineConfig(
        memory_bytes=512 << 20,
        kernel=guest_kernel(),
        initrd=build_initramfs(spec, tmp_path / "initramfs").path,
        cmdline="console=ttyS0 panic=-1 quiet",
        disks=tuple(Disk(name, path) for name, path in paths.items()),
    )
    machine = start(config, transcript=tmp_path / "serial.log")
    said = list(words(machine))
    assert machine.wait_exit(SECONDS) == 0

    hashed = {(kind, rest.split()[0]): rest.split()[1] for kind, rest in said if kind in ("BEFORE", "AFTER")}
    assert {name: hashed["BEFORE", name] for name in READ} == before
    for name in WRITTEN:
        assert hashed["AFTER", name] != before[name]
        assert digest_of(listed, name, paths) == hashed["AFTER", name], name

    # What the kernel prints of its tables is what we say of ours.
    disks = {value: key for key, value in DISKS.items()}
    numbers = {rest.split()[1]: disks[rest.split()[0]] for kind, rest in said if kind == "NUMBER"}
    printed = parse_listing("\n".join(rest for kind, rest in said if kind == "TABLE"))
    theirs = {each.name: rename_devices(each.table, numbers.__getitem__) for each in printed}
    for each in normalised(listed, show_keys=True):
        assert normalised((ListedTable("", theirs[each.name]),), show_keys=True)[0].table == each.table


MODULES = ("mod", "crypt", "verity", "snapshot", "zero", "delay", "flakey")


def words(machine: QEMU) -> list[tuple[str, str]]:
    """What the guest says, up to DONE."""
    said: list[tuple[str, str]] = []
    while True:
        match = machine.console.wait_for(re.compile(r"SAID (\S+) ?(.*?) ?END\r?\n"), SECONDS)
        kind, rest = match.groups()
        assert kind != "FAILED", machine.console.text
        if kind == "DONE":
            return said
        said.append((kind, rest))
