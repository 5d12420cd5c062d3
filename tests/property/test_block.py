"""Every target equals a bytearray: any sequence of operations, good and bad, at both block sizes."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootpath.block.leaves.file import FileDevice
from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.live.disk import Live, live_disk
from bootpath.block.live.late import LateDisk
from bootpath.block.live.preload import Preload
from bootpath.block.overlay.ram import Overlay
from bootpath.block.targets.concat import Concat
from bootpath.block.targets.crypt import Crypt
from bootpath.block.targets.exceptionstore import ExceptionStore
from bootpath.block.targets.fault import Fault, FaultKind, FaultRule, pack_rules, parse_rules
from bootpath.block.targets.flakey import Flakey
from bootpath.block.targets.linear import Linear
from bootpath.block.targets.log import Log
from bootpath.block.targets.sectorcipher import open_cipher
from bootpath.block.targets.snapshot import Snapshot
from bootpath.block.targets.striped import Striped
from bootpath.core.device import Device, Segment, checked, read_bytes
from bootpath.core.errors import DeviceError
from bootpath.core.extents import Extent, ExtentSet
from bootpath.core.iolog import Record, Write, Zero
from bootpath.formats.dm.flakey import FlakeyTarget
from tests.support.patterns import pattern

SIZE = 48 << 10
BLOCK = 4096


@dataclass(frozen=True)
class Operation:
    """`name` is read, write, restore (write the base's content), zero or discard; offset and length in bytes."""

    name: str
    offset: int
    length: int
    tag: int

    def data(self) -> bytes:
        return pattern(self.offset, self.length, 0 if self.name == "restore" else self.tag)


Build: TypeAlias = Callable[[int, st.DataObject], Device]


def extents(data: st.DataObject) -> list[Extent]:
    """Disjoint extents in any order, with edges at any byte."""
    edges = sorted(data.draw(st.sets(st.integers(0, SIZE), max_size=8)))
    runs = [Extent(low, high - low) for low, high in zip(edges[::2], edges[1::2], strict=False)]
    return data.draw(st.permutations(runs))


def packed(runs: list[Extent]) -> bytes:
    return b"".join(pattern(run.offset, run.length) for run in runs)


def base(block_bytes: int) -> MemoryDevice:
    return MemoryDevice(pattern(0, SIZE), block_bytes=block_bytes)


def memory(block_bytes: int, data: st.DataObject) -> Device:
    return MemoryDevice(bytearray(pattern(0, SIZE)), block_bytes=block_bytes)


def linear(block_bytes: int, data: st.DataObject) -> Device:
    lower = MemoryDevice(bytearray(8192) + pattern(0, SIZE) + bytes(4096), block_bytes=block_bytes)
    return Linear(lower, 8192, SIZE)


def concat(block_bytes: int, data: st.DataObject) -> Device:
    cuts = data.draw(st.sets(st.integers(1, SIZE // block_bytes - 1), max_size=5))
    edges = [0, *sorted(cut * block_bytes for cut in cuts), SIZE]
    parts = [
        MemoryDevice(bytearray(pattern(low, high - low)), block_bytes=block_bytes) for low, high in pairwise(edges)
    ]
    return Concat(parts)


def striped(block_bytes: int, data: st.DataObject) -> Device:
    count, blocks = data.draw(st.sampled_from([(1, 1), (2, 1), (3, 1), (2, 3), (4, 1), (1, 4)]))
    start = 4096 * data.draw(st.integers(0, 2))
    stripes = [MemoryDevice(bytearray(SIZE // count + start), block_bytes=block_bytes) for _ in range(count)]
    device = Striped([(each, start) for each in stripes], chunk_bytes=blocks * 4096, size_bytes=SIZE)
    device.write(0, pattern(0, SIZE))
    return device


def crypt(block_bytes: int, data: st.DataObject) -> Device:
    unit = data.draw(st.sampled_from([512] if block_bytes == 512 else [512, 1024, 2048, 4096]))
    device = Crypt(
        MemoryDevice(bytearray(SIZE), block_bytes=block_bytes),
        open_cipher("aes-xts-plain64", bytes(range(data.draw(st.sampled_from([32, 64])))), where="memory"),
        iv_offset=8 * data.draw(st.integers(0, 2**56)),
        sector_bytes=unit,
        large_ivs=data.draw(st.booleans()),
    )
    device.write(0, pattern(0, SIZE))
    return device


def snapshot(block_bytes: int, data: st.DataObject) -> Device:
    sectors = data.draw(st.sampled_from([8, 16, 32] if block_bytes == 4096 else [1, 2, 8, 16, 32]))
    chunks = -(-SIZE // (sectors * 512))
    cow = MemoryDevice(bytearray((chunks + chunks // (32 * sectors) + 4) * sectors * 512), block_bytes=block_bytes)
    for _ in range(data.draw(st.integers(0, 1))):  # a store that is in use
        first = Snapshot(base(block_bytes), ExceptionStore(cow, chunk_sectors=sectors, origin_bytes=SIZE))
        first.write(4096, pattern(4096, 8192))
        first.close()
    return Snapshot(base(block_bytes), ExceptionStore(cow, chunk_sectors=sectors, origin_bytes=SIZE))


def flakey(block_bytes: int, data: st.DataObject) -> Device:
    """It is up for all of the operations."""
    return Flakey(memory(block_bytes, data), FlakeyTarget.parse(["memory", "0", "1000000", "1", "1", "drop_writes"]))


def overlay(block_bytes: int, data: st.DataObject) -> Device:
    return Overlay(
        base(data.draw(st.sampled_from([512, 4096]))), block_bytes=block_bytes, drop_matching=data.draw(st.booleans())
    )


def overlay_over_overlay(block_bytes: int, data: st.DataObject) -> Device:
    lower = Overlay(base(512))
    lower.write(0, pattern(0, SIZE, tag=7))
    lower.write(0, pattern(0, SIZE))
    return Overlay(lower, block_bytes=block_bytes)


def live(block_bytes: int, data: st.DataObject) -> Device:
    runs = extents(data)
    late = LateDisk.ready(base(data.draw(st.sampled_from([512, 4096]))))
    return live_disk(packed(runs), runs, SIZE, late, block_bytes=block_bytes)


def wrapped(block_bytes: int, data: st.DataObject) -> Device:
    """Targets that change nothing, over the whole stack."""
    runs = extents(data)
    lower = Live(packed(runs), runs, SIZE, LateDisk.ready(base(512)))
    rules = [FaultRule(FaultKind.ERROR, frozenset({"read", "write"}), count=0), FaultRule(FaultKind.DELAY)]
    return Log(Fault(Overlay(lower, block_bytes=block_bytes), rules, sleep=lambda seconds: None), lambda record: None)


BUILDERS: dict[str, Build] = {
    "memory": memory,
    "linear": linear,
    "concat": concat,
    "striped": striped,
    "crypt": crypt,
    "snapshot": snapshot,
    "flakey": flakey,
    "overlay": overlay,
    "overlay over overlay": overlay_over_overlay,
    "live": live,
    "wrapped": wrapped,
}
NO_DISCARD = {"crypt", "snapshot"}
WHOLE_BLOCK_DISCARD = {"overlay", "overlay over overlay", "live", "wrapped"}


def operations(granularity: int) -> st.SearchStrategy[list[Operation]]:
    units = SIZE // granularity
    return st.lists(
        st.builds(
            lambda name, start, length, tag: Operation(
                name, start * granularity, min(length, units - start) * granularity, tag
            ),
            st.sampled_from(["read", "write", "write", "restore", "zero", "discard"]),
            st.integers(0, units - 1),
            st.integers(1, units) | st.integers(1, 8),
            st.integers(1, 3),
        ),
        max_size=12,
    )


def apply_to_model(model: bytearray, operation: Operation, *, whole_block_discard: bool) -> None:
    low, high = operation.offset, operation.offset + operation.length
    if operation.name == "discard" and whole_block_discard:
        low = -(-low // BLOCK) * BLOCK
        high = high if high == SIZE else high // BLOCK * BLOCK
    if operation.name in ("write", "restore"):
        model[low:high] = operation.data()
    elif operation.name in ("zero", "discard") and low < high:
        model[low:high] = bytes(high - low)


def apply_to_device(device: Device, operation: Operation) -> None:
    if operation.name in ("write", "restore"):
        device.write(operation.offset, operation.data(), fua=operation.tag == 2)
    elif operation.name == "zero":
        device.zero(operation.offset, operation.length)
    elif operation.name == "discard":
        device.discard(operation.offset, operation.length)


def assert_equals(device: Device, model: bytearray, offset: int, length: int) -> None:
    expected = model[offset : offset + length]
    assert read_bytes(device, offset, length) == expected
    resident = device.read_resident(offset, length)
    assert resident is None or b"".join(resident) == expected
    position = offset
    for segment in device.extents(offset, length):
        assert segment.offset == position
        assert segment.length > 0
        position += segment.length
        if segment.zero:
            assert not any(model[segment.offset : position])
    assert position == offset + length


@pytest.mark.parametrize("block_bytes", [512, 4096])
@pytest.mark.parametrize("name", BUILDERS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_target_equals_a_bytearray(name: str, block_bytes: int, data: st.DataObject) -> None:
    device = checked(BUILDERS[name](block_bytes, data))
    model = bytearray(pattern(0, SIZE))
    for operation in data.draw(operations(block_bytes)):
        apply_to_device(device, operation)
        if operation.name != "discard" or name not in NO_DISCARD:
            apply_to_model(model, operation, whole_block_discard=name in WHOLE_BLOCK_DISCARD)
        assert_equals(device, model, operation.offset, operation.length)
    assert_equals(device, model, 0, SIZE)


@settings(max_examples=25, deadline=None)
@given(data=st.data(), block_bytes=st.sampled_from([512, 4096]))
def test_a_file_equals_a_bytearray(data: st.DataObject, block_bytes: int) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(pattern(0, SIZE))
        file.flush()
        device = checked(FileDevice(os.dup(file.fileno()), writable=True, block_bytes=block_bytes))
        model = bytearray(pattern(0, SIZE))
        for operation in data.draw(operations(block_bytes)):
            apply_to_device(device, operation)
            apply_to_model(model, operation, whole_block_discard=False)
            assert_equals(device, model, operation.offset, operation.length)
        device.flush()
        assert_equals(device, model, 0, SIZE)
        file.seek(0)
        assert file.read() == model
        device.close()


@settings(max_examples=60, deadline=None)
@given(operations(512), st.integers(0, 14), st.booleans())
def test_a_capped_overlay_does_all_of_a_request_or_none_and_keeps_within_its_cap(
    sequence: list[Operation], max_blocks: int, resident: bool
) -> None:
    lower: Device = (
        base(512) if resident else Fault(base(512), [FaultRule(FaultKind.DELAY)], sleep=lambda seconds: None)
    )
    target = Overlay(lower, max_bytes=max_blocks * BLOCK)
    device = checked(target)
    model = bytearray(pattern(0, SIZE))
    for operation in sequence:
        refused = 0
        try:
            apply_to_device(device, operation)
        except DeviceError as error:
            refused = error.errno
        if refused == 0:
            apply_to_model(model, operation, whole_block_discard=True)
        else:
            assert refused == errno.ENOSPC
            assert operation.name in ("write", "restore", "zero")
        assert target.held_bytes <= max_blocks * BLOCK
        assert_equals(device, model, 0, SIZE)
        # Whatever holds memory stays writable at the cap.
        for extent in target.dirty_extents():
            for segment in target.extents(extent.offset, extent.length):
                if segment.source == "overlay":
                    device.write(segment.offset, bytes(model[segment.offset : segment.offset + segment.length]))
    assert_equals(device, model, 0, SIZE)


@settings(max_examples=60, deadline=None)
@given(operations(512), st.booleans())
def test_dirty_extents_are_all_that_differs_and_commit_makes_a_copy(sequence: list[Operation], drop: bool) -> None:
    target = Overlay(base(512), drop_matching=drop)
    for operation in sequence:
        apply_to_device(target, operation)
    dirty = target.dirty_extents()
    original, now = pattern(0, SIZE), read_bytes(target, 0, SIZE)
    for clean in dirty.gaps(Extent(0, SIZE)):
        assert now[clean.offset : clean.end] == original[clean.offset : clean.end]
    if drop:  # the base is always at hand, so a written block that is still dirty differs; a zeroed one always does
        for extent in dirty:
            for start in range(extent.offset, extent.end, BLOCK):
                assert now[start : start + BLOCK] != original[start : start + BLOCK]
    copy = MemoryDevice(bytearray(original))
    records: list[Record] = []
    assert target.commit(Log(copy, records.append)) == dirty.total_bytes
    assert read_bytes(copy, 0, SIZE) == now
    written = ExtentSet(Extent(r.offset, r.length) for r in records if isinstance(r, Write | Zero))
    assert written == dirty
    target.reset()
    assert read_bytes(target, 0, SIZE) == original


@pytest.mark.parametrize("name", BUILDERS)
@settings(max_examples=25, deadline=None)
@given(
    data=st.data(),
    offset=st.integers(-SIZE, 2 * SIZE) | st.integers(2**63 - 10, 2**64 + 10),
    length=st.integers(-512, 2 * SIZE) | st.integers(2**63 - 10, 2**64 + 10),
)
def test_a_request_is_done_or_refused_with_the_errno_of_the_contract(
    name: str, data: st.DataObject, offset: int, length: int
) -> None:
    device = checked(BUILDERS[name](512, data))
    model = bytearray(pattern(0, SIZE))
    wrong = offset < 0 or length <= 0 or offset % 512 or length % 512
    past = not wrong and offset + length > SIZE
    for operation, past_end in (
        (device.read, errno.EINVAL),
        (device.extents, errno.EINVAL),
        (device.zero, errno.ENOSPC),
    ):
        if wrong or past:
            with pytest.raises(DeviceError) as caught:
                operation(offset, length)
            assert caught.value.errno == (errno.EINVAL if wrong else past_end)
        else:
            operation(offset, length)
    if not (wrong or past):
        model[offset : offset + length] = bytes(length)
    assert_equals(device, model, 0, SIZE)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), offset=st.integers(0, SIZE - 1), length=st.integers(1, SIZE))
def test_a_preload_is_split_exactly(data: st.DataObject, offset: int, length: int) -> None:
    runs = extents(data)
    length = min(length, SIZE - offset)
    preload = Preload(packed(runs), runs, SIZE)
    known = ExtentSet(runs)
    position = offset
    for start, size, view in preload.split(offset, length):
        assert start == position
        assert size > 0
        position += size
        part = Extent(start, size)
        if view is None:
            assert known.intersect(part) == []
        else:
            assert known.covers(part)
            assert bytes(view) == pattern(start, size)
    assert position == offset + length
    view = preload.view(offset, length)
    assert view is None or bytes(view) == pattern(offset, length)


RULES = st.lists(
    st.builds(
        FaultRule,
        st.sampled_from(FaultKind),
        st.frozensets(st.sampled_from(["read", "write", "flush", "discard", "zero"]), min_size=1),
        st.none() | st.builds(Extent, st.integers(0, SIZE), st.integers(1, SIZE)),
        st.integers(0, 5),
        st.none() | st.integers(0, 5),
        st.sampled_from(sorted(errno.errorcode)),
        st.floats(0, 100),
        st.floats(0, 1),
    ),
    min_size=1,
    max_size=4,
)


@given(RULES)
def test_parse_of_pack_gives_the_rules_back(rules: list[FaultRule]) -> None:
    assert parse_rules(pack_rules(rules)) == tuple(rules)


@settings(max_examples=40, deadline=None)
@given(RULES, operations(512), st.integers(0, 2**32))
def test_the_same_seed_gives_the_same_trace(rules: list[FaultRule], sequence: list[Operation], seed: int) -> None:
    usable = [rule for rule in rules if rule.kind is not FaultKind.STALL]

    def run() -> tuple[list[object], bytes]:
        lower = MemoryDevice(bytearray(pattern(0, SIZE)))
        fault = Fault(lower, usable, seed=seed, sleep=lambda seconds: None)
        trace: list[object] = []
        for operation in sequence:
            try:
                apply_to_device(fault, operation)
                trace.append(read_bytes(fault, operation.offset, operation.length))
            except DeviceError as error:
                trace.append((str(error), error.errno))
        return [*trace, *fault.hits], read_bytes(lower, 0, SIZE)

    assert run() == run()


def test_segments_of_a_file_are_cut_to_the_range() -> None:
    with tempfile.TemporaryFile() as file:
        file.truncate(SIZE)
        device = FileDevice(os.dup(file.fileno()))
        assert list(device.extents(512, 1024)) == [Segment(512, 1024, "file", allocated=False, zero=True)]
        device.close()
