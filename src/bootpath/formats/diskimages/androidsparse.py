"""Android sparse images: a disk as chunks of what is there, what repeats, and what nobody cares about.

Source: AOSP system/core/libsparse/sparse_format.h, sparse_read.cpp. Little endian; 28 bytes, then chunks of 12 bytes
and their data, in the order of the disk, without gaps::

    0 magic, u32 = 0xED26FF3A   4 major, u16 = 1   6 minor, u16
    8 header bytes, u16 >= 28   10 chunk header bytes, u16 >= 12
    12 block bytes, u32 (a multiple of 4)   16 blocks, u32   20 chunks, u32   24 CRC-32 of the disk, u32 (0: none)

    chunk: 0 type, u16   4 blocks, u32   8 bytes with the header, u32
    0xCAC1 raw: the blocks   0xCAC2 fill: 4 bytes that repeat   0xCAC3 don't care: nothing, read as zeros
    0xCAC4 CRC-32: 4 bytes, of the disk up to here; no blocks
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from bootpath.core.errors import FormatError
from bootpath.core.limits import check_limit
from bootpath.formats.diskimages.recognise import SPARSE_MAGIC
from bootpath.formats.region import Region

HEADER_BYTES, CHUNK_BYTES, FILL_BYTES, CRC_BYTES = 28, 12, 4, 4
_HEADER = struct.Struct("<4sHHHHIIII")
_CHUNK = struct.Struct("<HHII")
_MAX_BLOCK_BYTES = 1 << 30
_SPEC = "AOSP libsparse/sparse_format.h"


class ChunkKind(IntEnum):
    """What a chunk has."""

    RAW = 0xCAC1
    FILL = 0xCAC2
    DONT_CARE = 0xCAC3
    CRC32 = 0xCAC4


@dataclass(frozen=True, slots=True)
class SparseChunk:
    """`length` bytes of the disk from `offset`; `data_offset` is where their data is in the file."""

    kind: ChunkKind
    offset: int
    length: int
    data_offset: int


@dataclass(frozen=True, slots=True)
class SparseImage:
    """The chunks in order, and the CRCs: (bytes of the disk from its beginning, their CRC-32)."""

    block_bytes: int
    size_bytes: int
    chunks: tuple[SparseChunk, ...]
    crcs: tuple[tuple[int, int], ...]


def read_sparse_image(region: Region) -> SparseImage:
    """The index of an image; no data is read. Raises FormatError, LimitError, DeviceError."""
    header = region.read(0, HEADER_BYTES, "the header")
    magic, major, _, header_bytes, chunk_bytes, block_bytes, blocks, count, crc = _HEADER.unpack(header)
    if magic != SPARSE_MAGIC:
        raise _fault("the magic is wrong", magic.hex(), SPARSE_MAGIC.hex())
    if major != 1:
        raise _fault("the version is not known", major, 1)
    if header_bytes < HEADER_BYTES or chunk_bytes < CHUNK_BYTES:
        raise _fault("the headers are too small", f"{header_bytes} and {chunk_bytes} bytes", "28 and 12, or more")
    if not block_bytes or block_bytes % 4 or block_bytes > _MAX_BLOCK_BYTES:
        raise _fault("the block size is not valid", block_bytes, f"a multiple of 4 up to {_MAX_BLOCK_BYTES}")
    check_limit("packed_blocks", count, "the image has too many chunks", where="Android sparse image")
    chunks: list[SparseChunk] = []
    crcs: list[tuple[int, int]] = []
    position, offset, size = header_bytes, 0, blocks * block_bytes
    for index in range(count):
        kind, _, length, total = _CHUNK.unpack(region.read(position, CHUNK_BYTES, f"the header of chunk {index}"))
        data_offset, data_bytes = position + chunk_bytes, total - chunk_bytes
        length *= block_bytes
        _check_chunk(index, kind, length, data_bytes)
        if offset + length > size:
            raise _fault(f"chunk {index} ends beyond the disk", f"byte {offset + length}", f"at most {size}")
        if data_offset + data_bytes > region.size_bytes:
            raise FormatError(
                f"the data of chunk {index} ends beyond the file",
                where="Android sparse image",
                found=f"byte {data_offset + data_bytes}",
                expected=f"at most {region.size_bytes}",
                hint="is the file truncated?",
            )
        if kind == ChunkKind.CRC32:
            crcs.append((offset, int.from_bytes(region.read(data_offset, CRC_BYTES), "little")))
        elif length:
            chunks.append(SparseChunk(ChunkKind(kind), offset, length, data_offset))
        offset += length
        position += total
    if offset != size:
        raise _fault("the chunks are not the whole disk", f"{offset} bytes", f"{size} bytes")
    if crc:
        crcs.append((size, crc))
    return SparseImage(block_bytes, size, tuple(chunks), tuple(crcs))


def _check_chunk(index: int, kind: int, length: int, data_bytes: int) -> None:
    wanted = {
        ChunkKind.RAW: length,
        ChunkKind.FILL: FILL_BYTES,
        ChunkKind.DONT_CARE: 0,
        ChunkKind.CRC32: CRC_BYTES,
    }.get(kind)  # type: ignore[call-overload]
    if wanted is None:
        raise _fault(f"the type of chunk {index} is not known", f"{kind:#06x}", "0xcac1 to 0xcac4")
    if data_bytes != wanted or (kind == ChunkKind.CRC32 and length):
        raise _fault(f"the size of chunk {index} is wrong", f"{data_bytes} bytes of data", f"{wanted} bytes")


def _fault(what: str, found: object, expected: object) -> FormatError:
    return FormatError(what, where="Android sparse image", found=found, expected=expected, spec=_SPEC)
