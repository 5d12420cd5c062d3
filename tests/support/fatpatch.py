"""Damage to the chains of a FAT volume that another tool made."""

from __future__ import annotations

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.fs.readers.fat.fat import open_fat
from bootpath.fs.readers.fat.volume import parse_fat_boot_sector


def set_following(image: bytearray, path: str, index: int, value: int) -> int:
    """Let cluster `index` of a file lead to `value` (negative: from the end of the values, -8 is the first end mark).

    The number of that cluster.
    """
    layout = parse_fat_boot_sector(bytes(image[:512]))
    places: list[int] = []
    for extent in open_fat(MemoryDevice(bytes(image) + bytes(-len(image) % 512))).extents(path):
        places += range(extent.offset, extent.end, layout.cluster_bytes)
    cluster = (places[index] - layout.data_start) // layout.cluster_bytes + 2
    bits = layout.bits
    value &= (1 << min(bits, 28)) - 1
    for copy in range(_copies(image)):
        place = layout.fat.offset + copy * layout.fat.length + cluster * bits // 8
        width = 4 if bits == 32 else 2
        old = int.from_bytes(image[place : place + width], "little")
        new = value
        if bits == 12:
            new = (old & 0x000F) | value << 4 if cluster % 2 else (old & 0xF000) | value
        image[place : place + width] = new.to_bytes(width, "little")
    return cluster


def _copies(image: bytearray) -> int:
    return int(image[16])
