"""The traps of a live disk that devices have to avoid; docs/explanation/live-disk-traps.md explains all twenty."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import pytest

from bootpath.block.leaves.file import FileDevice
from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.live.disk import Live, accept_same_disk, live_disk
from bootpath.block.live.late import LateDisk
from bootpath.block.overlay.ram import Overlay
from bootpath.block.table.stack import open_table
from bootpath.block.targets.linear import Linear
from bootpath.block.targets.log import Log
from bootpath.core.device import Device, Identity, checked, read_bytes
from bootpath.core.errors import DeviceError
from bootpath.core.extents import Extent
from bootpath.core.iolog import Read, Record
from bootpath.formats.dm.table import parse_table
from tests.support.patterns import assert_pattern, pattern
from tests.unit.block.support import KIB, Counting, FakeTime, Shortening, disk, whole

SIZE = 64 * KIB
PRELOAD = 10 * KIB + 100  # an edge inside a sector


def preload(length: int = PRELOAD) -> tuple[bytes, list[Extent]]:
    return pattern(0, length), [Extent(0, length)]


@pytest.mark.trap(1)
def test_a_read_across_the_edge_of_the_preload_is_split_by_byte() -> None:
    records: list[Record] = []
    other = MemoryDevice(bytes(PRELOAD) + pattern(PRELOAD, SIZE - PRELOAD))  # where it is preloaded the disk has zeros
    live = Live(*preload(), SIZE, LateDisk.ready(Log(other, records.append)))
    for offset in range(8 * KIB, 12 * KIB, 512):
        assert_pattern(read_bytes(live, offset, 4 * KIB), offset)
    assert all(isinstance(record, Read) and record.offset >= PRELOAD // 512 * 512 for record in records)


@pytest.mark.trap(2)
def test_only_a_partial_block_is_read_before_it_is_written() -> None:
    lower = Counting(pattern(0, SIZE))
    device = live_disk(*preload(), SIZE, LateDisk.ready(lower))
    device.write(32 * KIB, pattern(32 * KIB, 8 * KIB, tag=1))
    assert lower.reads == []  # whole blocks: nothing to merge with
    device.write(8 * KIB, pattern(8 * KIB, 512, tag=1))  # a block half in RAM, half on the disk
    device.write(20 * KIB + 512, pattern(20 * KIB + 512, 512, tag=1))
    assert lower.reads == [(10 * KIB, 2 * KIB), (20 * KIB, 4 * KIB)]  # the one block each, no more
    assert_pattern(read_bytes(device, 8 * KIB, 512), 8 * KIB, tag=1)
    assert_pattern(read_bytes(device, 8 * KIB + 512, 12 * KIB), 8 * KIB + 512)
    assert_pattern(read_bytes(device, 20 * KIB + 512, 512), 20 * KIB + 512, tag=1)
    assert_pattern(read_bytes(device, 21 * KIB, 11 * KIB), 21 * KIB)


@pytest.mark.trap(3)
@pytest.mark.parametrize("block_bytes", [512, 4096])
def test_offsets_are_in_bytes_with_both_block_sizes(block_bytes: int) -> None:
    late = LateDisk.ready(disk(SIZE))
    device = live_disk(*preload(), SIZE, late, block_bytes=block_bytes)
    for number in range(SIZE // block_bytes):
        assert_pattern(read_bytes(device, number * block_bytes, block_bytes), number * block_bytes)
        device.write(number * block_bytes, pattern(number * block_bytes, block_bytes, tag=1))
        assert_pattern(read_bytes(device, number * block_bytes, block_bytes), number * block_bytes, tag=1)


@pytest.mark.trap(5)
def test_a_read_waits_for_the_disk_until_the_deadline_and_then_fails() -> None:
    time, slot = FakeTime(), list[Device]()
    late = LateDisk(lambda: slot[0] if slot else None, deadline_seconds=30, clock=time.clock, condition=time)
    device = live_disk(*preload(), SIZE, late)
    with pytest.raises(DeviceError, match="no disk has appeared within 30 s") as caught:
        device.read(32 * KIB, 4 * KIB)
    assert (caught.value.errno, time.now) == (errno.EIO, 30)
    late.notify()
    time.schedule.append((50, lambda: slot.append(disk(SIZE))))
    assert_pattern(read_bytes(device, 32 * KIB, 4 * KIB), 32 * KIB)
    assert time.now >= 50


@pytest.mark.trap(5)
def test_a_request_that_waits_does_not_stall_others() -> None:
    looked = threading.Event()
    slot: list[Device] = []

    def look() -> Device | None:
        looked.set()
        return slot[0] if slot else None

    late = LateDisk(look, deadline_seconds=600, backoff=(500, 500))
    device = live_disk(*preload(), SIZE, late)
    with ThreadPoolExecutor() as pool:
        reading = pool.submit(read_bytes, device, 8 * KIB, 8 * KIB)
        merging = pool.submit(device.write, 20 * KIB + 512, pattern(20 * KIB + 512, 512, tag=1))
        assert looked.wait(60)

        def others() -> None:
            assert_pattern(read_bytes(device, 0, 8 * KIB), 0)
            assert device.read_resident(32 * KIB, 512) is None
            device.write(0, pattern(0, 512, tag=1))
            device.write(40 * KIB, pattern(40 * KIB, 4 * KIB, tag=1))  # beyond the preload, but a whole block
            assert_pattern(read_bytes(device, 40 * KIB, 4 * KIB), 40 * KIB, tag=1)
            device.discard(44 * KIB, 4 * KIB)
            device.zero(48 * KIB, 4 * KIB)
            device.flush()
            list(device.extents(0, SIZE))

        try:
            pool.submit(others).result(10)
            assert not reading.done()
            assert not merging.done()
        finally:
            slot.append(disk(SIZE))
            late.notify()
        assert_pattern(reading.result(10), 8 * KIB)
        merging.result(10)
    assert_pattern(read_bytes(device, 20 * KIB, 512), 20 * KIB)
    assert_pattern(read_bytes(device, 20 * KIB + 512, 512), 20 * KIB + 512, tag=1)


@pytest.mark.trap(6)
def test_an_inherited_descriptor_serves_after_its_path_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(pattern(0, SIZE))
    fd = os.open(path, os.O_RDONLY)
    path.unlink()  # as in a null namespace: nothing can be opened by name any more
    with pytest.raises(DeviceError, match="No such file") as caught:
        FileDevice.open(path)
    assert caught.value.errno == errno.ENOENT
    device = live_disk(*preload(), SIZE, LateDisk(lambda: FileDevice(fd), deadline_seconds=0))
    assert_pattern(whole(device), 0)
    device.close()


def same_disk(identity: Identity) -> Callable[[Device], None]:
    memory, extents = preload()
    return accept_same_disk(memory, extents, SIZE, identity=identity, probes=[Extent(0, 8 * KIB)])


IDENTITY = Identity("live", UUID(int=1), UUID(int=2), UUID(int=3))


@pytest.mark.trap(7)
@pytest.mark.parametrize(
    ("candidate", "text"),
    [
        (disk(SIZE, identity=Identity("sda", UUID(int=9))), "its uuid differs"),
        (disk(SIZE, tag=1, identity=Identity("sda", UUID(int=1))), "differs from the preload"),
        # A dd copy: the same uuid and the same ring.
        (disk(SIZE, identity=Identity("sda", UUID(int=1), UUID(int=2), UUID(int=9))), "its partition_guid differs"),
    ],
)
def test_another_disk_at_the_same_path_is_refused(candidate: Device, text: str) -> None:
    late = LateDisk(lambda: candidate, deadline_seconds=0, accept=same_disk(IDENTITY))
    device = live_disk(*preload(), SIZE, late)
    for _ in range(2):
        with pytest.raises(DeviceError, match=f"the disk is refused: .*{text}") as caught:
            device.read(32 * KIB, 512)
        assert caught.value.errno == errno.EIO
    assert_pattern(read_bytes(device, 0, 8 * KIB), 0)  # the preload is not in doubt


@pytest.mark.trap(7)
def test_the_same_disk_is_accepted() -> None:
    late = LateDisk(lambda: disk(SIZE, identity=IDENTITY), deadline_seconds=0, accept=same_disk(IDENTITY))
    assert_pattern(whole(live_disk(*preload(), SIZE, late)), 0)


@pytest.mark.trap(8)
def test_a_table_counts_sectors_and_a_device_bytes() -> None:
    def resolve(name: str) -> Device:
        return {"ram": MemoryDevice(pattern(0, 8 * KIB)), "sda": disk(SIZE)}[name]

    assert_pattern(whole(open_table(parse_table("0 8 linear sda 3"), resolve)), 3 * 512)
    live = open_table(parse_table("0 128 live ram sda 0 0+8192"), resolve)
    assert next(live.extents(0, SIZE)).length == 8192
    assert_pattern(read_bytes(Linear(disk(SIZE), 1536, 512), 0, 512), 1536)


@pytest.mark.trap(9)
@pytest.mark.parametrize(
    ("offset", "length"),
    [(2**64 - 512, 1024), (2**63, 2**63), (2**64 - 4096, 4096), (0, 2**64), (-512, 1024), (512, -512)],
)
def test_a_range_whose_end_overflows_is_refused(offset: int, length: int) -> None:
    device = live_disk(*preload(), SIZE, LateDisk.ready(disk(SIZE)))
    operations: list[tuple[Callable[[int, int], object], int]] = [
        (device.read, errno.EINVAL),
        (device.read_resident, errno.EINVAL),
        (device.extents, errno.EINVAL),
        (device.zero, errno.ENOSPC),
        (device.discard, errno.ENOSPC),
    ]
    for operation, past_end in operations:
        with pytest.raises(DeviceError) as caught:
            operation(offset, length)
        assert caught.value.errno == (errno.EINVAL if offset < 0 or length <= 0 else past_end)
    assert_pattern(whole(device), 0)


@pytest.mark.trap(10)
def test_a_truncated_disk_is_refused_at_the_start() -> None:
    late = LateDisk(lambda: disk(SIZE - 4096), deadline_seconds=0, accept=same_disk(IDENTITY))
    with pytest.raises(DeviceError, match="truncated"):
        live_disk(*preload(), SIZE, late).read(32 * KIB, 512)  # although that range is there
    with pytest.raises(DeviceError, match="truncated"):
        Linear(disk(SIZE - 4096), 0, SIZE)


@pytest.mark.trap(10)
def test_a_disk_that_is_truncated_while_it_is_read_gives_eio(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(pattern(0, SIZE))
    device = live_disk(*preload(), SIZE, LateDisk.ready(FileDevice.open(path)))
    os.truncate(path, 20 * KIB)
    assert_pattern(read_bytes(device, 0, 20 * KIB), 0)
    for offset in (18 * KIB, 20 * KIB, 60 * KIB):
        with pytest.raises(DeviceError, match="truncated") as caught:
            device.read(offset, 4 * KIB)
        assert caught.value.errno == errno.EIO
    device.close()


@pytest.mark.trap(11)
def test_clean_reads_are_not_kept_in_the_overlay() -> None:
    lower = Counting(pattern(0, SIZE))
    overlay = Overlay(Live(*preload(), SIZE, LateDisk.ready(lower)))
    for _ in range(2):
        assert_pattern(whole(overlay), 0)
    assert len(lower.reads) == 2
    assert (overlay.held_bytes, overlay.dirty_bytes) == (0, 0)


@pytest.mark.trap(11)
def test_a_full_overlay_is_enospc_and_its_blocks_stay_writable() -> None:
    device = live_disk(*preload(), SIZE, LateDisk.ready(disk(SIZE)), max_bytes=4 * KIB)
    device.write(0, pattern(0, 4 * KIB, tag=1))
    with pytest.raises(DeviceError, match="overlay is full") as caught:
        device.write(4 * KIB, pattern(4 * KIB, 4 * KIB, tag=1))
    assert caught.value.errno == errno.ENOSPC
    assert_pattern(read_bytes(device, 4 * KIB, 4 * KIB), 4 * KIB)
    device.write(0, pattern(0, 4 * KIB, tag=2))
    assert_pattern(read_bytes(device, 0, 4 * KIB), 0, tag=2)


@pytest.mark.trap(12)
def test_the_base_is_never_written(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(pattern(0, SIZE))
    base = FileDevice.open(path)
    device = live_disk(*preload(), SIZE, LateDisk.ready(base))
    device.write(0, pattern(0, SIZE, tag=1), fua=True)
    device.zero(512, 512)
    device.discard(32 * KIB, 4 * KIB)
    device.flush()
    device.close()
    assert_pattern(path.read_bytes(), 0)
    with pytest.raises(DeviceError) as caught:
        Live(*preload(), SIZE, LateDisk.none()).write(0, bytes(512))
    assert caught.value.errno == errno.EPERM


@pytest.mark.trap(13)
def test_every_refusal_has_its_errno() -> None:
    device = live_disk(*preload(), SIZE, LateDisk.none(), max_bytes=0)
    cases: list[tuple[Callable[[], object], int]] = [
        (lambda: device.read(100, 512), errno.EINVAL),
        (lambda: device.read(0, 100), errno.EINVAL),
        (lambda: device.read(0, 0), errno.EINVAL),
        (lambda: device.read(SIZE, 512), errno.EINVAL),
        (lambda: device.read(SIZE - 512, 1024), errno.EINVAL),
        (lambda: device.write(100, bytes(512)), errno.EINVAL),
        (lambda: device.write(SIZE, bytes(512)), errno.ENOSPC),
        (lambda: device.zero(SIZE - 512, 1024), errno.ENOSPC),
        (lambda: device.write(0, b"x" * 4096), errno.ENOSPC),  # full
        (lambda: device.read(32 * KIB, 512), errno.EIO),  # no disk
        (lambda: device.write(32 * KIB, b"x" * 512), errno.EIO),  # no disk to merge with
        (lambda: checked(disk(SIZE)).write(0, bytes(512)), errno.EPERM),
    ]
    for operation, code in cases:
        with pytest.raises(DeviceError) as caught:
            operation()
        assert caught.value.errno_name == errno.errorcode[code]


@pytest.mark.trap(13)
def test_a_short_read_of_a_lower_device_is_an_error() -> None:
    short = Shortening(pattern(0, SIZE), block_bytes=4096)
    with pytest.raises(DeviceError, match="short"):
        Overlay(short, block_bytes=512).read(512, 3584)
    with pytest.raises(DeviceError, match="short"):
        Overlay(short, block_bytes=512).write(512, b"x" * 512)


@pytest.mark.trap(14)
@pytest.mark.parametrize("lower_block_bytes", [512, 4096])
@pytest.mark.parametrize("block_bytes", [512, 4096])
def test_both_block_sizes_work_over_both(block_bytes: int, lower_block_bytes: int) -> None:
    lower = disk(SIZE, block_bytes=lower_block_bytes)
    device = live_disk(*preload(), SIZE, LateDisk.ready(lower), block_bytes=block_bytes)
    assert device.block_bytes == block_bytes
    model = bytearray(pattern(0, SIZE))
    for offset in range(0, SIZE, 4096 + block_bytes):
        length = min(block_bytes * 3, SIZE - offset)
        device.write(offset, pattern(offset, length, tag=1))
        model[offset : offset + length] = pattern(offset, length, tag=1)
        assert read_bytes(device, offset, length) == model[offset : offset + length]
    assert whole(device) == model
    if block_bytes == 4096:
        with pytest.raises(DeviceError):
            device.read(512, 512)


@pytest.mark.trap(17)
def test_a_read_beyond_the_preload_fails_at_once_without_a_disk() -> None:
    device = live_disk(*preload(), SIZE, LateDisk.none())
    with pytest.raises(DeviceError, match="no fallback disk") as caught:
        device.read(32 * KIB, 512)
    assert caught.value.errno == errno.EIO
    assert_pattern(read_bytes(device, 0, 8 * KIB), 0)


@pytest.mark.trap(18)
def test_a_preload_of_several_extents_serves_all_of_them() -> None:
    extents = [Extent(0, 4 * KIB), Extent(SIZE - 4 * KIB, 4 * KIB)]
    memory = pattern(0, 4 * KIB) + pattern(SIZE - 4 * KIB, 4 * KIB)
    device = live_disk(memory, extents, SIZE, LateDisk.none())
    assert_pattern(read_bytes(device, SIZE - 4 * KIB, 4 * KIB), SIZE - 4 * KIB)
    with pytest.raises(DeviceError):
        device.read(4 * KIB, 512)


@pytest.mark.trap(19)
def test_a_preload_shorter_than_its_extents_is_refused() -> None:
    memory, extents = preload()
    with pytest.raises(DeviceError, match="the preload is too short"):
        live_disk(memory[:-1], extents, SIZE, LateDisk.none())
