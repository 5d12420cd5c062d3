"""A UBI volume as a device-mapper table.

Source: Linux drivers/mtd/ubi/block.c, which gives volumes as block devices in the same way: sectors of 512 bytes, and
the rest of a volume that is not a multiple of them is left out. One line for each mapped logical eraseblock::

    <start> <sectors> linear <device> <sector of its data>
    <start> <sectors> erased                                a run of unmapped ones: 0xFF, our own target

Reads see what UBI would give; a static volume's checksums are not looked at on the way (`check_ubi_volume` does). The
table is for reading: a write would bypass UBI's headers and wear levelling.
"""

from __future__ import annotations

from bootpath.core.device import SECTOR_BYTES
from bootpath.formats.dm.table import Table, TableLine
from bootpath.formats.ubi.attach import Ubi, UbiVolume
from bootpath.formats.ubi.headers import VolumeType

ERASED_TARGET = "erased"


def ubi_table(ubi: Ubi, volume: UbiVolume, device: str) -> Table:
    """The volume's table; its lines name the image `device`. Raises TableError, its `refusal`."""
    if volume.refusal is not None:
        raise volume.refusal
    size = volume.size_bytes // SECTOR_BYTES
    usable = volume.usable_bytes // SECTOR_BYTES
    lines: list[TableLine] = []
    end = 0
    for leb in volume.lebs:
        start = leb.lnum * usable
        # The last one of a static volume is not full.
        count = min(usable, size - start)
        if count <= 0:
            break
        if start > end:
            lines.append(TableLine(end, start - end, ERASED_TARGET))
        lines.append(TableLine(start, count, "linear", (device, str(ubi.place(leb) // SECTOR_BYTES))))
        end = start + count
    if end < size:
        assert volume.type is VolumeType.DYNAMIC
        lines.append(TableLine(end, size - end, ERASED_TARGET))
    return Table(tuple(lines))
