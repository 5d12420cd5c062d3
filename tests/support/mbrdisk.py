"""Disks with an MBR, made by hand: tables that no tool would write, and a signature that a test knows."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TypeAlias

SIGNATURE = 0x5A0C3B5E
Record: TypeAlias = tuple[int, int, int, int]
"""Status, type, first block, blocks."""


def table(*records: Record, signature: int = SIGNATURE) -> bytes:
    """A sector with up to four records."""
    packed = b"".join(struct.pack("<B3xB3xII", *record) for record in records)
    return bytes(440) + struct.pack("<IH", signature, 0) + packed.ljust(64, b"\0") + b"\x55\xaa"


def disk(blocks: int, sectors: Mapping[int, bytes], block_bytes: int = 512) -> bytes:
    """A disk with these sectors at their blocks, and zeros everywhere else."""
    image = bytearray(blocks * block_bytes)
    for lba, sector in sectors.items():
        image[lba * block_bytes : lba * block_bytes + len(sector)] = sector
    return bytes(image)
