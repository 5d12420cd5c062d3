"""A kernel unpacked before it is started.

Under the translator a kernel takes longer to unpack itself than for all the rest of its start: 4 of 6 seconds, measured
with Debian's. Unpacked by us (0.7 s) and entered as Xen's guests are (PVH), it does the same with the same command line
and initrd, but stays where it was linked to: there is no KASLR. Where that cannot be done QEMU gets the file as it is.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from bootpath.block.leaves.wholefile import read_whole
from bootpath.core.errors import FormatError
from bootpath.formats.bzimage import find_pvh_entry, parse_bzimage

_MAX_MEMORY_BYTES = 256 << 20
_MAX_WINDOW_BYTES = 128 << 20
_MAX_KERNEL_BYTES = 512 << 20
_GZIP = 31


def unpacked_kernel(path: Path) -> bytes | None:
    """The kernel (ELF) in a bzImage, if all of it is there and it can be entered without its unpacker; else None.

    Raises OSError when the file cannot be read, LimitError when it is too large.
    """
    data = read_whole(path, "kernel_bytes")
    try:
        image = parse_bzimage(data)
    except FormatError:
        return None
    payload = data[image.payload.offset : image.payload.end]
    # "The format of both the compressed and uncompressed data should be determined using the standard magic numbers."
    unpack = next((unpack for magic, unpack in _UNPACKERS.items() if payload.startswith(magic)), None)
    if unpack is None or image.kernel_bytes > _MAX_KERNEL_BYTES:
        return None
    # A byte more than there should be: only then the end is seen, and what stands there is checked.
    kernel = unpack(payload, image.kernel_bytes + 1)
    if kernel is None or len(kernel) != image.kernel_bytes or find_pvh_entry(kernel) is None:
        return None
    return kernel


class _Stream(Protocol):
    """Python's own decompressors."""

    @property
    def eof(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def _whole(make: Callable[[], _Stream]) -> Callable[[bytes, int], bytes | None]:
    """What a stream holds, if its end is there too."""

    def unpack(payload: bytes, most: int) -> bytes | None:
        stream = make()
        try:
            kernel = stream.decompress(payload, most)
        except (zlib.error, lzma.LZMAError, OSError, ValueError):
            return None
        return kernel if stream.eof else None

    return unpack


def _zstd(payload: bytes, most: int) -> bytes | None:
    try:
        import zstandard
    except ImportError:
        return None
    try:
        with zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES).stream_reader(payload) as reader:
            return reader.read(most)
    except (zstandard.ZstdError, MemoryError):
        return None


_UNPACKERS: Mapping[bytes, Callable[[bytes, int], bytes | None]] = {
    b"\x1f\x8b": _whole(lambda: zlib.decompressobj(_GZIP)),
    b"BZ": _whole(bz2.BZ2Decompressor),
    b"\x5d\0": _whole(lambda: lzma.LZMADecompressor(memlimit=_MAX_MEMORY_BYTES)),
    b"\xfd7": _whole(lambda: lzma.LZMADecompressor(memlimit=_MAX_MEMORY_BYTES)),
    b"\x28\xb5": _zstd,
}
