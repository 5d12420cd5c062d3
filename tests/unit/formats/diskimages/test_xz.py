from __future__ import annotations

import lzma
import subprocess

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.core.errors import FormatError, LimitError
from bootpath.core.limits import limits_raised
from bootpath.formats.diskimages.xz import read_xz_index, stream_of_block
from bootpath.formats.region import Region
from tests.support.tools import tool

CONTENT = b"".join(number.to_bytes(3, "big") for number in range(5000))


def region(data: bytes) -> Region:
    return Region(MemoryDevice(data + bytes(-len(data) % 512)), 0, len(data))


def packed(*options: str, content: bytes = CONTENT) -> bytes:
    return subprocess.run([tool("xz"), "-c", *options], input=content, check=True, capture_output=True).stdout


@pytest.mark.parametrize("check", ["none", "crc32", "crc64", "sha256"])
@pytest.mark.parametrize("extra", [(), ("--x86", "--lzma2=preset=1"), ("--delta=dist=3", "--lzma2=preset=9")])
def test_each_block_by_itself(check: str, extra: tuple[str, ...]) -> None:
    data = packed("--block-size=4096", f"--check={check}", *extra) + bytes(12) + packed(f"--check={check}", *extra)
    blocks = read_xz_index(region(data))
    assert [block.size_bytes for block in blocks] == [4096, 4096, 4096, 2712, 15000]
    found = [
        lzma.decompress(stream_of_block(block, data[block.offset : block.offset + (block.unpadded_bytes + 3 & ~3)]))
        for block in blocks
    ]
    assert b"".join(found) == CONTENT + CONTENT


def test_no_blocks() -> None:
    assert read_xz_index(region(packed(content=b""))) == []


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:-4], "there is no end of a stream"),
        (lambda data: data + bytes(3), "the padding of a stream is not valid"),
        (lambda data: bytes(12), "there are only zeros"),
        (lambda data: data[:-11] + b"\x55" + data[-10:], "the checksum of a footer does not match"),
        (lambda data: data[:-16] + b"\x55" + data[-15:], "the checksum of the index does not match"),
        (lambda data: data[1:], "there is no stream where the index says"),
    ],
)
def test_refusal(damage: object, message: str) -> None:
    assert callable(damage)
    with pytest.raises(FormatError, match=message):
        read_xz_index(region(damage(packed("--block-size=4096"))))


def test_too_many_blocks() -> None:
    with limits_raised(packed_blocks=3), pytest.raises(LimitError, match="too many blocks"):
        read_xz_index(region(packed("--block-size=4096")))
