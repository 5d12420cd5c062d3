"""The exception store of a persistent snapshot: which chunks were changed, and where on the COW device they are.

Source: Linux drivers/md/dm-snap-persistent.c (6.12). Everything is little-endian and counted in chunks of
`chunk_sectors` sectors::

    chunk 0          header: u32 magic "SnAp", u32 valid, u32 version 1, u32 chunk_sectors; zeros
    chunk 1          area 0: as many exceptions as fit, {u64 old_chunk, u64 new_chunk} each
    chunks 2…        their content, one chunk for each exception
    …                area 1, after the content of area 0; and so on

The exceptions end at the first whose new_chunk is 0, since no content can be there. When an area becomes full the next
one is cleared before, so there is always an end. A header whose magic is 0 is a store that nobody has used.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bootpath.core.errors import FormatError
from bootpath.formats.dm.snapshot import MAX_CHUNK_SECTORS

MAGIC = 0x70416E53
VERSION = 1
_HEADER = struct.Struct("<4I")
_EXCEPTION = struct.Struct("<2Q")
HEADER_BYTES = _HEADER.size
EXCEPTION_BYTES = _EXCEPTION.size
_SECTOR_BYTES = 512


@dataclass(frozen=True, slots=True)
class SnapshotHeader:
    """What chunk 0 says. `valid` false: the kernel gave the snapshot up. Raises FormatError for a chunk of no use."""

    chunk_sectors: int
    valid: bool = True

    def __post_init__(self) -> None:
        if self.chunk_sectors.bit_count() != 1 or self.chunk_sectors > MAX_CHUNK_SECTORS:
            raise _fault(
                "chunk_sectors is not a size of chunks", self.chunk_sectors, f"a power of two up to {MAX_CHUNK_SECTORS}"
            )

    @property
    def chunk_bytes(self) -> int:
        """Bytes of a chunk."""
        return self.chunk_sectors * _SECTOR_BYTES

    @property
    def area_exceptions(self) -> int:
        """Exceptions of an area."""
        return self.chunk_bytes // EXCEPTION_BYTES

    def area_chunk(self, area: int) -> int:
        """The chunk of an area, counted from 0."""
        return 1 + (self.area_exceptions + 1) * area

    def is_content(self, chunk: int) -> bool:
        """Whether content may be in a chunk: it is neither the header nor an area."""
        return chunk > 0 and chunk % (self.area_exceptions + 1) != 1

    def after(self, chunk: int) -> int:
        """The next chunk after `chunk` for content."""
        return chunk + 1 if self.is_content(chunk + 1) else chunk + 2


def parse_snapshot_header(data: bytes) -> SnapshotHeader | None:
    """The header at the start of a COW device; None for an unused one. Raises FormatError."""
    if len(data) < HEADER_BYTES:
        raise _fault("the header is too short", f"{len(data)} bytes", f"{HEADER_BYTES} bytes")
    magic, valid, version, chunk_sectors = _HEADER.unpack_from(data)
    if magic == 0:
        return None
    if magic != MAGIC:
        raise _fault(
            "the device holds something else than a snapshot store",
            f"magic {magic:#x}",
            f"{MAGIC:#x}, or 0 for a new store",
        )
    if version != VERSION:
        raise _fault("the version is not supported", version, str(VERSION))
    return SnapshotHeader(chunk_sectors, valid != 0)


def pack_snapshot_header(header: SnapshotHeader) -> bytes:
    """The whole of chunk 0."""
    packed = _HEADER.pack(MAGIC, header.valid, VERSION, header.chunk_sectors)
    return packed.ljust(header.chunk_bytes, b"\0")


def iter_exceptions(area: bytes) -> Iterator[tuple[int, int]]:
    """(old chunk, new chunk) of an area's exceptions, up to the end of them."""
    for old, new in _EXCEPTION.iter_unpack(area):
        if new == 0:
            return
        yield old, new


def pack_exceptions(exceptions: Sequence[tuple[int, int]], header: SnapshotHeader) -> bytes:
    """The chunk of an area that holds these."""
    assert len(exceptions) <= header.area_exceptions
    return b"".join(_EXCEPTION.pack(old, new) for old, new in exceptions).ljust(header.chunk_bytes, b"\0")


def _fault(what: str, found: object, expected: str) -> FormatError:
    return FormatError(what, where="snapshot store", found=found, expected=expected)
