"""Compressed files: blocks by their places, and places that lie."""

from __future__ import annotations

import struct
import zlib

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.iso9660.rockridge import Compressed
from bootpath.fs.readers.iso9660.zisofs import MAGIC, read_compressed
from bootpath.fs.readers.source import Source
from tests.support.isofiles import device

BLOCK = 32768
CONTENT = b"first " * 10_000 + bytes(BLOCK * 2) + b"end"
HOW = Compressed(len(CONTENT), 16, BLOCK)


def stored(content: bytes = CONTENT) -> bytes:
    """The file as mkzftree writes it."""
    blocks = [content[at : at + BLOCK] for at in range(0, len(content), BLOCK)]
    packed = [zlib.compress(block) if block.strip(b"\0") else b"" for block in blocks]
    place = 16 + 4 * (len(blocks) + 1)
    places = [place + sum(map(len, packed[:number])) for number in range(len(packed) + 1)]
    return (
        MAGIC
        + struct.pack("<IBBH", len(content), 4, 15, 0)
        + struct.pack(f"<{len(places)}I", *places)
        + b"".join(packed)
    )


def read(file: bytes, offset: int, length: int, how: Compressed = HOW) -> bytes:
    source = Source(device(bytes(512)), "iso9660")

    def take(at: int, count: int) -> bytes:
        if at + count > len(file):
            raise source.fault("corrupt: a file is too short")
        return file[at : at + count]

    return read_compressed(source, how, take, offset, length)


def test_ranges() -> None:
    file = stored()
    for offset, length in ((0, 1), (BLOCK - 1, 2), (0, len(CONTENT)), (70_000, 50_000), (len(CONTENT) - 3, 3)):
        assert read(file, offset, length) == CONTENT[offset : offset + length]


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (0, b"\0", "corrupt: a compressed file has no header"),
        (20, struct.pack("<I", 9), "corrupt: a compressed block has a wrong length"),
        (20, struct.pack("<I", 1 << 31), "corrupt: a compressed block has a wrong length"),
        (20, struct.pack("<I", 60_000), "corrupt: a file is too short"),
        (40, b"xxx", "gzip: corrupt"),
        (20, struct.pack("<I", 41), "corrupt: a compressed block has the wrong length; expected 32768 bytes"),
    ],
)
def test_files_that_lie(at: int, value: bytes, message: str) -> None:
    file = bytearray(stored())
    file[at : at + len(value)] = value
    with pytest.raises(FormatError, match=message):
        read(bytes(file), 0, 10)


def test_very_many_blocks() -> None:
    with pytest.raises(FormatError, match="too many blocks are read at once"):
        read(stored(), 0, 1 << 34, Compressed(1 << 34, 16, BLOCK))
