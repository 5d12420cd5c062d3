from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.live.hydration import Hydration, HydrationProgress
from bootpath.block.live.late import LateDisk
from bootpath.core.device import checked
from bootpath.core.errors import DeviceError
from bootpath.core.extents import Extent
from tests.support.patterns import pattern

MIB = 1 << 20
SIZE = 8 * MIB
EXTENTS = (Extent(4 * MIB, 2 * MIB), Extent(0, 4096), Extent(MIB + 512, MIB))


def disk() -> MemoryDevice:
    return MemoryDevice(bytearray(pattern(0, SIZE)), read_only=True)


def joined(device: object, offset: int, length: int) -> bytes:
    return b"".join(bytes(part) for part in checked(device).read(offset, length))  # type: ignore[arg-type]


def test_everything_reads_the_same_before_during_and_after() -> None:
    lower = disk()
    ready = LateDisk.ready(lower)
    hydration = Hydration(EXTENTS, SIZE, ready, ready)
    content = pattern(0, SIZE)
    seen: list[int] = []

    def check(progress: HydrationProgress) -> None:
        seen.append(progress.done_bytes)
        assert joined(hydration.live, 0, SIZE) == content
        assert joined(hydration.live, MIB, 4096) == content[MIB : MIB + 4096]

    assert joined(hydration.live, 0, SIZE) == content
    hydration.run(threading.Event(), progress=check)
    assert hydration.progress.complete
    assert seen == sorted(seen)
    assert len(seen) > 2


def test_sources_follow_the_plans_order() -> None:
    ready = LateDisk.ready(disk())
    hydration = Hydration(EXTENTS, SIZE, ready, ready)
    orders: list[list[tuple[int, str]]] = []

    def look(_: HydrationProgress) -> None:
        orders.append([(segment.offset, segment.source) for segment in hydration.live.extents(0, SIZE)])

    hydration.run(threading.Event(), progress=look)
    first = dict(orders[0])
    assert first[4 * MIB] == "preload"
    assert first[0] == "disk"
    assert dict(orders[-1])[0] == "preload"


def test_hydrated_regions_need_no_disk() -> None:
    late = LateDisk.none()
    hydration = Hydration(EXTENTS, SIZE, LateDisk.ready(disk()), late)
    with pytest.raises(DeviceError):
        hydration.live.read(4 * MIB, 4096)
    hydration.run(threading.Event())
    assert joined(hydration.live, 4 * MIB, 4096) == pattern(0, SIZE)[4 * MIB : 4 * MIB + 4096]
    with pytest.raises(DeviceError):
        hydration.live.read(7 * MIB, 4096)


def test_a_failing_disk_is_tried_again_and_said() -> None:
    looks: Iterator[MemoryDevice | None] = iter([None, None, disk()])
    source = LateDisk(lambda: next(looks), deadline_seconds=0)
    hydration = Hydration(EXTENTS, SIZE, source, LateDisk.none())
    said: list[str | None] = []

    class Retry(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            said.append(hydration.progress.failure)
            source.notify()
            return False

    hydration.run(Retry())
    assert hydration.progress.complete
    assert hydration.progress.failure is None
    assert said
    assert "no disk" in str(said[0])


def test_stop_ends_it() -> None:
    ready = LateDisk.ready(disk())
    hydration = Hydration(EXTENTS, SIZE, ready, ready)
    stop = threading.Event()
    hydration.run(stop, progress=lambda progress: stop.set())
    assert 0 < hydration.progress.done_bytes < hydration.progress.total_bytes


def test_nothing_to_hydrate() -> None:
    hydration = Hydration((), SIZE, LateDisk.none(), LateDisk.none())
    hydration.run(threading.Event())
    assert hydration.progress.complete


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_another_process_follows() -> None:
    ready = LateDisk.ready(disk())
    hydration = Hydration(EXTENTS, SIZE, ready, ready)
    hydrated: list[int] = []

    def child(done: int, asked: int) -> None:
        """Waits for the parent's word, and answers with what it has in memory."""
        while os.read(asked, 1):
            hydration.follow()
            assert joined(hydration.live, 0, SIZE) == pattern(0, SIZE)
            sizes = [part.length for part in hydration.live.extents(0, SIZE) if part.source == "preload"]
            os.write(done, sum(sizes).to_bytes(8, "little"))

    (done_in, done_out), (asked_in, asked_out) = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(asked_out)
        try:
            child(done_out, asked_in)
        finally:
            os._exit(0)

    done = [0]

    def look(progress: HydrationProgress | None = None) -> None:
        if progress is not None:
            done.append(progress.done_bytes)
        os.write(asked_out, b"?")
        hydrated.append(int.from_bytes(os.read(done_in, 8), "little"))

    os.close(done_out)
    look()
    hydration.run(threading.Event(), progress=look)
    look()
    for fd in (asked_out, asked_in, done_in):
        os.close(fd)
    os.waitpid(pid, 0)
    assert hydrated == [*done, done[-1]]
    assert done[-1] == sum(extent.length for extent in EXTENTS)
