"""Where the blocks of an .xz file are, by the indexes at the ends of its streams.

Source: The .xz File Format 1.2, §2.1 (stream header and footer), §2.2 (padding), §4 (index). Little endian::

    stream ::= header, 12   block …   index   footer, 12          file ::= stream {zeros, a multiple of 4} …

    header   fd 37 7a 58 5a 00   flags, 2 (0, check type)   CRC-32 of the flags
    footer   CRC-32 of the next 6   (index size / 4) - 1, u32   flags, 2   59 5a
    index    00   records, vli   {unpadded size, vli   uncompressed size, vli} …   zeros to 4   CRC-32 of all that

A block of `unpadded` bytes takes the next multiple of 4. `stream_of_block` makes a stream of one block, for a decoder
that then checks everything there is to check.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from zlib import crc32

from bootpath.core.errors import FormatError
from bootpath.core.limits import check_limit
from bootpath.formats.region import Region

HEADER_BYTES = FOOTER_BYTES = 12
_HEADER_MAGIC, _FOOTER_MAGIC = b"\xfd7zXZ\0", b"YZ"
_VLI_BYTES = 9
_PADDING_BYTES = 64 << 10
_MAX_PADDING_BYTES = 16 << 20
_STREAM_COST = 4  # of a stream by itself: reading its header, footer and index takes as long as so many blocks
_SPEC = "The .xz File Format 1.2"


@dataclass(frozen=True, slots=True)
class XzBlock:
    """`size_bytes` of the content, packed at `offset` in the file, in a stream with these flags."""

    offset: int
    unpadded_bytes: int
    size_bytes: int
    flags: bytes


def read_xz_index(region: Region) -> list[XzBlock]:
    """The blocks of a whole .xz file, in order. Raises FormatError, LimitError for too many, DeviceError."""
    streams: list[list[XzBlock]] = []
    end, count = region.size_bytes, 0
    while end:
        end = _before_padding(region, end)
        blocks, end = _read_stream(region, end)
        count += len(blocks) + _STREAM_COST
        check_limit("packed_blocks", count, "the file has too many blocks", where="xz")
        streams.append(blocks)
    return [block for blocks in reversed(streams) for block in blocks]


def stream_of_block(block: XzBlock, packed: bytes) -> bytes:
    """A whole stream, with the bytes of one block."""
    record = _pack_vli(block.unpadded_bytes) + _pack_vli(block.size_bytes)
    index = b"\0\x01" + record
    index += bytes(-len(index) % 4)
    index += struct.pack("<I", crc32(index))
    ending = struct.pack("<I", len(index) // 4 - 1) + block.flags
    header = _HEADER_MAGIC + block.flags + struct.pack("<I", crc32(block.flags))
    return header + packed + index + struct.pack("<I", crc32(ending)) + ending + _FOOTER_MAGIC


def _before_padding(region: Region, end: int) -> int:
    """Where the stream ends behind which there are only zeros."""
    first = end
    while end:
        if first - end > _MAX_PADDING_BYTES:
            raise _fault("there are only zeros at the end", f"{first - end} bytes or more", "the end of a stream")
        start = max(end - (_PADDING_BYTES if end < first else FOOTER_BYTES), 0)
        piece = region.read(start, end - start).rstrip(b"\0")
        if piece:
            # The magic at the end of a footer has no zero in it.
            found = start + len(piece)
            if (first - found) % 4 and piece.endswith(_FOOTER_MAGIC):
                raise _fault("the padding of a stream is not valid", f"{first - found} bytes", "a multiple of 4")
            return found
        end = start
    raise _fault("there are only zeros", f"{first} bytes", "the end of a stream")


def _read_stream(region: Region, end: int) -> tuple[list[XzBlock], int]:
    """The blocks of the stream that ends there, and where it begins."""
    footer = region.read(end - FOOTER_BYTES, FOOTER_BYTES, "the footer of a stream")
    checksum, backward, flags, magic = struct.unpack("<II2s2s", footer)
    if magic != _FOOTER_MAGIC:
        raise FormatError("there is no end of a stream", where="xz", spec=_SPEC, hint="is the file truncated?")
    if crc32(footer[4:10]) != checksum:
        raise _fault("the checksum of a footer does not match", f"{crc32(footer[4:10]):#010x}", f"{checksum:#010x}")
    index_bytes = (backward + 1) * 4
    # A record has two integers at most, so this many at least are in the index.
    check_limit("packed_blocks", index_bytes // (2 * _VLI_BYTES), "the file has too many blocks", where="xz")
    index_at = end - FOOTER_BYTES - index_bytes
    records = _parse_index(region.read(index_at, index_bytes, "the index of a stream"))
    start = index_at - sum((unpadded + 3) & ~3 for unpadded, _ in records) - HEADER_BYTES
    header = region.read(start, HEADER_BYTES, "the header of a stream") if start >= 0 else b""
    if header[:8] != _HEADER_MAGIC + flags or header[8:] != struct.pack("<I", crc32(flags)):
        raise FormatError("there is no stream where the index says that it begins", where="xz", spec=_SPEC)
    blocks, offset = [], start + HEADER_BYTES
    for unpadded, size in records:
        blocks.append(XzBlock(offset, unpadded, size, flags))
        offset += (unpadded + 3) & ~3
    return blocks, start


def _parse_index(data: bytes) -> list[tuple[int, int]]:
    if crc32(data[:-4]) != int.from_bytes(data[-4:], "little"):
        raise FormatError("the checksum of the index does not match", where="xz", spec=_SPEC)
    body = data[:-4]
    if body[:1] != b"\0":
        raise _fault("the index does not begin as one", body[:1].hex(), "00")
    count, position = _parse_vli(body, 1)
    check_limit("packed_blocks", count, "the file has too many blocks", where="xz")
    records = []
    for _ in range(count):
        unpadded, position = _parse_vli(body, position)
        size, position = _parse_vli(body, position)
        if unpadded < 5:
            raise _fault("the size of a block is too small", unpadded, "at least 5")
        records.append((unpadded, size))
    if len(body) - position > 3 or any(body[position:]):
        raise FormatError("there is something behind the records of the index", where="xz", spec=_SPEC)
    return records


def _parse_vli(data: bytes, position: int) -> tuple[int, int]:
    """A multibyte integer (§1.2), and where the next one is."""
    value = 0
    for index in range(_VLI_BYTES):
        if position + index >= len(data):
            break
        byte = data[position + index]
        value |= (byte & 0x7F) << 7 * index
        if not byte & 0x80:
            if index and not byte:
                break
            return value, position + index + 1
    raise FormatError("an integer of the index is not valid", where="xz", spec=f"{_SPEC} §1.2")


def _pack_vli(value: int) -> bytes:
    packed = bytearray()
    while value > 0x7F:
        packed.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*packed, value))


def _fault(what: str, found: object, expected: object) -> FormatError:
    return FormatError(what, where="xz", found=found, expected=expected, spec=_SPEC)
