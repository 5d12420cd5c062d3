from __future__ import annotations

import errno
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.targets.fault import Fault, FaultKind, FaultRule
from bootpath.block.targets.log import Log
from bootpath.block.targets.readonce import ReadOnce
from bootpath.core.device import Buffer, read_bytes
from bootpath.core.errors import DeviceError
from bootpath.core.iolog import Read, Record
from bootpath.core.limits import limits_raised
from tests.support.errors import raises
from tests.support.patterns import pattern

SIZE = 13 * 512 + 4096 * 4


class Changing(MemoryDevice):
    """Answers every read with other bytes than the one before."""

    answers = 0

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        self.answers += 1
        return (bytes([self.answers]) * length,)


class Short(MemoryDevice):
    """Leaves out the last byte."""

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        return (b"".join(super().read(offset, length))[:-1],)


RANGES = st.tuples(st.integers(0, SIZE // 512 - 1), st.integers(1, SIZE // 512)).map(
    lambda pair: (pair[0] * 512, min(pair[1] * 512, SIZE - pair[0] * 512))
)


@given(st.lists(RANGES, max_size=10))
def test_it_is_the_device_and_reads_nothing_twice(ranges: list[tuple[int, int]]) -> None:
    content = pattern(0, SIZE)
    records: list[Record] = []
    device = ReadOnce(Log(MemoryDevice(content), records.append))
    for offset, length in ranges:
        assert read_bytes(device, offset, length) == content[offset : offset + length]
        assert device.read_resident(offset, length) is not None
    touched = [byte for record in records if isinstance(record, Read) for byte in _pages(record)]
    assert len(touched) == len(set(touched))


def _pages(record: Read) -> range:
    return range(record.offset // 4096, -(-(record.offset + record.length) // 4096))


def test_a_device_that_changes_its_answers_gives_the_first_one() -> None:
    device = ReadOnce(Changing(4 * 4096))
    first = read_bytes(device, 4096, 4096)
    whole = read_bytes(device, 0, 4 * 4096)
    assert whole[4096:8192] == first
    assert read_bytes(device, 0, 4 * 4096) == whole


def test_nothing_is_resident_before_it_was_read() -> None:
    assert ReadOnce(MemoryDevice(8192)).read_resident(0, 512) is None


def test_a_short_answer_is_an_error() -> None:
    with raises(DeviceError, found="4095 bytes"):
        ReadOnce(Short(8192)).read(4096, 512)


def test_an_error_is_not_remembered() -> None:
    device = ReadOnce(Fault(MemoryDevice(pattern(0, 8192)), [FaultRule(FaultKind.ERROR, count=1)]))
    with pytest.raises(DeviceError, match="at 0"):
        device.read(0, 512)
    assert read_bytes(device, 0, 8192) == pattern(0, 8192)


def test_there_is_an_end_to_what_is_remembered() -> None:
    with limits_raised(metadata_bytes=8192):
        device = ReadOnce(MemoryDevice(1 << 20))
    device.read(0, 8192)
    hint = "allow more with BOOTPATH_LIMITS=metadata_bytes=N"
    with raises(DeviceError, errno=errno.ENOMEM, expected="at most 8 KiB", hint=hint):
        device.read(8192, 512)


def test_it_cannot_be_written() -> None:
    device = ReadOnce(MemoryDevice(8192))
    operations: list[Callable[[], None]] = [
        lambda: device.write(0, b""),
        lambda: device.discard(0, 512),
        lambda: device.zero(0, 512),
    ]
    for operation in operations:
        with pytest.raises(DeviceError) as caught:
            operation()
        assert caught.value.errno == errno.EPERM
    device.flush()
    assert [segment.source for segment in device.extents(0, 512)] == ["memory"]
    device.close()
