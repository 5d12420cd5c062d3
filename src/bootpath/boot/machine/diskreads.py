"""What was read of a disk, and where that lies: from a log of reads to areas, and to the trace of a recorded boot.

An *area* is a named run of the disk: the partition table's two copies, each partition, or what lies between. Reads of
firmware know no file system, so they are only counted by area; those that lie on the RedoxFS become the trace from
which the next boot's plan is made, in whole blocks of the file system, as the loader will read them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bootpath.core.device import Device
from bootpath.core.extents import Extent, ExtentSet
from bootpath.core.iolog import Read
from bootpath.formats.partitions.gpt import Gpt
from bootpath.formats.partitions.gptheader import Partition
from bootpath.formats.partitions.mbr import Mbr, MbrPartition
from bootpath.formats.trace import Trace
from bootpath.fs.redox.values import BLOCK_BYTES
from bootpath.image.redox.discovery import Discovery, FoundRedoxFS

TABLE, OUTSIDE = "partition table", "outside partitions"
_SECTOR_BYTES = 512
_TABLE_SECTORS = 34  # protective MBR, header and 128 entries; the backup has no MBR


@dataclass(frozen=True, slots=True)
class Area:
    """A named run of the disk, in bytes."""

    name: str
    extent: Extent


@dataclass(frozen=True, slots=True)
class AreaReads:
    """What was read of the areas of one name. `distinct_bytes` counts what was read twice once."""

    name: str
    operations: int
    bytes: int
    distinct_bytes: int


def disk_areas(disk: Device, table: Gpt | Mbr | None) -> tuple[Area, ...]:
    """Disjoint areas that cover the disk, by offset. Without a table everything is outside partitions."""
    whole = Extent(0, disk.size_bytes)
    areas: list[Area] = []
    taken = ExtentSet()

    def take(name: str, extent: Extent) -> None:
        areas.extend(Area(name, gap) for gap in taken.gaps(extent))
        taken.add(extent)

    for partition in () if table is None else table.partitions:
        # Of an extended partition only the links are its own.
        if isinstance(partition, Partition) or not partition.extended:
            name = partition.name if isinstance(partition, Partition) else ""
            take(name or f"partition {partition.number}", _clipped(partition, whole))
    for partition in table.partitions if isinstance(table, Mbr) else ():
        take(TABLE, _clipped(partition, whole))
    if table is not None:
        length = min(_TABLE_SECTORS * _SECTOR_BYTES if isinstance(table, Gpt) else disk.block_bytes, whole.length)
        take(TABLE, Extent(0, length))
        if isinstance(table, Gpt):
            take(TABLE, Extent(whole.end - length, length))
    take(OUTSIDE, whole)
    return tuple(sorted(areas, key=lambda area: area.extent.offset))


def _clipped(partition: Partition | MbrPartition, whole: Extent) -> Extent:
    """Where the partition is, as far as there is a disk."""
    begin = min(partition.offset_bytes, whole.end)
    return Extent(begin, min(partition.size_bytes, whole.end - begin))


def count_reads(reads: Iterable[Read], areas: Sequence[Area]) -> tuple[AreaReads, ...]:
    """The reads that worked, by the area's name, in the areas' order; an area nobody read is left out.

    A read that lies in two areas is an operation in both.
    """
    operations = {area.name: 0 for area in areas}
    total = dict.fromkeys(operations, 0)
    seen = {name: ExtentSet() for name in operations}
    for read in reads:
        if read.errno:
            continue
        for area in areas:
            start, end = max(read.offset, area.extent.offset), min(read.offset + read.length, area.extent.end)
            if start < end:
                operations[area.name] += 1
                total[area.name] += end - start
                seen[area.name].add(Extent(start, end - start))
    return tuple(
        AreaReads(name, count, total[name], seen[name].total_bytes) for name, count in operations.items() if count
    )


def file_system_trace(reads: Iterable[Read], discovery: Discovery) -> Trace | None:
    """The part of the reads that lies on the disk's RedoxFS, relative to it; None when there is not exactly one.

    Reads are widened to whole blocks: the plan's grain, and RedoxFS's.
    """
    place = _only_place(discovery)
    if place is None or place.ring.newest is None:
        return None
    newest = place.ring.newest
    within = Extent(0, newest.size_bytes)
    records = []
    for read in reads:
        start = max(read.offset - place.offset_bytes, 0)
        end = min(read.offset + read.length - place.offset_bytes, within.end)
        if start < end:
            block = Extent(start, end - start).aligned(BLOCK_BYTES)
            records.append(Read(block.offset, min(block.end, within.end) - block.offset, read.source, read.errno))
    return Trace(newest.uuid, newest.generation, newest.size_bytes, tuple(records))


def _only_place(discovery: Discovery) -> FoundRedoxFS | None:
    usable = [place for place in discovery.places if place.fault is None]
    return usable[0] if len(usable) == 1 else None
