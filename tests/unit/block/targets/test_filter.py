"""The pass-through base: what a filter does not change goes through, and nothing goes past what it does."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from functools import partial

import pytest

from bootpath.block.leaves.constant import ZeroDevice
from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.overlay.ram import Overlay
from bootpath.block.targets.concat import Concat
from bootpath.block.targets.fault import Fault
from bootpath.block.targets.filter import Filter
from bootpath.block.targets.firsterror import FirstError
from bootpath.block.targets.linear import Linear
from bootpath.block.targets.log import Log
from bootpath.block.targets.readonce import ReadOnce
from bootpath.block.targets.readonly import ReadOnlyFilter
from bootpath.core.device import (
    Buffer,
    Device,
    Direct,
    Identity,
    checked,
    direct_access,
    read_bytes,
    resident_ranges,
    write_granularity,
)
from bootpath.core.errors import DeviceError
from bootpath.core.iolog import Record
from tests.support.patterns import assert_pattern, pattern

SIZE = 16384


class Reader(Filter):
    """Changes what is read."""

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        return (bytes(length),)


class Writer(Filter):
    """Changes what is written."""

    def write(self, offset: int, data: Buffer, *, fua: bool = False) -> None:
        super().write(offset, bytes(len(data)), fua=fua)


class RangeReader(Reader):
    """Says itself what is resident."""

    def read_resident(self, offset: int, length: int) -> Sequence[Buffer] | None:
        return self.read(offset, length)


def memory() -> MemoryDevice:
    device = MemoryDevice(SIZE, block_bytes=4096, identity=Identity("memory"))
    device.write(0, pattern(0, SIZE))
    return device


def test_all_of_the_contract_goes_through() -> None:
    lower = memory()
    records: list[Record] = []
    device = Filter(Log(lower, records.append))
    assert (device.size_bytes, device.block_bytes, device.read_only) == (SIZE, 4096, False)
    assert device.identity == lower.identity
    assert_pattern(read_bytes(device, 4096, 4096), 4096)
    device.write(0, bytes(4096), fua=True)
    device.discard(4096, 4096)
    device.zero(8192, 4096)
    device.flush()
    assert [type(record).__name__ for record in records] == ["Read", "Write", "Discard", "Zero", "Flush"]
    assert list(device.extents(0, SIZE)) == list(lower.extents(0, SIZE))


def test_shortcuts_go_through() -> None:
    lower = memory()
    device = Filter(lower)
    assert direct_access(device) == lower.direct()
    assert resident_ranges(device, 0, 4096) == lower.resident_ranges(0, 4096)
    assert device.read_resident(0, 512) is not None
    assert write_granularity(device) == 1


def test_nothing_goes_past_a_changed_read() -> None:
    device = Reader(memory())
    assert device.read_resident(0, 512) is None
    assert device.resident_ranges(0, 512) is None
    assert device.direct() is None
    assert device.write_granularity() == 1


def test_nothing_goes_past_a_changed_write() -> None:
    device = Writer(memory())
    assert device.direct() is None
    assert device.write_granularity() is None
    assert device.read_resident(0, 512) is not None


def test_a_shortcut_of_the_filter_s_own_is_kept() -> None:
    device = RangeReader(memory())
    assert device.read_resident(0, 512) == (bytes(512),)
    assert device.direct() is None


@pytest.mark.parametrize("device", [Log(memory(), lambda record: None), Fault(memory(), [])])
def test_nothing_goes_past_a_log_or_a_fault(device: Device) -> None:
    assert direct_access(device) is None
    assert resident_ranges(device, 0, 4096) is None
    assert write_granularity(device) is None


class Closed(MemoryDevice):
    """Counts how often it is closed."""

    closed = 0

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("owns", [False, True])
def test_an_owned_device_is_closed(owns: bool) -> None:
    lower = Closed(SIZE)
    Filter(lower, owns=owns).close()
    assert lower.closed == owns


def test_a_read_only_filter_refuses_writes() -> None:
    device = ReadOnlyFilter(memory())
    assert device.read_only
    assert_pattern(read_bytes(device, 0, SIZE), 0)
    for refused in (
        partial(device.write, 0, bytes(4096)),
        partial(device.zero, 0, 4096),
        partial(device.discard, 0, 4096),
    ):
        with pytest.raises(DeviceError) as caught:
            refused()
        assert caught.value.errno == errno.EPERM
    direct = device.direct()
    assert direct is not None
    assert not direct.writable
    assert resident_ranges(device, 0, 4096) is not None


def test_writes_at_once_through_partitions() -> None:
    """A run that begins on the overlay's blocks needs no worker; one that does not would read the base."""
    overlay = Overlay(MemoryDevice(SIZE))
    assert write_granularity(ZeroDevice(SIZE)) == 1
    assert write_granularity(overlay) == 4096
    assert write_granularity(checked(Linear(overlay, 8192, 8192))) == 4096
    assert write_granularity(Linear(overlay, 512, 8192)) is None
    assert write_granularity(Linear(Concat([MemoryDevice(SIZE)]), 0, 8192)) is None


@pytest.mark.parametrize("target", [FirstError, ReadOnce, lambda lower: Log(lower, lambda record: None)])
def test_a_filter_of_reads_cannot_be_read_past(target: Callable[[Device], Device]) -> None:
    """Also one that is derived from a filter with a way of its own to the bytes."""
    assert direct_access(ReadOnlyFilter(memory())) is not None
    assert direct_access(target(memory())) is None


def test_a_way_to_the_bytes_of_the_class_that_changes_reads_is_kept() -> None:
    class Both(Filter):
        def read(self, offset: int, length: int) -> Sequence[Buffer]:
            return self.lower.read(offset, length)

        def direct(self) -> Direct | None:
            return direct_access(self.lower)

    assert direct_access(Both(memory())) is not None
