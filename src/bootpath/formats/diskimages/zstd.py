"""Frames of a zstd file: what may be skipped, and the seek table that says where each frame is.

Sources: RFC 8878 §3.1.2 (skippable frames); zstd contrib/seekable_format/zstd_seekable_compression_format.md 0.1.0.
Little endian; the table is a skippable frame at the end of the file::

    0x184D2A5E, u32   bytes that follow, u32
    {compressed bytes, u32   uncompressed bytes, u32   [checksum, u32]} …
    frames, u32   descriptor, u8 (bit 7: checksums; bits 2 to 6: 0)   0x8F92EAB1, u32
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from bootpath.core.errors import FormatError
from bootpath.core.limits import check_limit
from bootpath.formats.region import Region

FRAME_MAGIC = b"\x28\xb5\x2f\xfd"
SKIPPABLE_BYTES = 8
_TABLE_MAGIC, _SEEKABLE_MAGIC = 0x184D2A5E, 0x8F92EAB1
_FOOTER = struct.Struct("<IBI")
_CHECKSUMS, _RESERVED = 0x80, 0x7C
_SPEC = "zstd seekable format 0.1.0"


@dataclass(frozen=True, slots=True)
class ZstdFrame:
    """`size_bytes` of the content, in `packed_bytes` at `offset` of the file."""

    offset: int
    packed_bytes: int
    size_bytes: int


def skippable_bytes(head: bytes) -> int | None:
    """How long the skippable frame is that begins so; None for another frame."""
    if len(head) < SKIPPABLE_BYTES or head[0] & 0xF0 != 0x50 or head[1:4] != b"\x2a\x4d\x18":
        return None
    return SKIPPABLE_BYTES + int.from_bytes(head[4:8], "little")


def read_seek_table(region: Region) -> list[ZstdFrame] | None:
    """The frames of a file that has a seek table, else None. Raises FormatError, LimitError, DeviceError."""
    end = region.size_bytes
    if end < SKIPPABLE_BYTES + _FOOTER.size:
        return None
    count, descriptor, magic = _FOOTER.unpack(region.read(end - _FOOTER.size, _FOOTER.size))
    if magic != _SEEKABLE_MAGIC:
        return None
    if descriptor & _RESERVED:
        raise _fault("the descriptor of the seek table is not known", f"{descriptor:#x}", "no bits of 0x7c")
    check_limit("packed_blocks", count, "the file has too many frames", where="zstd")
    layout = struct.Struct("<III" if descriptor & _CHECKSUMS else "<II")
    size = count * layout.size + _FOOTER.size
    start = end - size - SKIPPABLE_BYTES
    table = region.read(start, size + SKIPPABLE_BYTES, "the seek table")
    if struct.unpack_from("<II", table) != (_TABLE_MAGIC, size):
        raise FormatError("the seek table does not begin where it should", where="zstd", spec=_SPEC)
    frames, offset = [], 0
    for packed, content, *_ in layout.iter_unpack(table[SKIPPABLE_BYTES : -_FOOTER.size]):
        frames.append(ZstdFrame(offset, packed, content))
        offset += packed
    if offset != start:
        raise _fault("the frames of the seek table are not those of the file", f"{offset} bytes", f"{start} bytes")
    return [frame for frame in frames if frame.size_bytes]


def _fault(what: str, found: object, expected: object) -> FormatError:
    return FormatError(what, where="zstd", found=found, expected=expected, spec=_SPEC)
