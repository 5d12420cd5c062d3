"""What was read of a disk, and where."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest

from bootpath.block.leaves.file import FileDevice
from bootpath.block.leaves.memory import MemoryDevice
from bootpath.boot.machine.diskreads import OUTSIDE, TABLE, Area, AreaReads, count_reads, disk_areas, file_system_trace
from bootpath.core.extents import Extent, ExtentSet
from bootpath.core.iolog import Read
from bootpath.image.redox.build import LiveImage, build_live
from bootpath.image.redox.discovery import find_redoxfs

MIB = 1 << 20
SIZE = 16 * MIB
UUID_7 = UUID(int=7)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("reads")
    (directory / "tree").mkdir()
    return build_live(LiveImage(directory / "tree", UUID_7, 1, size_bytes=SIZE), directory / "disk.img").path


def test_the_areas_of_a_live_disk_cover_it_once(image: Path) -> None:
    with closing(FileDevice.open(image)) as disk:
        areas = disk_areas(disk, find_redoxfs(disk).gpt)
    assert [area.name for area in areas] == [TABLE, "BIOS", "EFI", "REDOX", OUTSIDE, TABLE]
    covered = ExtentSet(area.extent for area in areas)
    assert covered == ExtentSet([Extent(0, SIZE)])
    assert sum(area.extent.length for area in areas) == SIZE


def test_a_disk_without_a_table_is_one_area() -> None:
    disk = MemoryDevice(bytearray(MIB))
    assert disk_areas(disk, None) == (Area(OUTSIDE, Extent(0, MIB)),)


def test_a_read_counts_in_every_area_it_touches_and_twice_read_bytes_once_as_different() -> None:
    areas = (Area("a", Extent(0, 100)), Area("b", Extent(100, 100)), Area("c", Extent(200, 100)))
    reads = [Read(90, 20), Read(90, 10), Read(0, 5, errno=5)]
    assert count_reads(reads, areas) == (AreaReads("a", 2, 20, 10), AreaReads("b", 1, 10, 10))


def test_areas_of_one_name_are_counted_together() -> None:
    areas = (Area("t", Extent(0, 10)), Area("x", Extent(10, 10)), Area("t", Extent(20, 10)))
    assert count_reads([Read(0, 30)], areas) == (AreaReads("t", 2, 20, 20), AreaReads("x", 1, 10, 10))


def test_the_trace_is_relative_to_the_file_system_and_in_its_blocks(image: Path) -> None:
    with closing(FileDevice.open(image)) as disk:
        discovery = find_redoxfs(disk)
    (place,) = discovery.places
    newest = place.ring.newest
    assert newest is not None
    start = place.offset_bytes
    reads = [
        Read(0, 512),  # not on it
        Read(start - 512, 1024),  # half on it
        Read(start + 5000, 512),
        Read(start + newest.size_bytes - 512, 4096),  # beyond its end
        Read(start, 512, errno=5),
    ]
    trace = file_system_trace(reads, discovery)
    assert trace is not None
    assert (trace.uuid, trace.generation, trace.size_bytes) == (UUID_7, newest.generation, newest.size_bytes)
    assert trace.records == (
        Read(0, 4096),
        Read(4096, 4096),
        Read(newest.size_bytes - 4096, 4096),
        Read(0, 4096, errno=5),
    )


def test_without_a_file_system_there_is_no_trace() -> None:
    assert file_system_trace([Read(0, 512)], find_redoxfs(MemoryDevice(bytearray(4 * MIB)))) is None
