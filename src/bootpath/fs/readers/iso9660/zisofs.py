"""Files that are compressed in blocks, each by itself: zisofs, which Linux unpacks when it reads them.

Source: "zisofs compressed file format" (H. P. Anvin, in zisofs-tools and libisofs doc/zisofs_format.txt). The header,
of as many bytes as ZF says, begins with 37 e4 53 96 c9 db d6 07; behind it are places in the file, u32 little endian,
one for each block and one for the end. A block is a zlib stream; one without bytes is zeros.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from sys import byteorder

from bootpath.formats.iso9660.rockridge import Compressed
from bootpath.fs.readers.codecs import Codec, decompress
from bootpath.fs.readers.source import Source

MAGIC = bytes.fromhex("37e45396c9dbd607")
_POINTER_BYTES = 4
_MAX_POINTERS = 1 << 18  # 8 GiB in blocks of 32 KiB

ReadStored = Callable[[int, int], bytes]
"""Bytes of the file as they are stored, by offset and length; raises FormatError past its end."""


def read_compressed(source: Source, how: Compressed, stored: ReadStored, offset: int, length: int) -> bytes:
    """`length` bytes of the unpacked file from byte `offset`, which are inside it. Raises FormatError, DeviceError."""
    if stored(0, len(MAGIC)) != MAGIC:
        raise source.fault("corrupt: a compressed file has no header", found=stored(0, len(MAGIC)).hex())
    first, last = offset // how.block_bytes, (offset + length - 1) // how.block_bytes
    if last - first >= _MAX_POINTERS:
        raise source.fault("too many blocks are read at once", found=last - first + 1, expected=_MAX_POINTERS)
    table = stored(how.header_bytes + first * _POINTER_BYTES, (last - first + 2) * _POINTER_BYTES)
    places = array("I", table)
    if byteorder == "big":
        places.byteswap()
    blocks = []
    for number in range(first, last + 1):
        start, end = places[number - first], places[number - first + 1]
        size = min(how.block_bytes, how.size_bytes - number * how.block_bytes)
        blocks.append(_block(source, how, stored, start, end, size))
    skip = offset - first * how.block_bytes
    return b"".join(blocks)[skip : skip + length]


def _block(source: Source, how: Compressed, stored: ReadStored, start: int, end: int, size: int) -> bytes:
    if start == end:
        return bytes(size)
    # deflate makes nothing much longer than it was
    if not start < end <= start + 2 * how.block_bytes:
        raise source.fault("corrupt: a compressed block has a wrong length", found=f"{end - start} bytes at {start}")
    source.spend_unpacked(size)
    data = decompress(Codec.ZLIB, stored(start, end - start), size)
    if len(data) != size:
        raise source.fault(
            "corrupt: a compressed block has the wrong length", found=f"{len(data)} bytes", expected=f"{size} bytes"
        )
    return data
