"""What is compressed in a kernel's file: found by its first bytes, unpacked to at most so many.

Source: Linux Documentation/arch/x86/boot.rst, payload_offset: "The format of both the compressed and uncompressed data
should be determined using the standard magic numbers", with the list of them; scripts/Makefile.lib makes each.

    1f 8b gzip    42 5a bzip2    5d 00 LZMA    fd 37 xz    28 b5 zstd    02 21 lz4, 89 4c lzo: not unpacked here
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Mapping
from typing import Protocol

GZIP_MAGIC, ZSTD_MAGIC = b"\x1f\x8b", b"\x28\xb5"

_MAX_MEMORY_BYTES = 256 << 20
_MAX_WINDOW_BYTES = 128 << 20
_GZIP = 31


def unpack(payload: bytes, most_bytes: int) -> bytes | None:
    """What is packed in `payload`, which may be followed by other bytes; no more than `most_bytes` of it.

    None when it is damaged, is cut short, or is of a compression that is not known here.
    """
    unpacker = next((unpacker for magic, unpacker in _UNPACKERS.items() if payload.startswith(magic)), None)
    return None if unpacker is None else unpacker(payload, most_bytes)


def unpack_head(payload: bytes, most_bytes: int) -> bytes:
    """The first bytes of what gzip packed, b"" when it is damaged."""
    try:
        return zlib.decompressobj(_GZIP).decompress(payload, most_bytes)
    except zlib.error:
        return b""


class _Stream(Protocol):
    """Python's own decompressors."""

    @property
    def eof(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def _whole(make: Callable[[], _Stream]) -> Callable[[bytes, int], bytes | None]:
    """What a stream holds, if its end is there too, or more than was asked for."""

    def unpacker(payload: bytes, most_bytes: int) -> bytes | None:
        stream = make()
        try:
            content = stream.decompress(payload, most_bytes)
        except (zlib.error, lzma.LZMAError, OSError, ValueError):
            return None
        return content if stream.eof or len(content) == most_bytes else None

    return unpacker


def _zstd(payload: bytes, most_bytes: int) -> bytes | None:
    try:
        import zstandard
    except ImportError:
        return None
    try:
        with zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES).stream_reader(payload) as reader:
            return reader.read(most_bytes)
    except (zstandard.ZstdError, MemoryError):
        return None


_UNPACKERS: Mapping[bytes, Callable[[bytes, int], bytes | None]] = {
    GZIP_MAGIC: _whole(lambda: zlib.decompressobj(_GZIP)),
    b"BZ": _whole(bz2.BZ2Decompressor),
    b"\x5d\0": _whole(lambda: lzma.LZMADecompressor(memlimit=_MAX_MEMORY_BYTES)),
    b"\xfd7": _whole(lambda: lzma.LZMADecompressor(memlimit=_MAX_MEMORY_BYTES)),
    ZSTD_MAGIC: _zstd,
}
