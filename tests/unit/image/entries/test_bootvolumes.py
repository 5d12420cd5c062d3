from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from bootpath.block.leaves.file import FileDevice
from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.targets.log import Log
from bootpath.core.device import checked
from bootpath.core.iolog import Read
from bootpath.formats.cmdline.address import DiskAddress, LogicalVolumeAddress, RootAddress
from bootpath.formats.dm.table import Table, TableLine
from bootpath.formats.entries.uki import EfiArchitecture
from bootpath.formats.partitions.dps import Designator
from bootpath.formats.partitions.imagepolicy import parse_image_policy
from bootpath.formats.superblocks.registry import scan_superblocks
from bootpath.image.contents.nodes import Contents, Location, Node, NodeKind
from bootpath.image.contents.read import read_contents
from bootpath.image.entries.bootvolumes import BootVolume, find_boot_volumes
from bootpath.image.entries.find import find_entries
from bootpath.image.entries.menu import BootMenu, VolumeRole
from bootpath.image.roots.candidates import Terms
from tests.support.bootdisk import fat
from tests.support.ddi import Disk, Part, make_disk
from tests.support.filetrees import as_device, golden_image, golden_names
from tests.support.linuximage import RootTree, make_volume
from tests.support.mbrdisk import disk as mbr_disk
from tests.support.mbrdisk import table

EXT4 = next(name for name in golden_names() if name.startswith("ext4"))


def volume(path: str, below: str, size_bytes: int, **fields: object) -> Node:
    table = Table((TableLine(0, size_bytes // 512, "linear", (below, "0")),))
    name = path.rpartition("/")[2]
    return Node(path, NodeKind.LOGICAL_VOLUME, name, size_bytes, Location(path), table=table, **fields)  # type: ignore[arg-type]


def test_a_volume_on_a_volume_has_no_table_for_the_kernel() -> None:
    """A physical volume inside a logical one: its own carrier is a volume again, however deep that goes."""
    disk = as_device(golden_image(EXT4))
    found = scan_superblocks(disk).found
    carrier = volume("vg0/a", ".", disk.size_bytes)
    upper = volume("vg1/b", "vg0/a", disk.size_bytes, superblocks=found)
    contents = Contents(
        "disk", Node("", NodeKind.DISK, "disk", disk.size_bytes, Location(""), children=(carrier, upper))
    )
    (place,) = [
        each
        for each in find_boot_volumes(disk, contents, [VolumeRole.ROOT], Terms(parse_image_policy("*")))
        if isinstance(each, BootVolume)
    ]
    assert place.source.layers == ("lvm vg1/b",)
    assert place.address == RootAddress(LogicalVolumeAddress("vg1", "b"))


def test_the_disk_itself() -> None:
    disk = as_device(golden_image(EXT4))
    found = scan_superblocks(disk).found
    contents = Contents("disk", Node("", NodeKind.DISK, "disk", disk.size_bytes, Location(""), superblocks=found))
    (place,) = find_boot_volumes(disk, contents, list(VolumeRole), Terms(parse_image_policy("*")))
    assert isinstance(place, BootVolume)
    assert (place.address, place.follows_links) == (RootAddress(DiskAddress()), True)


ROOT = Terms(parse_image_policy("root=signed+verity"))


@pytest.fixture(scope="module")
def slots(tmp_path_factory: pytest.TempPathFactory) -> Disk:
    """Three versions of a root, of which the second has no hash tree."""
    directory = tmp_path_factory.mktemp("slots")
    volumes = [
        (f"demo_{number}", make_volume(directory / str(number), RootTree.demo(number), None)) for number in (1, 3, 2)
    ]
    plain = Part(Designator.ROOT, volumes[2][1].data, UUID(int=9), "demo_2")
    parts = [part for name, volume in volumes[:2] for part in volume.parts(name)]
    return make_disk(directory / "disk.img", [*parts, plain])


def reads_of(slots: Disk, terms: Terms, **options: Any) -> tuple[BootMenu, dict[int, int]]:
    """The menu, and the bytes that were read of the partitions for it, beyond a look at all of them; by number."""
    with closing(FileDevice.open(slots.path)) as disk:
        contents = read_contents(disk)
        reads: list[Read] = []
        log = checked(Log(disk, lambda record: reads.append(record) if isinstance(record, Read) else None))
        menu = find_entries(log, contents, roles=[VolumeRole.ROOT], terms=terms, **options)
    found: dict[int, int] = {}
    for read in reads:
        number = max(number for number, offset in slots.offsets.items() if offset <= read.offset)
        found[number] = found.get(number, 0) + read.length
    return menu, found


def test_the_newest_root_comes_first_where_entries_are_called_the_same(slots: Disk) -> None:
    menu, read = reads_of(slots, Terms(parse_image_policy("*")))
    assert [found.source.location.number for found in menu.entries] == [3, 5, 1]
    assert set(read) == {1, 2, 3, 4, 5}


def test_a_root_that_the_policy_excludes_is_not_opened(slots: Disk) -> None:
    menu, read = reads_of(slots, ROOT)
    assert [found.source.location.number for found in menu.entries] == [3, 1]
    assert [each.source.location.number for each in menu.excluded] == [5]
    assert set(read) == {1, 2, 3, 4}
    nothing, read = reads_of(slots, Terms(parse_image_policy("root=signed")))
    assert (nothing.entries, read) == ((), {})


def test_a_root_for_another_machine_is_not_opened(slots: Disk) -> None:
    menu, read = reads_of(slots, Terms(parse_image_policy("*")), architecture=EfiArchitecture.AA64)
    assert {str(each.why) for each in menu.excluded} == {"it is for x86-64"}
    assert (menu.entries, read) == ((), {})


def test_the_fat_of_a_board(tmp_path: Path) -> None:
    """Without an EFI partition the one that is bootable, or the first, is what the firmware reads."""
    volume = fat(tmp_path, {"config.txt": b"kernel=k\n", "cmdline.txt": b"quiet\n", "k": b"kernel"})
    blocks = len(volume) // 512
    first, second = 64, 64 + blocks
    for flags, kinds, expected in (
        ((0, 0), (0x0C, 0x0C), "1"),
        ((0, 0x80), (0x0C, 0x0C), "2"),
        ((0x80, 0), (0x0C, 0xEF), "2"),
    ):
        records = [(flag, kind, at, blocks) for flag, kind, at in zip(flags, kinds, (first, second), strict=True)]
        image = bytearray(mbr_disk(64 + 2 * blocks, {0: table(*records)}))
        image[first * 512 :] = volume * 2
        (entry,) = find_entries(MemoryDevice(bytes(image))).entries
        assert (entry.source.role, entry.source.location.path) == (VolumeRole.ESP, expected)
        assert (entry.read_kernel(), entry.command_line()) == (b"kernel", "quiet")
