from __future__ import annotations

import pytest

from bootpath.core.errors import BootError
from bootpath.formats.cmdline.appendroot import (
    Assembly,
    DiskSpot,
    LogicalVolumeSpot,
    PartitionSpot,
    RootPlace,
    RootStyle,
    RootVerity,
    UbiSpot,
    append_root,
    mapper_device,
    partition_device,
    root_words,
)
from bootpath.formats.dm.create import parse_dm_create
from bootpath.formats.dm.table import Row, Table
from bootpath.formats.entries.bls import BlsEntry
from bootpath.formats.entries.entry import bls_entry
from bootpath.formats.verity.tree import VerityParameters

DATA = PartitionSpot("11111111-2222-3333-4444-555555555555", 2, "0fd1:2:2048")
HASH = PartitionSpot("66666666-7777-8888-9999-aaaaaaaaaaaa", 3, "0fd1:3:4096")
ROOT_HASH = bytes(range(32))
VERITY = RootVerity(HASH, ROOT_HASH, VerityParameters(256, salt=b"\1\2"))
TABLE = Table((Row(0, 2048, "linear", ("2", "2048")), Row(2048, 2048, "linear", ("3", "2048"))))
VOLUME = LogicalVolumeSpot("vg-0", "root", "VG-ID", "LV-ID", TABLE, (("2", DATA), ("3", HASH)))
OURS, KERNEL, FIXED = RootStyle(assembly=Assembly.BOOTPATH), RootStyle(assembly=Assembly.KERNEL), RootStyle("/dev/vda")
PARTUUID, HASH_PARTUUID = f"PARTUUID={DATA.partuuid}", f"PARTUUID={HASH.partuuid}"

CHECKED = f"roothash={ROOT_HASH.hex()} systemd.verity_root_data={PARTUUID} systemd.verity_root_hash={HASH_PARTUUID}"


@pytest.mark.parametrize(
    ("place", "style", "words"),
    [
        (RootPlace(DATA), RootStyle(), f"root={PARTUUID}"),
        (RootPlace(DATA), FIXED, "root=/dev/vda2"),
        (RootPlace(DATA), RootStyle("/dev/mmcblk0"), "root=/dev/mmcblk0p2"),
        (RootPlace(DATA), KERNEL, f"root={PARTUUID}"),
        (RootPlace(DATA), OURS, f"root={PARTUUID} bootpath.slot=0fd1:2:2048"),
        (RootPlace(DiskSpot()), FIXED, "root=/dev/vda"),
        (
            RootPlace(DATA, VERITY),
            RootStyle(),
            CHECKED,
        ),
        (
            RootPlace(DATA, VERITY),
            FIXED,
            f"roothash={ROOT_HASH.hex()} systemd.verity_root_data=/dev/vda2 systemd.verity_root_hash=/dev/vda3",
        ),
        (
            RootPlace(DATA, VERITY),
            OURS,
            f"{CHECKED} bootpath.slot=0fd1:2:2048 bootpath.hash_slot=0fd1:3:4096",
        ),
        (RootPlace(VOLUME), RootStyle(), "rd.lvm.lv=vg-0/root root=/dev/mapper/vg--0-root"),
        (RootPlace(VOLUME), OURS, "root=LV=VG-ID/LV-ID"),
        (
            RootPlace(VOLUME, VERITY),
            OURS,
            f"{CHECKED} bootpath.hash_slot=0fd1:3:4096".replace(PARTUUID, "LV=VG-ID/LV-ID", 1),
        ),
        (RootPlace(UbiSpot("rootfs", 1)), RootStyle(), "ubi.block=0,rootfs root=/dev/ubiblock0_1"),
        (RootPlace(UbiSpot("rootfs", 1)), RootStyle("nand"), "ubi.mtd=nand ubi.block=0,rootfs root=/dev/ubiblock0_1"),
        (RootPlace(UbiSpot("rootfs", 1)), RootStyle("nand", Assembly.BOOTPATH), "root=UBI=nand:rootfs"),
    ],
)
def test_words(place: RootPlace, style: RootStyle, words: str) -> None:
    assert " ".join(root_words(place, style)) == words


def test_a_root_behind_verity_is_never_called_by_its_partition() -> None:
    for assembly in Assembly:
        words = root_words(RootPlace(DATA, VERITY), RootStyle(assembly=assembly))
        assert not any(word == f"root={PARTUUID}" for word in words)
        assert ROOT_HASH.hex() in " ".join(words)


def test_the_kernel_makes_verity() -> None:
    create, root = root_words(RootPlace(DATA, VERITY), KERNEL)
    (device,) = parse_dm_create(create.removeprefix('dm-mod.create="').removesuffix('"'))
    assert (root, device.minor, device.read_only) == ("root=/dev/dm-0", 0, True)
    (row,) = device.table.rows
    assert (row.num_sectors, row.target, row.args[1:3]) == (2048, "verity", (PARTUUID, HASH_PARTUUID))
    assert row.args[8:10] == (ROOT_HASH.hex(), "0102")


def test_the_kernel_makes_volumes_and_what_stands_on_them() -> None:
    create, root = root_words(RootPlace(VOLUME), KERNEL)
    (device,) = parse_dm_create(create.removeprefix('dm-mod.create="').removesuffix('"'))
    assert (root, device.name) == ("root=/dev/dm-0", "vg--0-root")
    assert [row.args for row in device.table.rows] == [(PARTUUID, "2048"), (HASH_PARTUUID, "2048")]
    create, root = root_words(RootPlace(VOLUME, VERITY), RootStyle("/dev/sda", Assembly.KERNEL))
    volume, verity = parse_dm_create(create.removeprefix('dm-mod.create="').removesuffix('"'))
    assert root == "root=/dev/dm-1"
    assert [row.args[0] for row in volume.table.rows] == ["/dev/sda2", "/dev/sda3"]
    assert verity.table.rows[0].args[1:3] == ("/dev/dm-0", "/dev/sda3")


@pytest.mark.parametrize(
    ("place", "style"),
    [
        (RootPlace(DiskSpot()), RootStyle()),
        (RootPlace(UbiSpot("a", 0)), OURS),
        (RootPlace(UbiSpot("a", 0), VERITY), KERNEL),
        (RootPlace(LogicalVolumeSpot("a", "b")), KERNEL),
    ],
)
def test_places_without_words(place: RootPlace, style: RootStyle) -> None:
    with pytest.raises(BootError):
        root_words(place, style)


def test_only_entries_that_ask_for_it() -> None:
    place = RootPlace(DATA)
    asks = bls_entry("a.conf", BlsEntry(linux="/k", append_root=True))
    assert append_root(asks, place) == (f"root={PARTUUID}",)
    for other in (None, False):
        assert append_root(bls_entry("a.conf", BlsEntry(linux="/k", append_root=other)), place) == ()


def test_names_of_devices() -> None:
    assert [partition_device(disk, 2) for disk in ("/dev/vda", "/dev/nvme0n1")] == ["/dev/vda2", "/dev/nvme0n1p2"]
    assert mapper_device("a-b", "c--d") == "/dev/mapper/a--b-c----d"
