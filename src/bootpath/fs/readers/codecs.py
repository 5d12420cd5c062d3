"""The compressions of file systems, each bounded by the size that its file system promises.

Sources: the formats' own; erofs's MicroLZMA is an LZMA stream whose first byte, always zero, is replaced by the
inverted byte of lc, lp and pb, without an end mark (xz's lzma_microlzma_decoder). zlib and lzma are Python's; zstd
needs the zstandard library, imported only when something is compressed with it.

Invariant: never more output than asked for, whatever the input claims, and no more memory than that and a window.
"""

from __future__ import annotations

import lzma
import zlib
from enum import Enum

from bootpath.core.errors import FormatError
from bootpath.core.extras import NotInstalledError
from bootpath.fs.readers.lz4block import decompress_lz4_block
from bootpath.fs.readers.lzo1x import decompress_lzo1x

_MAX_MEMORY_BYTES = 64 << 20
_MAX_WINDOW_BYTES = 8 << 20
_RAW_DEFLATE = -15
_MAX_LZMA_PROPERTIES = 225  # (pb * 5 + lp) * 9 + lc, each at its largest


class Codec(Enum):
    """How bytes are compressed."""

    ZLIB = "gzip"
    DEFLATE = "deflate"
    XZ = "xz"
    MICRO_LZMA = "lzma"
    LZ4 = "lz4"
    LZO = "lzo"
    ZSTD = "zstd"


def decompress(codec: Codec, data: bytes, length: int) -> bytes:
    """The first `length` bytes of what `data` holds; less when it holds less.

    Raises FormatError for damaged data, NotInstalledError when a library is missing.
    """
    try:
        match codec:
            case Codec.ZLIB:
                return zlib.decompressobj().decompress(data, length)
            case Codec.DEFLATE:
                return zlib.decompressobj(_RAW_DEFLATE).decompress(data, length)
            case Codec.XZ:
                return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MAX_MEMORY_BYTES).decompress(data, length)
            case Codec.MICRO_LZMA:
                return _micro_lzma(data, length)
            case Codec.LZ4:
                return decompress_lz4_block(data, length)
            case Codec.LZO:
                return decompress_lzo1x(data, length)
            case Codec.ZSTD:
                return _zstd(data, length)
    except (zlib.error, lzma.LZMAError) as fault:
        raise FormatError(f"corrupt: {fault}", where=codec.value) from fault


def _micro_lzma(data: bytes, length: int) -> bytes:
    properties = ~data[0] & 0xFF if data else 0xFF
    if properties >= _MAX_LZMA_PROPERTIES:
        raise FormatError(
            "corrupt: the properties are not valid", where="lzma", found=properties, expected="at most 224"
        )
    rest, lc = divmod(properties, 9)
    pb, lp = divmod(rest, 5)
    # A match reaches back no further than the output, so its length is window enough.
    filters = [{"id": lzma.FILTER_LZMA1, "dict_size": max(length, 4096), "lc": lc, "lp": lp, "pb": pb}]
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters).decompress(b"\0" + data[1:], length)


def _zstd(data: bytes, length: int) -> bytes:
    try:
        import zstandard
    except ImportError as fault:
        raise NotInstalledError("zstandard", "zstd", "a file system that is compressed with zstd") from fault
    try:
        decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES)
        with decompressor.stream_reader(data) as reader:
            return reader.read(length)
    except (zstandard.ZstdError, MemoryError) as fault:
        raise FormatError(f"corrupt: {fault}", where="zstd") from fault
