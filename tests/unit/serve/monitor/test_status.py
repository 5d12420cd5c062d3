from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import jsonschema
import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.live.late import LateDisk
from bootpath.block.overlay.ram import Overlay
from bootpath.core.device import Segment, checked
from bootpath.core.errors import DeviceError
from bootpath.core.extents import Extent
from bootpath.serve.live.diskmap import LOOK_BYTES, SEGMENTS, CellState, Surveyor
from bootpath.serve.live.diskstate import DiskState
from bootpath.serve.live.histogram import BUSIEST, MAX_CELLS, AccessHistogram, levels
from bootpath.serve.live.service import Shape
from bootpath.serve.monitor.status import FRESH_SECONDS, StatusSource, as_json, observe
from tests.support.status import MIB, SIZE, Clock, disk, make_server, make_service
from tests.support.tree import schema

SCHEMA = schema("status")


class Described(MemoryDevice):
    """A device that says what it is told to about its extents, and counts the questions."""

    def __init__(self, size_bytes: int, segments: list[tuple[int, int, str, bool]]) -> None:
        super().__init__(b"")
        self.size_bytes = size_bytes
        self.segments = segments
        self.asked: list[tuple[int, int]] = []

    def extents(self, offset: int, length: int) -> Iterator[Segment]:
        self.asked.append((offset, length))
        end = offset + length
        for start, size, source, zero in self.segments:
            first, last = max(start, offset), min(start + size, end)
            if first < last:
                yield Segment(first, last - first, source, zero=zero)


def survey(device: MemoryDevice, wanted: tuple[Extent, ...] = ()) -> Surveyor:
    surveyor = Surveyor(device, wanted)
    surveyor.step()
    return surveyor


def test_cells_say_where_bytes_come_from() -> None:
    service = make_service(steps=2)
    assert service.overlay is not None
    service.overlay.write(6 * MIB, b"x" * 8192)
    service.overlay.discard(7 * MIB, MIB)
    cells = observe(make_server(service), service).map
    assert cells.complete
    assert cells.cell_bytes * len(cells.states) == SIZE
    assert len(cells.states) <= MAX_CELLS

    def at(offset: int) -> CellState:
        return cells.states[offset // cells.cell_bytes]

    assert at(0) is CellState.DISK
    assert at(MIB) is CellState.PRELOAD
    assert at(5 * MIB) is CellState.HYDRATING
    assert at(6 * MIB) is CellState.OVERLAY
    assert at(7 * MIB) is CellState.ZERO
    assert cells.bytes == {
        CellState.DISK: 4 * MIB - 8192,
        CellState.HYDRATING: MIB,
        CellState.PRELOAD: 2 * MIB,
        CellState.OVERLAY: 8192,
        CellState.ZERO: MIB,
    }


def test_a_cell_shows_the_rarest_and_its_ground() -> None:
    cell = 4 * MIB
    device = Described(cell * MAX_CELLS, [(0, 4096, "overlay", False), (4096, cell * MAX_CELLS, "preload", False)])
    cells = survey(device).map()
    assert cells.cell_bytes == cell
    assert (cells.states[0], cells.percents[0], cells.grounds[0]) == (CellState.OVERLAY, 1, CellState.PRELOAD)
    assert (cells.states[1], cells.percents[1], cells.grounds[1]) == (CellState.PRELOAD, 100, CellState.PRELOAD)


@pytest.mark.parametrize(("zeros", "state"), [(4096, CellState.DISK), (12288, CellState.ZERO)])
def test_plain_cells_show_what_most_of_them_is(zeros: int, state: CellState) -> None:
    size = MAX_CELLS * 16384
    cells = survey(Described(size, [(0, zeros, "disk", True), (zeros, size, "disk", False)])).map()
    assert cells.states[0] is state
    assert cells.percents[0] == 75


def test_the_last_cell_may_be_short() -> None:
    size = 5 * MIB + 512
    cells = survey(Described(size, [(0, size, "preload", False)])).map()
    assert sum(cells.bytes.values()) == size
    assert len(cells.states) <= MAX_CELLS
    assert set(cells.percents) == {100}


@pytest.mark.parametrize("size", [0, 512, 4096, 4608])
def test_tiny_disks_have_maps(size: int) -> None:
    cells = survey(Described(size, [(0, size, "disk", False)])).map()
    assert len(cells.states) == -(-size // 4096)
    assert sum(cells.bytes.values()) == size


def test_a_large_disk_is_looked_at_in_steps() -> None:
    size = 3 * LOOK_BYTES
    device = Described(size, [(0, size, "preload", False)])
    surveyor = survey(device)
    assert sum(length for _, length in device.asked) == LOOK_BYTES
    assert not surveyor.map().complete
    assert surveyor.map().bytes[CellState.PRELOAD] == LOOK_BYTES // surveyor.cell_bytes * surveyor.cell_bytes
    surveyor.step()
    surveyor.step()
    assert surveyor.map().complete
    assert surveyor.map().bytes[CellState.PRELOAD] == size


def test_a_fragmented_disk_is_looked_at_in_steps() -> None:
    blocks = 3 * SEGMENTS
    device = Described(
        blocks * 4096, [(index * 4096, 4096, "overlay" if index % 2 else "disk", False) for index in range(blocks)]
    )
    surveyor = Surveyor(device)
    steps = 0
    while not surveyor.map().complete:
        surveyor.step()
        steps += 1
    assert steps == 3
    assert surveyor.map().bytes[CellState.OVERLAY] == blocks * 4096 // 2
    assert set(surveyor.map().states) == {CellState.OVERLAY}


def test_a_step_ends_in_the_middle_of_a_block_of_a_checked_device() -> None:
    service = make_service(steps=1)
    surveyor = Surveyor(checked(service.base), [Extent(3, 70_001)])
    surveyor.step()
    assert surveyor.map().bytes[CellState.HYDRATING] == 70_001


def test_others_may_run_while_a_disk_is_looked_at() -> None:
    rests: list[None] = []
    device = Described(LOOK_BYTES, [(0, LOOK_BYTES, "disk", False)])
    Surveyor(device).step(lambda: rests.append(None))
    assert len(rests) == len(device.asked) - 1 > 0


def test_a_disk_that_cannot_tell_is_disk() -> None:
    class Failing(Described):
        def extents(self, offset: int, length: int) -> Iterator[Segment]:
            yield Segment(offset, 4096, "preload")
            raise DeviceError("gone")

    cells = survey(Failing(SIZE, [])).map()
    assert cells.bytes[CellState.PRELOAD] == 4096
    assert cells.bytes[CellState.DISK] == SIZE - 4096


def test_a_device_that_says_nothing_ends_the_step() -> None:
    cells = survey(Described(SIZE, [])).map()
    assert not cells.complete


# The disk behind the preload


def status_of(late: LateDisk) -> tuple[DiskState, str | None]:
    service = make_service(late, steps=1)
    disk_status = observe(make_server(service), service).disk
    return disk_status.state, disk_status.reason


def get(late: LateDisk) -> None:
    with pytest.raises(DeviceError):
        late.get()


def refuse(candidate: object) -> None:
    raise DeviceError("another disk")


def test_a_disk_that_is_there() -> None:
    assert status_of(LateDisk.ready(disk())) == (DiskState.PRESENT, None)


def test_a_disk_that_is_waited_for() -> None:
    late = LateDisk(lambda: None, deadline_seconds=0)
    assert status_of(late) == (DiskState.WAITING, None)
    get(late)
    assert status_of(late) == (DiskState.WAITING, None)


def test_a_disk_that_is_refused() -> None:
    late = LateDisk(disk, deadline_seconds=0, accept=refuse)
    get(late)
    assert status_of(late) == (DiskState.REFUSED, "another disk")


def test_a_disk_that_vanished() -> None:
    late = LateDisk(disk, deadline_seconds=0)
    late.vanished(late.get())
    assert status_of(late) == (DiskState.VANISHED, None)
    late.get()
    assert status_of(late) == (DiskState.PRESENT, None)


def test_a_disk_that_never_comes() -> None:
    assert status_of(LateDisk.none("netboot")) == (DiskState.NONE, "netboot")


def test_looking_does_not_look_for_the_disk() -> None:
    opened: list[None] = []

    def opener() -> None:
        opened.append(None)

    status_of(LateDisk(opener, deadline_seconds=60))
    assert not opened


# Snapshots


def test_the_overlay_and_its_absence() -> None:
    service = make_service()
    assert isinstance(service.overlay, Overlay)
    service.overlay.write(0, bytes(4096))
    assert observe(make_server(service), service).overlay_bytes == 4096
    for shape in (Shape(read_only=True), Shape(per_client=True)):
        service = make_service(shape=shape)
        assert observe(make_server(service), service).overlay_bytes is None


def test_throughput_is_since_the_snapshot_before() -> None:
    service = make_service()
    server, clock = make_server(service), Clock()
    monitor = StatusSource(server, service, clock=clock, sleep=lambda seconds: None)
    server._counters.reads += 10
    server._counters.read_bytes += 40960
    server._counters.writes += 2
    server._counters.write_bytes += 1024
    clock.now += 2.0
    throughput = monitor.current().throughput
    assert (throughput.read_bytes, throughput.written_bytes, throughput.requests) == (20480.0, 512.0, 6.0)
    clock.now += 1.0
    assert monitor.current().throughput.read_bytes == 0
    assert monitor.current().up_seconds == 3.0


def test_many_watchers_see_the_same_snapshot() -> None:
    service = make_service(steps=1)
    clock = Clock()
    monitor = StatusSource(make_server(service), service, clock=clock, sleep=lambda seconds: None)
    first = monitor.current()
    assert first.map.complete
    assert monitor.current() is first
    clock.now += FRESH_SECONDS
    assert monitor.current() is not first


def test_a_look_that_hangs_holds_up_no_other() -> None:
    service = make_service()
    looking, go_on = threading.Event(), threading.Event()

    class Hanging(Described):
        def extents(self, offset: int, length: int) -> Iterator[Segment]:
            looking.set()
            go_on.wait()
            return super().extents(offset, length)

    service.overlay = Hanging(SIZE, [(0, SIZE, "preload", False)])
    monitor = StatusSource(make_server(service), service)
    thread = threading.Thread(target=monitor.current)
    thread.start()
    looking.wait()
    assert not monitor.current().map.complete
    go_on.set()
    thread.join()
    assert monitor.current(look=False).map.complete


def test_json_is_as_documented() -> None:
    late = LateDisk(disk, deadline_seconds=0, accept=refuse)
    get(late)
    for service in (make_service(steps=2), make_service(late), make_service(shape=Shape(read_only=True))):
        value = as_json(observe(make_server(service), service, uri="nbd://localhost/"))
        jsonschema.validate(json.loads(json.dumps(value)), SCHEMA)
        cells = value["map"]
        assert len(cells["states"]) == len(cells["percents"]) == len(cells["grounds"])
        assert set(cells["letters"].values()) == {state.value for state in CellState}
        assert len(cells["letters"]) == len(CellState)


def test_a_service_without_hydration() -> None:
    service = make_service()
    service.hydration = None
    value = as_json(observe(make_server(service), service))
    assert value["hydration"] is None
    jsonschema.validate(value, SCHEMA)


def test_accesses_are_counted_by_cells_of_the_whole_disk() -> None:
    histogram = AccessHistogram(8 * MIB)
    whole, inner = histogram.counter(), histogram.counter(base_bytes=4 * MIB)
    whole(0)
    whole(8 * MIB - 1)
    for _ in range(100):
        inner(MIB)
    counts = histogram.counts()
    assert len(counts) <= MAX_CELLS
    assert counts[0] == counts[-1] == 1
    assert counts[5 * MIB // histogram.cell_bytes] == 100
    shown = levels(counts)
    assert shown[5 * MIB // histogram.cell_bytes] == BUSIEST > shown[0] > 0 == shown[1]
    assert set(levels(counts, counts)) == {0}


def test_requests_make_their_cells_hot() -> None:
    service = make_service()
    server = make_server(service)
    before = observe(server, service)
    assert set(before.access_levels) == {0}
    exports = service.exports
    assert not callable(exports)
    count_access = exports[""].count_access
    assert count_access is not None
    count_access(2 * MIB)
    after = observe(server, service, before=before)
    assert after.access_levels[2 * MIB // after.map.cell_bytes] == BUSIEST
    assert as_json(after)["map"]["access"].count("0") == len(after.access_levels) - 1
    assert set(observe(server, service, before=after).access_levels) == {0}
