"""What is compressed in a kernel's file."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable

import pytest
import zstandard

from bootpath.formats.kernels.packed import unpack, unpack_head

CONTENT = bytes(range(256)) * 40


@pytest.mark.parametrize(
    "compress",
    [
        gzip.compress,
        bz2.compress,
        lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
        lzma.compress,
        zstandard.ZstdCompressor().compress,
    ],
    ids=["gzip", "bzip2", "lzma", "xz", "zstd"],
)
def test_compressions(compress: Callable[[bytes], bytes]) -> None:
    packed = compress(CONTENT)
    assert unpack(packed, len(CONTENT) + 1) == CONTENT
    assert unpack(packed + b"size", len(CONTENT) + 1) == CONTENT, "what follows is not a part of it"
    assert unpack(packed, 100) == CONTENT[:100], "no more than was asked for"


def test_what_is_not_unpacked() -> None:
    assert unpack(b"", 100) is None
    assert unpack(b"\x02\x21\x4c\x18" + bytes(100), 100) is None, "lz4"
    assert unpack(gzip.compress(CONTENT)[:-9], len(CONTENT) + 1) is None, "cut short"


def test_the_first_bytes() -> None:
    packed = gzip.compress(CONTENT, 0)
    assert unpack_head(packed[:500], 64) == CONTENT[:64]
    assert unpack_head(b"\x1f\x8b damaged", 64) == b""
