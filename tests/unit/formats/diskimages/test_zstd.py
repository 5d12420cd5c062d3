from __future__ import annotations

import struct

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.core.errors import FormatError, LimitError
from bootpath.core.limits import limits_raised
from bootpath.formats.diskimages.zstd import read_seek_table, skippable_bytes
from bootpath.formats.region import Region


def file(frames: list[tuple[int, int]], *, descriptor: int = 0, size: int | None = None, body: int = 0) -> Region:
    entries = b"".join(struct.pack("<II", *frame) + bytes(4 if descriptor & 0x80 else 0) for frame in frames)
    footer = struct.pack("<IBI", len(frames), descriptor, 0x8F92EAB1)
    length = len(entries) + len(footer) if size is None else size
    packed = sum(packed for packed, _ in frames) + body
    data = bytes(packed) + struct.pack("<II", 0x184D2A5E, length) + entries + footer
    return Region(MemoryDevice(data + bytes(-len(data) % 512)), 0, len(data))


@pytest.mark.parametrize("descriptor", [0, 0x80, 0x03])
def test_frames(descriptor: int) -> None:
    found = read_seek_table(file([(10, 100), (5, 0), (20, 300)], descriptor=descriptor))
    assert found is not None
    assert [(each.offset, each.packed_bytes, each.size_bytes) for each in found] == [(0, 10, 100), (15, 20, 300)]


def test_no_table() -> None:
    assert read_seek_table(Region(MemoryDevice(512))) is None
    assert read_seek_table(Region(MemoryDevice(512), 0, 4)) is None


@pytest.mark.parametrize(
    ("region", "message"),
    [
        (file([(1, 1)], descriptor=4), "the descriptor of the seek table is not known"),
        (file([(1, 1)], size=3), "the seek table does not begin where it should"),
        (file([(1, 1)], body=5), "the frames of the seek table are not those of the file"),
    ],
)
def test_refusal(region: Region, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read_seek_table(region)


def test_too_many_frames() -> None:
    with limits_raised(packed_blocks=1), pytest.raises(LimitError, match="too many frames"):
        read_seek_table(file([(1, 1), (1, 1)]))


def test_what_may_be_skipped() -> None:
    assert skippable_bytes(b"\x5f\x2a\x4d\x18\x10\0\0\0") == 24
    assert skippable_bytes(b"\x5f\x2a\x4d\x18\x10\0\0") is None
    assert skippable_bytes(b"\x28\xb5\x2f\xfd\x10\0\0\0") is None
