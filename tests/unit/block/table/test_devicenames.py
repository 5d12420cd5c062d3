from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import closing

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.table.devicenames import DeviceNames
from bootpath.block.table.stack import Stack, open_table
from bootpath.core.device import Device, Identity, read_bytes
from bootpath.core.errors import DeviceError, TableError
from bootpath.formats.dm.listing import parse_listing
from bootpath.formats.dm.table import parse_table
from tests.support.errors import raises
from tests.support.gptdisk import as_device, gpt_image, sample_gpt
from tests.support.mbrdisk import disk as mbr_disk
from tests.support.mbrdisk import table
from tests.support.patterns import assert_pattern, pattern
from tests.unit.block.support import KIB, Counting, disk

TABLES = {
    each.name: each.table
    for each in parse_listing(
        "low: 0 64 linear sda 0\nhigh: 0 32 overlay /dev/mapper/low\n"
        "both: 0 32 linear high 0\nboth: 32 32 linear high 0\n"
        "round: 0 8 linear about 0\nabout: 0 8 linear /dev/mapper/round 0\nwrong: 0 8 linear low 64\n"
    )
}


def leaf(**devices: Device) -> Callable[[str], Device]:
    def opener(name: str) -> Device:
        if name not in devices:
            raise DeviceError("no such device", errno=errno.ENOENT, where=name)
        return devices[name]

    return opener


def test_tables_stand_on_tables_and_share_what_is_below() -> None:
    lower = Counting(pattern(0, 32 * KIB))
    names = DeviceNames(leaf(sda=lower), tables=TABLES)
    stack = open_table(TABLES["both"], names)
    stack.write(0, pattern(0, 4 * KIB, tag=1))
    assert_pattern(read_bytes(stack, 16 * KIB, 4 * KIB), 0, tag=1)  # the same overlay, seen again
    stack.close()
    assert lower.closed == 0
    names.close()
    assert lower.closed == 1


def test_a_circle_is_refused() -> None:
    names = DeviceNames(leaf(), tables=TABLES)
    with raises(TableError, found="round -> about -> round"):
        names("/dev/mapper/round")


def test_partitions_of_an_mbr() -> None:
    """By PARTUUID, logical ones too, and by their distance from another one."""
    image = mbr_disk(256, {0: table((0, 0x83, 8, 8), (0, 5, 64, 64)), 64: table((0, 0x83, 8, 16))})
    names = DeviceNames(leaf(), disks=[MemoryDevice(image)])
    for name, blocks in (("5a0c3b5e-05", 16), ("5A0C3B5E-01", 8), ("5a0c3b5e-01/PARTNROFF=4", 16)):
        assert names(f"PARTUUID={name}").size_bytes == blocks * 512
    with pytest.raises(DeviceError, match="not on exactly one disk"):
        names("PARTUUID=5a0c3b5e-06")


def test_an_error_names_the_table() -> None:
    names = DeviceNames(leaf(sda=disk(32 * KIB, identity=Identity("sda"))), tables=TABLES)
    with pytest.raises(
        TableError, match="wrong: table line 1: linear: low: a run of 4096 bytes at 32768 ends past the device"
    ):
        names("wrong")


def test_names_are_mapped_once() -> None:
    names = DeviceNames(leaf(a=disk(KIB), b=disk(KIB, tag=1)), mapped={"8:1": "a", "a": "b"})
    assert_pattern(read_bytes(names("8:1"), 0, 512), 0)
    assert_pattern(read_bytes(names("a"), 0, 512), 0, tag=1)


def test_a_number_is_a_device_of_this_machine() -> None:
    asked: list[str] = []

    def opener(name: str) -> Device:
        asked.append(name)
        return MemoryDevice(bytes(512))

    names = DeviceNames(opener)
    names("8:1")
    names("PARTUUID=00000000-0000-0000-0000-000000000000")
    assert asked == ["/dev/block/8:1", "PARTUUID=00000000-0000-0000-0000-000000000000"]


def test_partitions_of_a_given_disk() -> None:
    gpt = sample_gpt(512)
    image = as_device(bytes(gpt_image(gpt)))
    names = DeviceNames(leaf(), disks=[image])
    first, second = gpt.partitions[:2]
    spellings = (
        f"PARTUUID={first.guid}",
        f"/dev/disk/by-partuuid/{str(first.guid).upper()}",
        f"PARTUUID={second.guid}/PARTNROFF={first.number - second.number}",
        f"PARTLABEL={first.name}",
        f"/dev/disk/by-partlabel/{first.name}",
    )
    for name in spellings:
        device = names(name)
        assert (device.size_bytes, device.identity.partition_guid) == (first.size_bytes, first.guid)
    for name in ("PARTUUID=00000000-0000-0000-0000-000000000001", "PARTLABEL=nowhere", f"{spellings[0]}/PARTNROFF=99"):
        with pytest.raises(DeviceError, match="the partition is not on exactly one disk") as caught:
            names(name)
        assert caught.value.errno == errno.ENODEV
    twice = DeviceNames(leaf(), disks=[image, image])
    with raises(DeviceError, found="memory partition 1 and memory partition 1"):
        twice(spellings[0])
    with pytest.raises(DeviceError) as caught:
        DeviceNames(leaf(), disks=[MemoryDevice(bytes(64 * KIB))])(spellings[0])
    assert caught.value.errno == errno.EINVAL


def test_a_table_can_be_opened_by_a_mapped_name() -> None:
    names = DeviceNames(leaf(sda=disk(32 * KIB)), mapped={"253:0": "low"}, tables=TABLES)
    with open_and_close(names) as stack:
        assert_pattern(read_bytes(stack, 0, 8 * KIB), 0)


def open_and_close(names: DeviceNames) -> closing[Stack]:
    return closing(open_table(parse_table("0 16 linear 253:0 0"), names))
