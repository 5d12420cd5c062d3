from __future__ import annotations

from bootpath.block.views import extents_wide, read_wide, read_wide_resident, slice_views, widened
from bootpath.core.device import Buffer, Segment
from bootpath.core.errors import DeviceError
from tests.support.errors import raises
from tests.support.patterns import assert_pattern, pattern
from tests.unit.block.support import KIB, Counting


def test_slices_of_a_row_of_views() -> None:
    row: list[Buffer] = [b"abc", memoryview(b"defg"), bytearray(b"h")]
    for skip in range(8):
        for length in range(1, 9 - skip):
            assert b"".join(slice_views(row, skip, length)) == b"abcdefgh"[skip : skip + length]


def test_a_row_that_is_too_short_is_an_error() -> None:
    with raises(DeviceError, found="2 bytes", expected="3 bytes"):
        slice_views([b"abcd"], 2, 3)


def test_widened() -> None:
    assert widened(4096, 5000, 1) == (4096, 4096)
    assert widened(4096, 4096, 4096) == (4096, 4096)
    assert widened(512, 511, 2) == (0, 1024)


def test_any_byte_range_of_a_device() -> None:
    device = Counting(pattern(0, 16 * KIB), block_bytes=4096)
    assert_pattern(b"".join(read_wide(device, 5000, 7000)), 5000)
    assert_pattern(b"".join(read_wide(device, 4096, 4096)), 4096)
    assert device.reads == [(4096, 8192), (4096, 4096)]
    assert read_wide_resident(device, 5000, 100) is None
    device.resident = True
    for offset, length in [(5000, 100), (0, 4096)]:
        views = read_wide_resident(device, offset, length)
        assert views is not None
        assert_pattern(b"".join(views), offset)
    assert list(extents_wide(device, 5000, 100)) == [Segment(5000, 100, "memory")]


def test_segments_that_the_range_does_not_touch_are_left_out() -> None:
    class Sectors(Counting):
        def extents(self, offset: int, length: int):  # type: ignore[no-untyped-def]
            for start in range(offset, offset + length, 512):
                yield Segment(start, 512, "sector")

    device = Sectors(bytes(16 * KIB), block_bytes=4096)
    assert list(extents_wide(device, 1000, 100)) == [Segment(1000, 24, "sector"), Segment(1024, 76, "sector")]
