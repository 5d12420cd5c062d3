from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bootpath.block.leaves.constant import ZeroDevice
from bootpath.block.leaves.file import FileDevice
from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.overlay.blocks import OVERLAY_BLOCK_BYTES as BLOCK
from bootpath.block.overlay.ram import Overlay
from bootpath.block.targets.fault import Fault, FaultKind, FaultRule
from bootpath.core.device import Buffer, Segment, checked, read_bytes
from bootpath.core.errors import DeviceError
from bootpath.core.extents import Extent, ExtentSet
from tests.support.errors import raises
from tests.support.patterns import assert_pattern, pattern
from tests.unit.block.support import KIB, MIB, Counting, Shortening, disk, whole

SIZE = 64 * KIB


def test_reads_of_a_dirty_run_are_one_view_of_its_memory() -> None:
    overlay = Overlay(disk(SIZE))
    overlay.write(4 * KIB, pattern(4 * KIB, 16 * KIB, tag=1))
    (view,) = overlay.read(6 * KIB, 10 * KIB)
    assert_pattern(bytes(view), 6 * KIB, tag=1)
    overlay.write(8 * KIB, pattern(8 * KIB, 4 * KIB, tag=2))
    assert_pattern(bytes(view[2 * KIB : 6 * KIB]), 8 * KIB, tag=2)  # a view, not a copy


def test_reads_of_a_clean_run_are_the_bases_own_views() -> None:
    base = MemoryDevice(bytearray(pattern(0, SIZE)))
    overlay = Overlay(base)
    (view,) = overlay.read(0, SIZE)
    assert isinstance(view, memoryview)
    assert view.obj is base.read(0, 512)[0].obj  # type: ignore[union-attr]  # the same memory


def test_a_read_over_both_returns_several_views() -> None:
    overlay = Overlay(disk(SIZE))
    overlay.write(8 * KIB, pattern(8 * KIB, 4 * KIB, tag=1))
    for read in (overlay.read, overlay.read_resident):
        views = read(4 * KIB, 12 * KIB)
        assert views is not None
        assert [len(view) for view in views] == [4 * KIB, 4 * KIB, 4 * KIB]
        assert_pattern(bytes(views[0]), 4 * KIB)
        assert_pattern(bytes(views[1]), 8 * KIB, tag=1)
        assert_pattern(bytes(views[2]), 12 * KIB)


def test_resident_reads_do_not_wait_for_the_base() -> None:
    base = Counting(pattern(0, SIZE))
    overlay = Overlay(base)
    overlay.write(4 * KIB, pattern(4 * KIB, 4 * KIB, tag=1))
    overlay.zero(8 * KIB, 4 * KIB)
    assert overlay.read_resident(4 * KIB, 8 * KIB) is not None
    assert overlay.read_resident(0, 512) is None
    assert overlay.read_resident(0, 8 * KIB) is None
    base.resident = True
    assert overlay.read_resident(0, 8 * KIB) is not None
    assert base.reads == []


@pytest.mark.parametrize("block_bytes", [512, 4096])
def test_a_write_of_whole_blocks_reads_nothing(block_bytes: int) -> None:
    base = Counting(pattern(0, SIZE), block_bytes=block_bytes)
    overlay = Overlay(base)
    overlay.write(4 * KIB, pattern(4 * KIB, 8 * KIB, tag=1))
    assert base.reads == []
    assert overlay.dirty_extents() == ExtentSet([Extent(4 * KIB, 8 * KIB)])


def test_a_write_of_parts_reads_just_those_blocks() -> None:
    base = Counting(pattern(0, SIZE))
    overlay = Overlay(base)
    overlay.write(4 * KIB + 512, pattern(4 * KIB + 512, 11 * KIB, tag=1))
    assert base.reads == [(4 * KIB, 4 * KIB), (12 * KIB, 4 * KIB)]
    expected = bytearray(pattern(0, SIZE))
    expected[4 * KIB + 512 : 15 * KIB + 512] = pattern(4 * KIB + 512, 11 * KIB, tag=1)
    assert whole(overlay) == expected
    base.reads.clear()
    overlay.write(4 * KIB, pattern(4 * KIB, 512, tag=2))  # the block is held already
    assert base.reads == []


def test_a_part_inside_one_block() -> None:
    base = Counting(pattern(0, SIZE))
    overlay = Overlay(base)
    overlay.write(5 * KIB, pattern(5 * KIB, 512, tag=1))
    assert base.reads == [(4 * KIB, 4 * KIB)]
    expected = bytearray(pattern(0, SIZE))
    expected[5 * KIB : 5 * KIB + 512] = pattern(5 * KIB, 512, tag=1)
    assert whole(overlay) == expected


def test_a_last_block_that_is_short() -> None:
    size = 8 * KIB + 512
    base = Counting(pattern(0, size))
    overlay = Overlay(base)
    overlay.write(8 * KIB, pattern(8 * KIB, 512, tag=1))  # all there is of it: nothing is read
    assert base.reads == []
    assert overlay.dirty_extents() == ExtentSet([Extent(8 * KIB, 512)])
    assert_pattern(read_bytes(overlay, 8 * KIB, 512), 8 * KIB, tag=1)
    overlay.discard(8 * KIB, 512)
    assert read_bytes(overlay, 8 * KIB, 512) == bytes(512)
    assert overlay.dirty_bytes == 0
    overlay.reset()
    base.resident = True
    overlay.write(4 * KIB, pattern(4 * KIB, 4 * KIB + 512))
    assert overlay.dirty_bytes == 0  # its own content
    overlay.zero(4 * KIB + 512, 4 * KIB)
    assert read_bytes(overlay, 4 * KIB, 512) == pattern(4 * KIB, 512)
    assert read_bytes(overlay, 4 * KIB + 512, 4 * KIB) == bytes(4 * KIB)


def test_a_smaller_logical_block_than_the_bases() -> None:
    base = Counting(pattern(0, SIZE), block_bytes=4096)
    device = checked(Overlay(base, block_bytes=512))
    assert_pattern(read_bytes(device, 512, 512), 512)
    assert base.reads == [(0, 4096)]
    base.resident = True
    assert device.read_resident(3584, 1024) is not None
    device.write(512, pattern(512, 512, tag=1))
    assert_pattern(read_bytes(device, 512, 512), 512, tag=1)
    assert_pattern(read_bytes(device, 1024, 8 * KIB), 1024)
    assert [segment.length for segment in device.extents(4608, 512)] == [512]


def test_the_size_must_be_whole_blocks() -> None:
    with raises(DeviceError, expected="a multiple of 4096"):
        Overlay(disk(512), block_bytes=4096)


# Written back


def test_a_block_written_back_to_its_content_is_dropped() -> None:
    overlay = Overlay(disk(SIZE))
    overlay.write(4 * KIB, pattern(4 * KIB, 8 * KIB, tag=1))
    assert overlay.dirty_bytes == 8 * KIB
    overlay.write(4 * KIB, pattern(4 * KIB, 4 * KIB))
    assert overlay.dirty_bytes == 4 * KIB
    assert overlay.dirty_extents() == ExtentSet([Extent(8 * KIB, 4 * KIB)])
    assert_pattern(read_bytes(overlay, 4 * KIB, 4 * KIB), 4 * KIB)
    overlay.write(8 * KIB + 512, pattern(8 * KIB + 512, 3584))
    assert overlay.dirty_bytes == 4 * KIB
    overlay.write(8 * KIB, pattern(8 * KIB, 512))  # the last sector that differed
    assert overlay.dirty_bytes == 0
    assert_pattern(whole(overlay), 0)


def test_writing_what_is_there_makes_nothing_dirty() -> None:
    overlay = Overlay(disk(SIZE))
    overlay.write(512, pattern(512, SIZE - 1024))
    overlay.write(4 * KIB, pattern(4 * KIB, 4 * KIB))
    overlay.write(512, pattern(512, 512))
    assert overlay.held_bytes == 0


def test_a_large_write_drops_just_the_blocks_that_match() -> None:
    overlay = Overlay(disk(SIZE))
    overlay.write(0, pattern(0, SIZE, tag=1))
    overlay.discard(16 * KIB, 4 * KIB)
    mixed = bytearray(pattern(0, 32 * KIB, tag=2))
    mixed[8 * KIB : 12 * KIB] = pattern(8 * KIB, 4 * KIB)
    mixed[16 * KIB : 24 * KIB] = pattern(16 * KIB, 8 * KIB)
    overlay.write(0, mixed)
    assert read_bytes(overlay, 0, 32 * KIB) == mixed
    assert overlay.dirty_extents() == ExtentSet(
        [Extent(0, 8 * KIB), Extent(12 * KIB, 4 * KIB), Extent(24 * KIB, 40 * KIB)]
    )


def test_a_late_base_is_never_read_just_to_compare() -> None:
    base = Counting(pattern(0, SIZE))
    overlay = Overlay(base)
    overlay.write(0, pattern(0, SIZE))
    overlay.write(512, pattern(512, 512))
    assert base.reads == []
    assert overlay.dirty_bytes == SIZE
    # ... but what a merge has read anyway is compared
    overlay.reset()
    overlay.write(512, pattern(512, 512))
    assert base.reads == [(0, 4 * KIB)]
    assert overlay.dirty_bytes == 0


def test_dropping_can_be_turned_off() -> None:
    overlay = Overlay(disk(SIZE), drop_matching=False)
    overlay.write(0, pattern(0, 4 * KIB))
    overlay.write(4 * KIB, pattern(4 * KIB, 512))
    overlay.write(8 * KIB, pattern(8 * KIB, 8 * KIB))
    assert overlay.dirty_bytes == 16 * KIB
    assert_pattern(whole(overlay), 0)


def test_a_base_that_fails_to_compare_does_not_fail_the_write() -> None:
    class Failing(MemoryDevice):
        def read_resident(self, offset: int, length: int) -> Sequence[Buffer] | None:
            raise DeviceError("bad sector")

    overlay = Overlay(Failing(pattern(0, SIZE)))
    overlay.write(0, pattern(0, 8 * KIB, tag=1))
    overlay.write(512, pattern(512, 512, tag=2))
    overlay.write(8 * KIB, pattern(8 * KIB, 4 * KIB, tag=1))
    assert_pattern(read_bytes(overlay, 512, 512), 512, tag=2)


def test_a_view_taken_before_its_block_is_dropped_stays_right() -> None:
    overlay = Overlay(disk(SIZE))
    overlay.write(0, pattern(0, 4 * KIB, tag=1))
    (view,) = overlay.read(0, 4 * KIB)
    overlay.write(0, pattern(0, 4 * KIB))
    assert overlay.dirty_bytes == 0
    assert_pattern(bytes(view), 0)  # the newer content, never zeros


def test_a_dropped_block_can_be_written_in_part_again() -> None:
    base = Counting(pattern(0, SIZE))
    base.resident = True
    overlay = Overlay(base)
    overlay.write(0, pattern(0, 4 * KIB, tag=1))
    overlay.write(0, pattern(0, 4 * KIB))
    overlay.write(512, pattern(512, 512, tag=2))
    assert base.reads == []  # its memory still has the content
    assert_pattern(read_bytes(overlay, 0, 512), 0)
    assert_pattern(read_bytes(overlay, 512, 512), 512, tag=2)
    overlay.write(0, pattern(0, 4 * KIB))
    overlay.discard(0, 4 * KIB)
    assert read_bytes(overlay, 0, 4 * KIB) == bytes(4 * KIB)


# The cap


def full(error: pytest.ExceptionInfo[DeviceError]) -> bool:
    return error.value.errno == errno.ENOSPC and "overlay is full" in str(error.value)


def test_at_the_cap_new_blocks_are_refused_whole_and_held_ones_stay_writable() -> None:
    overlay = Overlay(disk(SIZE), max_bytes=2 * BLOCK + 100)
    overlay.write(0, pattern(0, 4 * KIB, tag=1))
    overlay.write(8 * KIB, pattern(8 * KIB, 512, tag=1))
    before = whole(overlay)
    for offset, length in [(16 * KIB, 4 * KIB), (16 * KIB, 512), (0, 12 * KIB), (8 * KIB, 8 * KIB), (512, 4 * KIB)]:
        with pytest.raises(DeviceError) as caught:
            overlay.write(offset, pattern(offset, length, tag=2))
        assert full(caught)
        assert whole(overlay) == before
    with pytest.raises(DeviceError) as caught:
        overlay.zero(12 * KIB, 512)
    assert full(caught)
    overlay.write(0, pattern(0, 4 * KIB, tag=3))
    overlay.write(9 * KIB, pattern(9 * KIB, 512, tag=3))
    assert overlay.held_bytes == 2 * BLOCK


def test_what_needs_no_memory_is_not_refused_at_the_cap() -> None:
    overlay = Overlay(disk(SIZE), max_bytes=0)
    overlay.write(0, pattern(0, 8 * KIB))  # what is there already
    overlay.write(512, pattern(512, 512))
    overlay.discard(0, 4 * KIB)
    overlay.zero(4 * KIB, 8 * KIB)
    overlay.zero(512, 512)  # of a block that reads as zeros
    assert overlay.held_bytes == 0
    assert read_bytes(overlay, 0, 12 * KIB) == bytes(12 * KIB)


def test_discarding_makes_room() -> None:
    overlay = Overlay(disk(SIZE), max_bytes=BLOCK)
    overlay.write(0, pattern(0, 4 * KIB, tag=1))
    overlay.discard(0, 4 * KIB)
    overlay.write(4 * KIB, pattern(4 * KIB, 4 * KIB, tag=1))
    with pytest.raises(DeviceError) as caught:
        overlay.write(0, pattern(0, 512, tag=1))
    assert full(caught)


def test_dropped_blocks_give_their_memory_back_when_the_cap_needs_it() -> None:
    overlay = Overlay(disk(SIZE), max_bytes=2 * BLOCK)
    overlay.write(0, pattern(0, 8 * KIB, tag=1))
    overlay.write(0, pattern(0, 8 * KIB))
    assert (overlay.dirty_bytes, overlay.held_bytes) == (0, 2 * BLOCK)
    # Block 0 is dropped but part of this very request: block 1 must be the one that goes.
    overlay.write(0, pattern(0, 4 * KIB, tag=2))
    overlay.write(8 * KIB, pattern(8 * KIB, 4 * KIB, tag=2))
    assert overlay.held_bytes == 2 * BLOCK
    assert_pattern(read_bytes(overlay, 0, 4 * KIB), 0, tag=2)
    assert_pattern(read_bytes(overlay, 4 * KIB, 4 * KIB), 4 * KIB)
    assert_pattern(read_bytes(overlay, 8 * KIB, 4 * KIB), 8 * KIB, tag=2)


def test_memory_that_the_request_itself_needs_is_not_given_back() -> None:
    overlay = Overlay(disk(SIZE), max_bytes=2 * BLOCK)
    overlay.write(0, pattern(0, 8 * KIB, tag=1))
    overlay.write(0, pattern(0, 8 * KIB))
    with pytest.raises(DeviceError) as caught:
        overlay.write(512, pattern(512, 12 * KIB, tag=2))
    assert full(caught)
    overlay.write(512, pattern(512, 7 * KIB, tag=2))
    assert_pattern(read_bytes(overlay, 0, 512), 0)
    assert_pattern(read_bytes(overlay, 512, 7 * KIB), 512, tag=2)


# Discard and zero


def test_discard_zeroes_whole_blocks_and_leaves_parts_alone() -> None:
    base = Counting(pattern(0, SIZE))
    overlay = Overlay(base)
    overlay.write(8 * KIB, pattern(8 * KIB, 4 * KIB, tag=1))
    overlay.discard(3 * KIB, 10 * KIB)
    expected = bytearray(pattern(0, SIZE))
    expected[4 * KIB : 12 * KIB] = bytes(8 * KIB)
    assert whole(overlay) == expected
    overlay.discard(512, 2 * KIB)
    assert whole(overlay) == expected
    assert overlay.held_bytes == 0


def test_zero_writes_the_parts_and_frees_the_whole() -> None:
    overlay = Overlay(disk(SIZE))
    overlay.write(8 * KIB, pattern(8 * KIB, 4 * KIB, tag=1))
    overlay.zero(3 * KIB, 10 * KIB)
    expected = bytearray(pattern(0, SIZE))
    expected[3 * KIB : 13 * KIB] = bytes(10 * KIB)
    assert whole(overlay) == expected
    assert overlay.held_bytes == 2 * BLOCK
    assert overlay.dirty_extents() == ExtentSet([Extent(0, 16 * KIB)])


def test_a_part_of_a_zeroed_block_can_be_written() -> None:
    base = Counting(pattern(0, SIZE))
    overlay = Overlay(base)
    overlay.write(0, pattern(0, 4 * KIB, tag=1))
    overlay.zero(0, 4 * KIB)
    overlay.write(512, pattern(512, 512, tag=2))
    assert read_bytes(overlay, 0, 4 * KIB) == bytes(512) + pattern(512, 512, tag=2) + bytes(3 * KIB)
    assert base.reads == []


def test_writing_the_content_over_a_zeroed_block_drops_it() -> None:
    overlay = Overlay(disk(SIZE))
    overlay.zero(0, 8 * KIB)
    overlay.write(0, pattern(0, 8 * KIB))
    assert overlay.dirty_extents() == ExtentSet()
    assert overlay.held_bytes == 0
    overlay.write(512, pattern(512, 512, tag=1))
    assert_pattern(read_bytes(overlay, 0, 512), 0)


def test_extents_name_the_source() -> None:
    overlay = Overlay(disk(SIZE))
    overlay.write(4 * KIB, pattern(4 * KIB, 4 * KIB, tag=1))
    overlay.discard(8 * KIB, 4 * KIB)
    assert list(overlay.extents(512, 16 * KIB)) == [
        Segment(512, 3584, "memory"),
        Segment(4 * KIB, 4 * KIB, "overlay"),
        Segment(8 * KIB, 4 * KIB, "zero", allocated=False, zero=True),
        Segment(12 * KIB, 4 * KIB + 512, "memory"),
    ]


# Reset and commit


def test_reset_forgets_and_old_views_stay() -> None:
    overlay = Overlay(disk(SIZE))
    overlay.write(0, pattern(0, 4 * KIB, tag=1))
    (view,) = overlay.read(0, 4 * KIB)
    overlay.reset()
    assert_pattern(whole(overlay), 0)
    assert_pattern(bytes(view), 0, tag=1)
    assert (overlay.dirty_bytes, overlay.held_bytes, list(overlay.dirty_extents())) == (0, 0, [])


def test_commit_writes_what_changed_and_nothing_else() -> None:
    base = disk(4 * MIB)
    overlay = Overlay(base)
    overlay.write(512, pattern(512, 512, tag=1))
    overlay.write(MIB, pattern(MIB, 2 * MIB + 8 * KIB, tag=1))
    overlay.discard(16 * KIB, 8 * KIB)
    target = Counting(bytearray(pattern(0, 4 * MIB)))
    assert overlay.commit(target) == overlay.dirty_extents().total_bytes == 2 * MIB + 20 * KIB
    assert whole(target) == whole(overlay)
    untouched = MemoryDevice(bytearray(4 * MIB))
    overlay.commit(untouched)
    assert read_bytes(untouched, 4 * KIB, 12 * KIB) == bytes(12 * KIB)
    overlay.commit(target)  # again is harmless


@pytest.mark.parametrize(("target", "code"), [(ZeroDevice(4096), errno.ENOSPC), (disk(SIZE), errno.EPERM)])
def test_commit_to_what_cannot_take_it(target: ZeroDevice | MemoryDevice, code: int) -> None:
    overlay = Overlay(disk(SIZE))
    overlay.write(0, pattern(0, 512, tag=1))
    with pytest.raises(DeviceError) as caught:
        overlay.commit(target)
    assert caught.value.errno == code


def test_commit_to_the_base_makes_the_overlay_redundant() -> None:
    base = MemoryDevice(bytearray(pattern(0, SIZE)))
    overlay = Overlay(base)
    overlay.write(512, pattern(512, 8 * KIB, tag=1))
    expected = whole(overlay)
    overlay.commit(base)
    assert whole(overlay) == expected
    overlay.reset()
    assert whole(overlay) == expected


def test_a_failed_commit_can_be_repeated() -> None:
    overlay = Overlay(disk(SIZE))
    overlay.write(0, pattern(0, SIZE, tag=1))
    target = MemoryDevice(SIZE)
    with pytest.raises(DeviceError, match="fault rule 0"):
        overlay.commit(Fault(target, [FaultRule(FaultKind.ERROR, frozenset({"flush"}), count=1)]))
    overlay.commit(target)
    assert_pattern(whole(target), 0, tag=1)


# The base and other threads


def test_the_base_is_never_written() -> None:
    base = disk(SIZE)
    device = checked(Overlay(base))
    device.write(0, pattern(0, SIZE, tag=1), fua=True)
    device.zero(512, 512)
    device.discard(4 * KIB, 4 * KIB)
    device.flush()
    assert_pattern(whole(base), 0)


def test_a_base_that_returns_too_little_is_eio() -> None:
    overlay = Overlay(Shortening(pattern(0, SIZE)))
    with pytest.raises(DeviceError, match="read of 4096 bytes at 0 came up short") as caught:
        overlay.write(512, bytes(512))
    assert caught.value.errno == errno.EIO
    assert overlay.held_bytes == 0


def test_a_merge_that_cannot_read_the_base_changes_nothing() -> None:
    base = Counting(pattern(0, SIZE))
    overlay = Overlay(base)
    base.broken = True
    with pytest.raises(DeviceError, match="gone"):
        overlay.write(0, pattern(0, 4 * KIB + 512, tag=1))
    base.broken = False
    assert_pattern(whole(overlay), 0)


def test_a_merge_looks_again_after_waiting_for_the_base() -> None:
    fault = Fault(disk(SIZE), [FaultRule(FaultKind.STALL, count=1)])
    overlay = Overlay(fault)
    with ThreadPoolExecutor() as pool:
        part = pool.submit(overlay.write, 512, pattern(512, 512, tag=2))
        assert fault.wait_stalled()
        # While it waits, the whole block is written by another request, which does not wait.
        try:
            pool.submit(overlay.write, 0, pattern(0, 4 * KIB, tag=1)).result(10)
        finally:
            fault.release()
        part.result(10)
    assert_pattern(read_bytes(overlay, 0, 512), 0, tag=1)
    assert_pattern(read_bytes(overlay, 512, 512), 512, tag=2)
    assert_pattern(read_bytes(overlay, 1024, 3 * KIB), 1024, tag=1)


def test_a_block_dropped_between_the_look_and_the_lock_is_read() -> None:
    class Dropping(Counting):
        def read_resident(self, offset: int, length: int) -> Sequence[Buffer] | None:
            overlay.reset()
            return None

    base = Dropping(pattern(0, SIZE))
    overlay = Overlay(base)
    overlay.write(0, pattern(0, 4 * KIB, tag=1))
    assert overlay.dirty_bytes == 4 * KIB
    overlay.zero(512, 512)  # sees a dirty block, asks for a comparison, and the block is gone
    assert base.reads == [(0, 4 * KIB)]
    assert_pattern(read_bytes(overlay, 0, 512), 0)
    assert read_bytes(overlay, 512, 512) == bytes(512)


def test_threads_that_write_parts_of_one_block_lose_nothing() -> None:
    base = Counting(pattern(0, SIZE))
    overlay = Overlay(base)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda index: overlay.write(index * 512, pattern(index * 512, 512, tag=1)), range(SIZE // 512)))
    assert_pattern(whole(overlay), 0, tag=1)


@pytest.mark.parametrize("owns", [False, True])
def test_closing_closes_what_is_owned(owns: bool) -> None:
    base = Counting(bytes(4096))
    Overlay(base, owns=owns).close()
    assert base.closed == owns


def test_over_a_file(tmp_path: Path) -> None:
    path = tmp_path / "base"
    path.write_bytes(pattern(0, SIZE))
    base = FileDevice.open(path)
    overlay = Overlay(base, owns=True)
    overlay.write(512, pattern(512, 4 * KIB, tag=1))
    overlay.write(512, pattern(512, 4 * KIB))
    assert_pattern(whole(overlay), 0)
    overlay.close()
    assert_pattern(path.read_bytes(), 0)


def test_a_closed_overlay_lets_go_of_its_memory() -> None:
    """Whoever still has the overlay, a server its client that has left: memory and descriptors are for the next."""
    before = len(os.listdir("/proc/self/fd"))
    overlay = Overlay(ZeroDevice(MIB))
    overlay.write(0, b"x" * BLOCK)
    assert len(os.listdir("/proc/self/fd")) > before
    overlay.close()
    assert len(os.listdir("/proc/self/fd")) == before
