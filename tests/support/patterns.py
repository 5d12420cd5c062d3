"""Sectors that identify themselves: the sector's index and a tag at both ends, so that a byte in the wrong place, a
shift by any amount and a half-written sector all show."""

from __future__ import annotations

import struct

from bootpath.core.device import SECTOR_BYTES

_LABEL = struct.Struct("<IIQ")
_MAGIC = 0x5EC70125


def sector(index: int, tag: int = 0) -> bytes:
    """The 512 bytes of sector `index`; `tag` tells generations or devices apart."""
    label = _LABEL.pack(_MAGIC, tag, index)
    filler = bytes((index * 7 + tag * 31 + position) % 251 for position in range(16))
    body = (filler * (SECTOR_BYTES // 16))[: SECTOR_BYTES - 2 * _LABEL.size]
    return label + body + label


def pattern(offset: int, length: int, tag: int = 0) -> bytes:
    """`length` bytes of the pattern from any byte `offset`."""
    first = offset // SECTOR_BYTES
    last = -(-(offset + length) // SECTOR_BYTES)
    whole = b"".join(sector(index, tag) for index in range(first, last))
    skip = offset - first * SECTOR_BYTES
    return whole[skip : skip + length]


def identify(data: bytes) -> str:
    """What a sector says about itself, for messages."""
    magic, tag, index = _LABEL.unpack_from(data)
    if magic != _MAGIC:
        return "no pattern" if any(data) else "zeros"
    whole = data[-_LABEL.size :] == data[: _LABEL.size]
    return f"sector {index} tag {tag}{'' if whole else ' (torn)'}"


def assert_pattern(data: bytes, offset: int, tag: int = 0) -> None:
    """Fail with the names of the first sector that is not what it should be."""
    expected = pattern(offset, len(data), tag)
    if data == expected:
        return
    for position in range(0, len(data), SECTOR_BYTES):
        found = data[position : position + SECTOR_BYTES]
        if found != expected[position : position + SECTOR_BYTES]:
            raise AssertionError(
                f"byte {offset + position} tag {tag} holds {identify(found.ljust(SECTOR_BYTES, b'?'))}"
            )
