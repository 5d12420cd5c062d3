from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Thread
from uuid import UUID

import pytest

from bootpath.block.leaves.constant import ZeroDevice
from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.overlay import journal as overlayjournal
from bootpath.block.overlay.commit import commit_overlay, discard_overlay, overlay_info
from bootpath.block.overlay.file import OverlayFile, load_for
from bootpath.block.overlay.state import lay_out
from bootpath.block.overlay.storage import GrowingFile
from bootpath.core.device import Buffer, Identity, Segment, checked, read_bytes
from bootpath.core.errors import DeviceError, FormatError
from bootpath.core.extents import Extent, ExtentSet
from bootpath.formats.overlayfile import (
    OverlayFileState,
)
from tests.support.crashstorage import CrashStorage
from tests.support.errors import raises
from tests.support.patterns import assert_pattern, pattern
from tests.unit.block.support import KIB, MIB, Counting, disk, whole

SIZE = 64 * KIB
BLOCK = 4096


def in_memory(size_bytes: int = SIZE, *, capacity_bytes: int | None = None) -> tuple[CrashStorage, OverlayFile]:
    storage = CrashStorage(capacity_bytes=capacity_bytes)
    base = disk(size_bytes)
    return storage, OverlayFile(storage, lay_out(storage, base), base)


def code(error: pytest.ExceptionInfo[DeviceError]) -> str:
    return error.value.errno_name


# Keeping


def test_what_was_written_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "disk.bpo"
    overlay = OverlayFile.create(path, disk(SIZE))
    overlay.write(8 * KIB, pattern(8 * KIB, 4 * KIB, tag=1))
    overlay.write(20 * KIB + 512, pattern(20 * KIB + 512, 1024, tag=2))
    overlay.discard(32 * KIB, 8 * KIB)
    expected = whole(overlay)
    overlay.close()
    overlay.close()
    again = OverlayFile.open(path, disk(SIZE))
    assert whole(again) == expected
    assert again.dirty_bytes == 2 * BLOCK
    assert again.dirty_extents() == ExtentSet([Extent(8192, 4096), Extent(20480, 4096), Extent(32768, 8192)])
    assert list(again.extents(0, SIZE)) == [
        Segment(0, 8192, "memory"),
        Segment(8192, 4096, "overlay"),
        Segment(12288, 8192, "memory"),
        Segment(20480, 4096, "overlay"),
        Segment(24576, 8192, "memory"),
        Segment(32768, 8192, "zero", allocated=False, zero=True),
        Segment(40960, 24576, "memory"),
    ]
    assert_pattern(read_bytes(again, 20 * KIB + 512, 1024), 20 * KIB + 512, tag=2)
    again.close()


def test_without_a_flush_the_old_content_is_there() -> None:
    storage, overlay = in_memory()
    overlay.write(0, pattern(0, 4096, tag=1))
    overlay.flush()
    overlay.write(0, pattern(0, 4096, tag=2))
    base = disk(SIZE)
    after = CrashStorage(bytes(storage.current))
    assert_pattern(read_bytes(OverlayFile(after, load_for(after, base, writable=True), base), 0, 4096), 0, tag=1)


def test_fua_is_stable() -> None:
    storage, overlay = in_memory()
    overlay.write(0, pattern(0, 4096, tag=1))
    overlay.write(4096, pattern(4096, 512, tag=2), fua=True)
    base = disk(SIZE)
    after = CrashStorage(bytes(storage.current))
    again = OverlayFile(after, load_for(after, base, writable=True), base)
    assert whole(again) == whole(overlay)


def test_read_only(tmp_path: Path) -> None:
    path = tmp_path / "disk.bpo"
    OverlayFile.create(path, disk(SIZE)).close()
    before = path.read_bytes()
    with_lock = [OverlayFile.open(path, disk(SIZE), writable=False) for _ in range(2)]
    for overlay in with_lock:
        with pytest.raises(DeviceError, match="read-only"):
            checked(overlay).write(0, bytes(512))
        overlay.flush()
        overlay.close()
    assert path.read_bytes() == before


def test_a_short_last_block(tmp_path: Path) -> None:
    path = tmp_path / "disk.bpo"
    size = 3 * BLOCK + 512
    overlay = OverlayFile.create(path, disk(size))
    overlay.write(2 * BLOCK, pattern(2 * BLOCK, BLOCK + 512, tag=1))
    overlay.close()
    again = OverlayFile.open(path, disk(size))
    assert_pattern(read_bytes(again, 2 * BLOCK, BLOCK + 512), 2 * BLOCK, tag=1)
    again.discard(3 * BLOCK, 512)
    assert read_bytes(again, 3 * BLOCK, 512) == bytes(512)
    assert again.dirty_extents() == ExtentSet([Extent(2 * BLOCK, BLOCK + 512)])
    again.close()


@pytest.mark.parametrize("size_bytes", [1 << 30, 1 << 40])
def test_a_sparse_disk_of_any_size_costs_nothing(tmp_path: Path, size_bytes: int) -> None:
    path = tmp_path / "disk.bpo"
    base = ZeroDevice(size_bytes)
    overlay = OverlayFile.create(path, base)
    overlay.write(size_bytes - 4096, b"x" * 4096)
    overlay.discard(0, size_bytes - (64 << 20))
    overlay.close()
    assert path.stat().st_size < 1 << 20
    again = OverlayFile.open(path, base)
    assert read_bytes(again, size_bytes - 4096, 4096) == b"x" * 4096
    assert len(again.dirty_extents()) == 2
    again.close()


# Refusing


@pytest.mark.parametrize(
    ("base", "what"),
    [
        (disk(2 * SIZE), f"the size_bytes differs; expected {SIZE}, found {2 * SIZE}"),
        (disk(SIZE, tag=1), "the content of the first 65536 bytes differs"),
        (disk(SIZE, identity=Identity("b", uuid=UUID(int=2))), "the uuid differs"),
        (disk(SIZE, identity=Identity("b", disk_guid=UUID(int=2))), "the disk_guid differs"),
        (disk(SIZE, identity=Identity("b", partition_guid=UUID(int=2))), "the partition_guid differs"),
    ],
)
def test_another_base_is_refused_with_what_differs(tmp_path: Path, base: MemoryDevice, what: str) -> None:
    path = tmp_path / "disk.bpo"
    mine = Identity("a", UUID(int=1), UUID(int=1), UUID(int=1))
    OverlayFile.create(path, disk(SIZE, identity=mine)).close()
    with pytest.raises(DeviceError, match=r"the overlay belongs to another base \(a\): " + what) as error:
        OverlayFile.open(path, base)
    assert code(error) == "EINVAL"
    OverlayFile.open(path, disk(SIZE)).close()  # what a base does not know tells nothing


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "disk.bpo"
    overlay = OverlayFile.create(path, disk(SIZE))
    overlay.write(0, pattern(0, 4096, tag=1))
    overlay.flush()
    for attempt in (
        lambda: OverlayFile.open(path, disk(SIZE)),
        lambda: OverlayFile.open(path, disk(SIZE), writable=False),
        lambda: discard_overlay(path),
        lambda: commit_overlay(path, disk(SIZE)),
    ):
        with pytest.raises(DeviceError, match="in use") as error:
            attempt()
        assert code(error) in ("EBUSY", "EPERM")
    info = overlay_info(path)
    assert info.in_use
    assert info.dirty_bytes == 4096
    overlay.close()


def test_create_never_replaces(tmp_path: Path) -> None:
    path = tmp_path / "disk.bpo"
    path.write_bytes(b"mine")
    with pytest.raises(DeviceError) as error:
        OverlayFile.create(path, disk(SIZE))
    assert code(error) == "EEXIST"
    assert path.read_bytes() == b"mine"
    with pytest.raises(FormatError, match="is it an overlay"):
        OverlayFile.open(path, disk(SIZE))
    with pytest.raises(DeviceError) as error:
        OverlayFile.open(tmp_path / "none", disk(SIZE))
    assert code(error) == "ENOENT"


def test_create_leaves_nothing_behind_when_the_base_fails(tmp_path: Path) -> None:
    base = Counting(pattern(0, SIZE))
    base.broken = True
    with pytest.raises(DeviceError, match="gone"):
        OverlayFile.create(tmp_path / "disk.bpo", base)
    assert list(tmp_path.iterdir()) == []


def test_a_truncated_file_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "disk.bpo"
    overlay = OverlayFile.create(path, disk(SIZE))
    overlay.write(0, pattern(0, SIZE, tag=1))
    overlay.close()
    size = path.stat().st_size
    for length in (size - 4096, 100 * KIB, 8192, 4096, 0):
        os.truncate(path, length)
        with pytest.raises(FormatError, match=r"disk\.bpo: (overlay: )?the (overlay )?file is (truncated|too short)"):
            OverlayFile.open(path, disk(SIZE))


def test_sizes_that_cannot_be() -> None:
    with raises(DeviceError, expected="a multiple of 4096"):
        OverlayFile(CrashStorage(), lay_out(CrashStorage(), disk(512)), disk(512), block_bytes=4096)
    with raises(DeviceError, expected="at most 17592186040320"):
        lay_out(CrashStorage(), ZeroDevice(1 << 44))


# Space


def test_a_block_is_rewritten_in_place_until_it_is_committed() -> None:
    storage, overlay = in_memory()
    for tag in range(50):
        overlay.write(0, pattern(0, 4096, tag=tag))
    size = storage.length()
    overlay.flush()
    for tag in range(50):
        overlay.write(0, pattern(0, 4096, tag=tag))
        overlay.flush()
    assert storage.length() <= size + 4096  # two clusters take turns
    assert_pattern(read_bytes(overlay, 0, 4096), 0, tag=49)


def test_a_log_is_replaced_and_its_space_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlayjournal, "LOG_MIN_BYTES", 4096)
    storage, overlay = in_memory()
    for tag in range(300):
        overlay.write(tag % 4 * 8192, pattern(tag % 4 * 8192, 4096, tag=tag))
        overlay.flush()
    assert storage.length() < 128 * KIB


def test_the_cap_refuses_new_blocks_and_nothing_else(tmp_path: Path) -> None:
    overlay = OverlayFile.create(tmp_path / "disk.bpo", disk(SIZE), max_bytes=2 * BLOCK)
    overlay.write(0, pattern(0, 8192, tag=1))
    before = whole(overlay)
    for offset, length in ((8192, 512), (4096, 8192), (0, SIZE)):
        with pytest.raises(DeviceError, match="overlay is full") as error:
            overlay.write(offset, bytes(length))
        assert code(error) == "ENOSPC"
        assert whole(overlay) == before
    for tag in range(5):
        overlay.write(0, pattern(0, 8192, tag=tag))
        overlay.flush()
    overlay.discard(0, 4096)
    overlay.write(16 * KIB, pattern(16 * KIB, 4096, tag=9))
    assert_pattern(read_bytes(overlay, 16 * KIB, 4096), 16 * KIB, tag=9)
    overlay.close()


def test_a_full_host_disk_leaves_what_is_held_intact() -> None:
    storage, overlay = in_memory(4 * MIB, capacity_bytes=600 * KIB)
    written = 0

    def fill() -> None:
        nonlocal written
        while True:
            overlay.write(written * 4096, pattern(written * 4096, 4096, tag=1))
            written += 1

    with pytest.raises(DeviceError) as error:
        fill()
    assert code(error) == "ENOSPC"
    assert written > 50
    overlay.flush()
    before = whole(overlay)
    # Large ones are refused whole; what is held can be written again as long as a cluster is free.
    with pytest.raises(DeviceError) as error:
        overlay.write(0, bytes(2 * MIB))
    assert code(error) == "ENOSPC"
    assert whole(overlay) == before
    overlay.discard(0, 16 * KIB)
    for tag in range(2, 6):
        overlay.write(32 * KIB, pattern(32 * KIB, 8192, tag=tag))
        overlay.write(40 * KIB, pattern(40 * KIB, 8192, tag=tag))
    overlay.flush()
    base = disk(4 * MIB)
    after = CrashStorage(bytes(storage.current))
    assert whole(OverlayFile(after, load_for(after, base, writable=True), base)) == whole(overlay)


def test_discarded_space_goes_back_to_the_host(tmp_path: Path) -> None:
    path = tmp_path / "disk.bpo"
    overlay = OverlayFile.create(path, disk(16 * MIB))
    overlay.write(0, b"\x55" * (8 * MIB))
    overlay.flush()
    full = path.stat().st_blocks
    overlay.discard(0, 8 * MIB)
    overlay.flush()
    if path.stat().st_blocks == full:
        pytest.skip("this file system has no holes")
    assert path.stat().st_blocks * 512 < 2 * MIB
    overlay.close()
    OverlayFile.open(path, disk(16 * MIB)).close()
    assert path.stat().st_size < 2 * MIB  # free space at the end is cut off


# Failures


def test_after_a_failed_flush_nothing_more_is_promised() -> None:
    storage, overlay = in_memory()
    overlay.write(0, pattern(0, 4096, tag=1))
    overlay.flush()
    overlay.write(0, pattern(0, 4096, tag=2))
    storage.fail_flush = True
    with pytest.raises(DeviceError, match=r"overlay\.bpo: flush failed"):
        overlay.flush()
    storage.fail_flush = False
    for attempt in (overlay.flush, lambda: overlay.write(0, bytes(512)), lambda: overlay.discard(0, 4096)):
        with pytest.raises(DeviceError, match=r"overlay\.bpo: flush failed") as error:
            attempt()
        assert code(error) == "EIO"
    assert_pattern(read_bytes(overlay, 0, 4096), 0, tag=2)
    calls = len(storage.calls)
    overlay.close()
    assert len(storage.calls) == calls
    assert storage.closed


def test_a_base_that_fails_fails_only_what_needs_it() -> None:
    storage = CrashStorage()
    base = Counting(pattern(0, SIZE))
    overlay = OverlayFile(storage, lay_out(storage, base), base)
    base.broken = True
    overlay.write(0, pattern(0, 4096, tag=1))
    with pytest.raises(DeviceError, match="gone"):
        overlay.write(8192, bytes(512))
    with pytest.raises(DeviceError, match="gone"):
        overlay.read(0, 8192)
    assert_pattern(read_bytes(overlay, 0, 4096), 0, tag=1)


def test_resident_reads(tmp_path: Path) -> None:
    base = Counting(pattern(0, SIZE))
    storage = CrashStorage()
    overlay = OverlayFile(storage, lay_out(storage, base), base, owns=True)
    overlay.write(4096, pattern(4096, 4096, tag=1))
    overlay.zero(8192, 4096)
    views = overlay.read_resident(4096, 8192)
    assert views is not None
    assert b"".join(views) == pattern(4096, 4096, tag=1) + bytes(4096)
    assert overlay.read_resident(0, 8192) is None
    base.resident = True
    assert overlay.read_resident(0, 8192) is not None
    overlay.close()
    assert base.closed == 1


# Threads


@pytest.fixture
def quick_switching() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("quick_switching")
def test_readers_never_see_another_blocks_data(tmp_path: Path) -> None:
    """Clusters change hands all the time while readers look."""
    size = 16 * BLOCK
    overlay = OverlayFile.create(tmp_path / "disk.bpo", disk(size))
    target = checked(overlay)
    stop = Event()

    def write(start: int) -> None:
        for tag in range(1, 60):
            offset = start + tag % 4 * BLOCK
            target.write(offset, pattern(offset, BLOCK, tag=tag))
            if tag % 3 == 0:
                target.discard(offset, BLOCK)
            if tag % 5 == 0:
                target.flush()

    def read() -> None:
        while not stop.is_set():
            for offset in range(0, size, BLOCK):
                data = read_bytes(target, offset, BLOCK)
                for position in range(0, BLOCK, 512):
                    sector = data[position : position + 512]
                    assert not any(sector) or int.from_bytes(sector[8:16], "little") == (offset + position) // 512

    with ThreadPoolExecutor(6) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        writers = [pool.submit(write, index * 4 * BLOCK) for index in range(4)]
        for writer in writers:
            writer.result()
        stop.set()
        for reader in readers:
            reader.result()
    expected = whole(target)
    target.close()
    again = OverlayFile.open(tmp_path / "disk.bpo", disk(size))
    assert whole(again) == expected
    again.close()


class Held(CrashStorage):
    """A flush that waits until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.armed = False
        self.entered = Event()
        self.go = Event()

    def flush(self) -> None:
        if self.armed:
            self.entered.set()
            assert self.go.wait(60)
        super().flush()


def test_a_slow_flush_holds_up_nobody_and_never_takes_half_a_block() -> None:
    storage = Held()
    base = disk(SIZE)
    overlay = OverlayFile(storage, lay_out(storage, base), base)
    overlay.write(0, pattern(0, 4096, tag=1))
    storage.armed = True
    flusher = Thread(target=overlay.flush)
    flusher.start()
    assert storage.entered.wait(60)
    overlay.write(0, pattern(0, 4096, tag=2))  # not in place: the commit under way has this block
    assert_pattern(read_bytes(overlay, 0, 4096), 0, tag=2)
    storage.go.set()
    flusher.join()
    after = CrashStorage(bytes(storage.current))
    assert_pattern(read_bytes(OverlayFile(after, load_for(after, base, writable=True), base), 0, 4096), 0, tag=1)
    overlay.flush()
    after = CrashStorage(bytes(storage.current))
    assert_pattern(read_bytes(OverlayFile(after, load_for(after, base, writable=True), base), 0, 4096), 0, tag=2)


# The file as a file


def test_info(tmp_path: Path) -> None:
    path = tmp_path / "disk.bpo"
    overlay = OverlayFile.create(path, disk(SIZE, identity=Identity("a disk")))
    overlay.write(0, pattern(0, 8192, tag=1))
    overlay.discard(16 * KIB, 4096)
    overlay.close()
    info = overlay_info(path)
    assert (info.dirty_bytes, info.zero_bytes, info.state) == (8192, 4096, OverlayFileState.READY)
    assert (info.base.name, info.base.size_bytes) == ("a disk", SIZE)
    assert info.file_bytes == path.stat().st_size
    assert not info.in_use
    assert info.closed
    assert stat.S_IMODE(path.stat().st_mode) & 0o022 == 0


def test_info_of_a_log_that_is_written_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "disk.bpo"
    overlay = OverlayFile.create(path, disk(4 * MIB))
    overlay.write(0, pattern(0, 4096, tag=1), fua=True)
    tail = 2 * BLOCK + 2 * 512  # behind a checkpoint and a commit there is a mark, which the next commit overwrites
    before = path.read_bytes()[: tail + 512]
    for index in range(100):
        overlay.write(index * 8192, pattern(index * 8192, 4096, tag=2))
    overlay.flush()
    read, torn = GrowingFile.read, [True]

    def read_torn(self: GrowingFile, offset: int, length: int) -> Sequence[Buffer]:
        data = b"".join(read(self, offset, length))
        if offset == 2 * BLOCK and torn.pop():
            torn.append(False)
            data = before[offset:] + data[len(before) - offset :]
        return (data,)

    monkeypatch.setattr(GrowingFile, "read", read_torn)
    assert overlay_info(path).dirty_bytes == 100 * BLOCK
    overlay.close()
    torn[:] = [True]
    with pytest.raises(FormatError, match="is damaged, one at"):
        overlay_info(path)


def test_commit_into_a_device_of_the_same_size() -> None:
    _, overlay = in_memory()
    overlay.write(4096, pattern(4096, 8192, tag=1))
    overlay.discard(32 * KIB, 4096)
    target = MemoryDevice(bytearray(pattern(0, SIZE)))
    assert overlay.commit(target) == 3 * BLOCK
    assert whole(target) == whole(overlay)
    with pytest.raises(DeviceError, match="does not fit"):
        overlay.commit(MemoryDevice(4096))


def test_commit_into_the_base_empties_the_overlay(tmp_path: Path) -> None:
    path, image = tmp_path / "disk.bpo", tmp_path / "disk.img"
    image.write_bytes(pattern(0, SIZE))
    overlay = OverlayFile.create(path, disk(SIZE))
    overlay.write(512, pattern(512, 8192, tag=1))
    overlay.discard(32 * KIB, 8192)
    expected = whole(overlay)
    overlay.close()
    assert commit_overlay(path, image) == 3 * BLOCK + 8192
    assert image.read_bytes() == expected
    assert commit_overlay(path, image) == 0
    again = OverlayFile.open(path, MemoryDevice(expected))  # of the base as it is now
    assert not again.dirty_extents()
    again.close()
    with pytest.raises(DeviceError, match="another base"):
        commit_overlay(path, MemoryDevice(bytearray(SIZE)))
    with pytest.raises(DeviceError, match="read-only") as error:
        commit_overlay(path, disk(SIZE))
    assert code(error) == "EPERM"
    with GrowingFileLock(image), pytest.raises(DeviceError, match="in use"):
        commit_overlay(path, image)


class GrowingFileLock:
    def __init__(self, path: Path) -> None:
        self.file = GrowingFile.open_locked(path)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self.file.close()


class FailsLate(MemoryDevice):
    def flush(self) -> None:
        raise DeviceError("the stick was pulled out", where="base")


def test_a_commit_that_has_begun_must_be_ended(tmp_path: Path) -> None:
    path = tmp_path / "disk.bpo"
    overlay = OverlayFile.create(path, disk(SIZE))
    overlay.write(0, pattern(0, 4096, tag=1))
    expected = whole(overlay)
    overlay.close()
    base = FailsLate(bytearray(pattern(0, SIZE)))
    with pytest.raises(DeviceError, match="pulled out"):
        commit_overlay(path, base)
    assert overlay_info(path).state is OverlayFileState.COMMITTING
    with pytest.raises(DeviceError, match="did not end; commit it again"):
        OverlayFile.open(path, base)
    with pytest.raises(DeviceError, match="then discard"):
        discard_overlay(path)
    stranger = MemoryDevice(bytearray(pattern(0, SIZE, tag=5)))
    with pytest.raises(DeviceError, match="another base"):
        commit_overlay(path, stranger)
    healed = MemoryDevice(bytearray(whole(base)))
    assert commit_overlay(path, healed) == 4096
    assert whole(healed) == expected


def test_discard_and_reset_forget(tmp_path: Path) -> None:
    path = tmp_path / "disk.bpo"
    overlay = OverlayFile.create(path, disk(4 * MIB))
    overlay.write(0, pattern(0, MIB, tag=1))
    overlay.flush()
    overlay.reset()
    assert_pattern(whole(overlay), 0)
    overlay.write(4096, pattern(4096, 8192, tag=2))
    overlay.close()
    assert discard_overlay(path) == 8192
    assert path.stat().st_size < MIB
    again = OverlayFile.open(path, disk(4 * MIB))
    assert_pattern(whole(again), 0)
    again.close()


def test_one_damaged_header_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "disk.bpo"
    overlay = OverlayFile.create(path, disk(SIZE))
    overlay.write(0, pattern(0, 4096, tag=1))
    overlay.close()
    good = path.read_bytes()
    for copy in range(2):
        damaged = bytearray(good)
        damaged[copy * 4096 + 20] ^= 1
        path.write_bytes(damaged)
        OverlayFile.open(path, disk(SIZE)).close()
        assert path.read_bytes()[:8192] == good[:8192]


def test_a_log_in_a_free_run_is_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new log may be made where data was; none of it must look like a record."""
    monkeypatch.setattr(overlayjournal, "LOG_MIN_BYTES", 4096)
    storage, overlay = in_memory(MIB)
    for tag in range(1, 40):
        overlay.write(0, pattern(0, 64 * KIB, tag=tag))
        overlay.flush()
    expected = whole(overlay)
    base = disk(MIB)
    after = CrashStorage(bytes(storage.current))
    again: Sequence[Buffer] = OverlayFile(after, load_for(after, base, writable=True), base).read(0, MIB)
    assert b"".join(again) == expected
