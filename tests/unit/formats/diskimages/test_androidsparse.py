from __future__ import annotations

import struct

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.core.errors import FormatError, LimitError
from bootpath.core.limits import limits_raised
from bootpath.formats.diskimages.androidsparse import ChunkKind, read_sparse_image
from bootpath.formats.region import Region

RAW, FILL, SKIP, CRC = 0xCAC1, 0xCAC2, 0xCAC3, 0xCAC4


def image(
    *chunks: tuple[int, int, bytes], blocks: int = 4, magic: int = 0xED26FF3A, major: int = 1, block: int = 1024,
    crc: int = 0, header: int = 28,
) -> Region:  # fmt: skip
    data = struct.pack("<IHHHHIIII", magic, major, 0, header, 12, block, blocks, len(chunks), crc)
    for kind, count, content in chunks:
        data += struct.pack("<HHII", kind, 0, count, 12 + len(content)) + content
    return Region(MemoryDevice(data + bytes(-len(data) % 512)), 0, len(data))


def test_chunks() -> None:
    found = read_sparse_image(
        image((RAW, 1, bytes(1024)), (CRC, 0, b"\1\2\3\4"), (FILL, 2, b"abcd"), (SKIP, 1, b""), crc=7)
    )
    assert [(each.kind, each.offset, each.length, each.data_offset) for each in found.chunks] == [
        (ChunkKind.RAW, 0, 1024, 40),
        (ChunkKind.FILL, 1024, 2048, 1092),
        (ChunkKind.DONT_CARE, 3072, 1024, 1108),
    ]
    assert found.crcs == ((1024, 0x04030201), (4096, 7))


@pytest.mark.parametrize(
    ("region", "message"),
    [
        (image(magic=1), "the magic is wrong"),
        (image(major=2), "the version is not known"),
        (image(header=20), "the headers are too small"),
        (image(block=0), "the block size is not valid"),
        (image(block=6), "the block size is not valid"),
        (image((SKIP, 3, b"")), "the chunks are not the whole disk"),
        (image((SKIP, 5, b"")), "chunk 0 ends beyond the disk"),
        (image((0xCAC5, 4, b"")), "the type of chunk 0 is not known"),
        (image((FILL, 4, b"abc")), "the size of chunk 0 is wrong"),
        (image((RAW, 4, b"abcd")), "the size of chunk 0 is wrong"),
        (image((CRC, 1, b"abcd")), "the size of chunk 0 is wrong"),
        (Region(image((RAW, 4, bytes(4096))).device, 0, 2000), "the data of chunk 0 ends beyond the file"),
        (Region(MemoryDevice(512), 0, 20), "the header"),
    ],
)
def test_refusal(region: Region, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read_sparse_image(region)


def test_too_many_chunks() -> None:
    with limits_raised(packed_blocks=1), pytest.raises(LimitError, match="too many chunks"):
        read_sparse_image(image((SKIP, 2, b""), (SKIP, 2, b"")))
