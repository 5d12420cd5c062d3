"""The compressions of an initramfs that Linux unpacks: none, gzip, xz, zstd. The same input gives the same bytes.

Source: Linux lib/decompress.c and Documentation/staging/xz.rst (CRC32, or no check). Nothing of the time or the machine
is put into the headers. zstd needs the zstandard library; the others are Python's own.
"""

from __future__ import annotations

import gzip
import lzma
from enum import Enum

from bootpath.core.errors import Error
from bootpath.core.extras import pip_install

GZIP_LEVEL = 6
# On an archive of 23 MB, zstd 10 takes 0.8 s and leaves 8.1 MB; 19 takes 12 s for 7.0 MB.
ZSTD_LEVEL = 10
_XZ_DICTIONARY_BYTES = 16 << 20


class Compression(Enum):
    """How an archive is compressed."""

    NONE = "none"
    GZIP = "gzip"
    XZ = "xz"
    ZSTD = "zstd"


def compress(data: bytes, compression: Compression) -> bytes:
    """The compressed data. Raises Error when zstd is asked for and its library is not installed."""
    match compression:
        case Compression.NONE:
            return data
        case Compression.GZIP:
            return gzip.compress(data, compresslevel=GZIP_LEVEL, mtime=0)
        case Compression.XZ:
            # The kernel's decompressor knows CRC32, not the CRC64 that xz writes unasked.
            # It also takes memory as large as the dictionary: enough for the whole of a small archive, and no more.
            filters = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": _XZ_DICTIONARY_BYTES}]
            return lzma.compress(data, check=lzma.CHECK_CRC32, filters=filters)
        case Compression.ZSTD:
            try:
                import zstandard
            except ImportError as fault:
                raise Error(
                    "zstd needs zstandard, which is not installed",
                    hint=f"{pip_install('initramfs')}, or choose another with --compression",
                ) from fault
            return zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True).compress(data)
