from __future__ import annotations

import errno
from collections.abc import Callable, Iterator

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.overlay.ram import Overlay
from bootpath.block.targets.fault import Fault, FaultKind, FaultRule
from bootpath.block.targets.log import Log
from bootpath.core.device import Identity, Segment, checked, direct_access
from bootpath.core.errors import DeviceError
from bootpath.core.iolog import Discard, Flush, Mark, Read, Record, Write, Zero
from tests.support.patterns import assert_pattern, pattern
from tests.unit.block.support import KIB, Counting, disk, whole

ALL = frozenset({"read", "write", "flush", "discard", "zero"})


def test_every_operation_is_recorded_in_order() -> None:
    records: list[Record] = []
    lower = MemoryDevice(8192, identity=Identity("ram"))
    log = Log(lower, records.append, keep_data=True)
    assert (log.size_bytes, log.block_bytes, log.read_only, log.identity) == (8192, 512, False, Identity("ram"))
    log.mark("start")
    data = bytearray(pattern(0, 512))
    log.write(0, data)
    data[:] = bytes(512)  # what is kept is what was written, whatever becomes of the buffer
    log.write(512, b"x" * 512, fua=True)
    log.flush()
    log.zero(1024, 512)
    log.discard(4096, 4096)
    log.read(0, 512)
    log.read_resident(512, 512)
    assert list(log.extents(0, 512)) == [Segment(0, 512, "memory")]
    assert records == [
        Mark("start"),
        Write(0, 512, pattern(0, 512)),
        Write(512, 512, b"x" * 512, fua=True),
        Flush(),
        Zero(1024, 512),
        Discard(4096, 4096),
        Read(0, 512),
        Read(512, 512),
    ]
    replayed = MemoryDevice(8192)
    for record in records:
        if isinstance(record, Write):
            assert record.data is not None
            replayed.write(record.offset, record.data)
    assert whole(replayed) == whole(lower)


def test_data_is_not_kept_unless_asked_for() -> None:
    records: list[Record] = []
    Log(MemoryDevice(8192), records.append).write(0, bytes(512))
    assert records == [Write(0, 512)]


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_failures_are_recorded_with_their_errno_and_raised(code: int) -> None:
    records: list[Record] = []
    log = Log(Fault(MemoryDevice(8192), [FaultRule(FaultKind.ERROR, ALL, errno=code)]), records.append)
    operations: list[Callable[[], object]] = [
        lambda: log.read(0, 512),
        lambda: log.write(0, bytes(512)),
        lambda: log.flush(),
        lambda: log.zero(0, 512),
        lambda: log.discard(0, 512),
    ]
    for operation in operations:
        with pytest.raises(DeviceError):
            operation()
    assert records == [
        Read(0, 512, errno=code),
        Write(0, 512, errno=code),
        Flush(errno=code),
        Zero(0, 512, errno=code),
        Discard(0, 512, errno=code),
    ]


def test_a_resident_read_that_is_not_answered_did_not_happen() -> None:
    records: list[Record] = []
    lower = Counting(bytes(8192))
    log = Log(lower, records.append)
    assert log.read_resident(0, 512) is None
    assert records == []

    class Failing(Counting):
        def read_resident(self, offset: int, length: int) -> None:
            raise DeviceError("bad")

    with pytest.raises(DeviceError):
        Log(Failing(bytes(8192)), records.append).read_resident(0, 512)
    assert records == [Read(0, 512, errno=errno.EIO)]


def test_sources_say_where_the_bytes_came_from() -> None:
    records: list[Record] = []
    overlay = Overlay(disk(64 * KIB))
    overlay.write(8 * KIB, pattern(8 * KIB, 4 * KIB, tag=1))
    log = checked(Log(overlay, records.append, sources=True))
    log.read(0, 512)
    log.read(4 * KIB, 12 * KIB)
    log.read(8 * KIB, 512)
    assert [record.source for record in records if isinstance(record, Read)] == ["memory", "memory+overlay", "overlay"]


def test_a_source_that_cannot_be_told_is_empty() -> None:
    class Blind(MemoryDevice):
        def extents(self, offset: int, length: int) -> Iterator[Segment]:
            raise DeviceError("truncated")

    records: list[Record] = []
    Log(Blind(512), records.append, sources=True).read(0, 512)
    assert records == [Read(0, 512, "")]


def test_nothing_goes_around_a_log() -> None:
    log = Log(MemoryDevice(512), print)
    assert direct_access(log) is None
    assert checked(log).direct() is None


@pytest.mark.parametrize("owns", [False, True])
def test_closing_closes_what_is_owned(owns: bool) -> None:
    lower = Counting(bytes(512))
    Log(lower, print, owns=owns).close()
    assert lower.closed == owns


def test_the_pattern_catches_a_shift() -> None:
    data = pattern(512, 4096)
    assert_pattern(data, 512)
    with pytest.raises(AssertionError, match="byte 0 tag 0 holds sector 1 tag 0"):
        assert_pattern(data, 0)
    with pytest.raises(AssertionError, match="torn"):
        assert_pattern(data[:256] + bytes(256), 512)
    with pytest.raises(AssertionError, match="zeros"):
        assert_pattern(bytes(512), 512)
