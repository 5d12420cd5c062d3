from __future__ import annotations

import errno

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.targets.striped import Striped
from bootpath.core.device import Identity, checked, read_bytes
from bootpath.core.errors import DeviceError
from tests.support.patterns import pattern
from tests.unit.block.support import KIB, Counting

CHUNK = 4 * KIB


def spread(content: bytes, count: int, chunk: int = CHUNK, start: int = 0) -> list[bytearray]:
    """The stripes of a content, the slow way."""
    stripes = [bytearray(start) for _ in range(count)]
    for number, first in enumerate(range(0, len(content), chunk)):
        stripes[number % count] += content[first : first + chunk]
    return stripes


def striped(count: int, *, rounds: int = 4, start: int = 0) -> tuple[Striped, list[Counting], bytes]:
    content = pattern(0, rounds * count * CHUNK)
    lower = [
        Counting(stripe, identity=Identity(f"sd{index}"))
        for index, stripe in enumerate(spread(content, count, start=start))
    ]
    return Striped([(each, start) for each in lower], chunk_bytes=CHUNK, size_bytes=len(content)), lower, content


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_every_range_is_what_the_stripes_hold(count: int) -> None:
    device, _, content = striped(count, start=1024)
    for offset in range(0, len(content), 1536):
        for length in (512, 4 * KIB, 7 * KIB, len(content) - offset):
            length = min(length, len(content) - offset)
            assert read_bytes(checked(device), offset, length) == content[offset : offset + length]


def test_a_long_read_asks_every_stripe_once() -> None:
    device, lower, content = striped(3)
    assert read_bytes(device, 512, len(content) - 1024) == content[512:-512]
    assert [each.reads for each in lower] == [[(512, 16 * KIB - 512)], [(0, 16 * KIB)], [(0, 16 * KIB - 512)]]


def test_a_long_write_writes_every_stripe_once() -> None:
    device, lower, content = striped(2)
    written: list[tuple[str, int, int]] = []

    class Noting(MemoryDevice):
        def write(self, offset: int, data: bytes | bytearray | memoryview, *, fua: bool = False) -> None:
            written.append((self.identity.name, offset, len(data)))
            super().write(offset, data, fua=fua)

    noting = [Noting(bytearray(each.size_bytes), identity=each.identity) for each in lower]
    device = Striped([(each, 0) for each in noting], chunk_bytes=CHUNK, size_bytes=len(content))
    device.write(0, content)
    assert written == [("sd0", 0, 16 * KIB), ("sd1", 0, 16 * KIB)]
    assert read_bytes(device, 0, len(content)) == content


def test_reading_copies_nothing() -> None:
    device, lower, content = striped(2)
    views = device.read(0, len(content))
    assert [len(view) for view in views] == [CHUNK] * 8
    lower[0].write(0, b"\xee" * 512)
    assert bytes(views[0][:512]) == b"\xee" * 512


def test_resident_when_all_stripes_are() -> None:
    device, lower, content = striped(2)
    assert device.read_resident(0, 16 * KIB) is None
    lower[0].resident = True
    assert device.read_resident(0, CHUNK) is not None
    assert device.read_resident(0, 2 * CHUNK) is None
    lower[1].resident = True
    assert b"".join(device.read_resident(0, len(content)) or ()) == content


def test_a_stripe_that_fails_is_named() -> None:
    device, lower, _ = striped(2)
    lower[1].broken = True
    device.read(0, CHUNK)
    with pytest.raises(DeviceError, match="sd1: gone"):
        device.read(0, 2 * CHUNK)


def test_neighbours_that_are_alike_are_one_segment() -> None:
    device, _, content = striped(2)
    assert [(each.offset, each.length) for each in device.extents(512, len(content) - 512)] == [
        (512, len(content) - 512)
    ]


@pytest.mark.parametrize(
    ("chunk", "size", "text"),
    [
        (CHUNK, 3 * CHUNK, "the size is"),
        (CHUNK, 2 * CHUNK + 1024, "the size is"),
        (1000, 4000, "a chunk is no whole number of blocks"),
        (CHUNK, 32 * CHUNK, "ends past the device"),
    ],
)
def test_what_cannot_be_striped(chunk: int, size: int, text: str) -> None:
    lower = [(MemoryDevice(bytearray(8 * CHUNK)), 0)] * 2
    with pytest.raises(DeviceError, match=text) as caught:
        Striped(lower, chunk_bytes=chunk, size_bytes=size)
    assert caught.value.errno == errno.EINVAL


def test_one_read_only_stripe_makes_it_read_only() -> None:
    parts = [(MemoryDevice(bytearray(CHUNK)), 0), (MemoryDevice(bytes(CHUNK)), 0)]
    assert Striped(parts, chunk_bytes=CHUNK, size_bytes=2 * CHUNK).read_only
