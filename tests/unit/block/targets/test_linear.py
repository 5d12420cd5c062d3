from __future__ import annotations

import errno

import pytest

from bootpath.block.leaves.constant import ErrorDevice, ZeroDevice
from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.targets.concat import Concat
from bootpath.block.targets.linear import Linear
from bootpath.core.device import Identity, Segment, read_bytes
from bootpath.core.errors import DeviceError
from tests.support.patterns import assert_pattern, pattern
from tests.unit.block.support import KIB, Counting, disk


def test_linear_shifts_everything() -> None:
    lower = MemoryDevice(bytearray(pattern(0, 64 * KIB)))
    linear = Linear(lower, 8 * KIB, 16 * KIB, identity=Identity("part"))
    assert (linear.size_bytes, linear.block_bytes, linear.read_only) == (16 * KIB, 512, False)
    assert_pattern(read_bytes(linear, 512, 1024), 8 * KIB + 512)
    resident = linear.read_resident(0, 512)
    assert resident is not None
    assert_pattern(b"".join(resident), 8 * KIB)
    linear.write(0, pattern(0, 512, tag=9))
    linear.zero(512, 512)
    linear.discard(1024, 512)
    linear.flush()
    assert_pattern(read_bytes(lower, 8 * KIB, 512), 0, tag=9)
    assert read_bytes(lower, 8 * KIB + 512, 1024) == bytes(1024)
    assert list(linear.extents(512, 1024)) == [Segment(512, 1024, "memory")]


def test_direct_is_shifted_or_absent() -> None:
    lower = MemoryDevice(64 * KIB)
    direct = Linear(Linear(lower, 4 * KIB, 32 * KIB), 8 * KIB, 4 * KIB).direct()
    assert direct is not None
    assert (direct.offset, direct.length, direct.writable) == (12 * KIB, 4 * KIB, True)
    assert Linear(ZeroDevice(4096), 0, 4096).direct() is None


@pytest.mark.parametrize(
    ("offset", "length", "block_bytes", "text"),
    [
        (0, 65 * KIB, 512, "truncated"),
        (64 * KIB, 512, 512, "truncated"),
        (100, 512, 512, "misaligned"),
        (512, 4096, 4096, "misaligned"),
        (-512, 512, 512, "misaligned"),
    ],
)
def test_a_run_that_does_not_fit_is_refused(offset: int, length: int, block_bytes: int, text: str) -> None:
    with pytest.raises(DeviceError, match=text) as caught:
        Linear(disk(64 * KIB, block_bytes=block_bytes), offset, length)
    assert caught.value.errno == errno.EINVAL


@pytest.mark.parametrize("owns", [False, True])
def test_closing_closes_what_is_owned(owns: bool) -> None:
    lower = Counting(bytes(4096))
    Linear(lower, 0, 512, owns=owns).close()
    Concat([lower], owns=owns).close()
    assert lower.closed == 2 * owns


def test_concat_cuts_requests_at_the_edges() -> None:
    parts = [MemoryDevice(bytearray(pattern(start, 4096))) for start in (0, 4096, 8192)]
    device = Concat(parts)
    assert device.size_bytes == 12 * KIB
    for offset in range(0, 12 * KIB, 512):
        for length in (512, 4096, 8192):
            if offset + length <= 12 * KIB:
                assert_pattern(read_bytes(device, offset, length), offset)
                resident = device.read_resident(offset, length)
                assert resident is not None
                assert_pattern(b"".join(resident), offset)
    device.write(3584, pattern(3584, 5120, tag=1))
    assert_pattern(read_bytes(parts[1], 0, 4096), 4096, tag=1)
    device.zero(7680, 1024)
    device.discard(3584, 1024)
    device.flush()
    assert read_bytes(device, 7680, 1024) == bytes(1024)
    assert read_bytes(device, 3584, 1024) == bytes(1024)
    assert_pattern(read_bytes(device, 8704, 512), 8704)
    assert [segment.offset for segment in device.extents(512, 9 * KIB)] == [512, 4096, 8192]


def test_concat_is_resident_when_every_part_is() -> None:
    device = Concat([disk(4096), Counting(pattern(4096, 4096))])
    assert device.read_resident(0, 4096) is not None
    assert device.read_resident(3584, 1024) is None


def test_concat_refuses_a_write_that_touches_a_read_only_part_before_any_of_it() -> None:
    first = MemoryDevice(4096)
    device = Concat([first, disk(4096)])
    assert not device.read_only
    with pytest.raises(DeviceError, match="the part at 4096 is read-only") as caught:
        device.write(3584, b"x" * 1024)
    assert caught.value.errno == errno.EPERM
    assert read_bytes(first, 0, 4096) == bytes(4096)
    device.flush()
    assert Concat([disk(4096), disk(512)]).read_only


def test_concat_takes_the_largest_block_and_refuses_what_does_not_fit() -> None:
    assert Concat([disk(4096), disk(4096, block_bytes=4096)]).block_bytes == 4096
    with pytest.raises(DeviceError, match="part 0 does not end on a block"):
        Concat([disk(512), disk(4096, block_bytes=4096)])
    with pytest.raises(ValueError, match="at least one"):
        Concat([])


def test_concat_fails_only_where_a_part_does() -> None:
    device = Concat([disk(4096), ErrorDevice(4096)])
    assert_pattern(read_bytes(device, 0, 4096), 0)
    with pytest.raises(DeviceError, match="the device is an error target"):
        device.read(3584, 1024)
