"""The whole boot path without a machine: loader, ``10_lived``, ``40_drivers``, ``50_rootfs``, and the boot's reads.

Everything that can differ on a machine is here as on a machine: the environment block is packed and parsed, the preload
lies in memory at an address, lived starts before the disk's driver, the root is opened with cleanup by the upstream
code. The image is never written to: writes go to an overlay in RAM.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from bootpath.block.overlay.ram import Overlay
from bootpath.block.targets.log import Log
from bootpath.boot.redox.drivers import DRIVERS, Drivers
from bootpath.boot.redox.lived import LIVE_NAME, LIVED, LiveDisk, start_classic, start_lived
from bootpath.boot.redox.loader import Handover, load
from bootpath.boot.redox.preload import PreloadChoice
from bootpath.boot.redox.rootfs import ROOTFS, boot_reads, look_at_root, touch
from bootpath.boot.timeline import Clock, Step, Timeline
from bootpath.core.device import Checked, Device, checked
from bootpath.core.errors import BootError, DeviceError, Error
from bootpath.core.iolog import Mark, Read, Record, Write
from bootpath.formats.handoff import Handoff, parse_handoff
from bootpath.formats.trace import Trace
from bootpath.fs.redox.redoxfs import RedoxFS
from bootpath.image.redox.discovery import choose_place, find_redoxfs, place_device

BOOT = "boot"


class SimulationMode(Enum):
    """Which disk the root is mounted from."""

    LIVE = "live"
    CLASSIC = "classic"
    FROM_DISK = "from-disk"


@dataclass(frozen=True, slots=True)
class SimulationSetup:
    """What to simulate. `disks` are what the driver finds later (empty: nothing); `preload` None goes with
    FROM_DISK."""

    preload: PreloadChoice | None
    disks: Sequence[Device]
    mode: SimulationMode = SimulationMode.LIVE
    disk_delay_seconds: float = 0.0
    deadline_seconds: float = 30.0
    password: bytes | None = None
    touches: tuple[str, ...] = ()
    block_bytes: int = 4096
    overlay_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class FailedAccess:
    """The first access to the root's disk that failed. Bytes relative to the file system."""

    operation: str
    offset: int
    length: int
    step: str
    error: str


@dataclass(slots=True)
class SourceCount:
    """Reads that one source answered."""

    reads: int = 0
    bytes: int = 0


@dataclass(slots=True)
class _Recorder:
    """The sink above the root's disk: counts, the trace, and the first failure."""

    step: str = ROOTFS
    records: list[Record] = field(default_factory=list)
    counts: dict[str, SourceCount] = field(default_factory=dict)
    first_failure: FailedAccess | None = None

    def __call__(self, record: Record) -> None:
        self.records.append(record)
        if not isinstance(record, Read | Write):
            return
        if record.errno:
            if self.first_failure is None:
                operation = "read" if isinstance(record, Read) else "write"
                code = errno.errorcode.get(record.errno, str(record.errno))
                self.first_failure = FailedAccess(operation, record.offset, record.length, self.step, code)
        elif isinstance(record, Read):
            count = self.counts.setdefault(_source(record.source), SourceCount())
            count.reads += 1
            count.bytes += record.length

    def begin(self, step: str) -> None:
        self.step = step
        self.records.append(Mark(step))


def _source(source: str) -> str:
    """Who answered a read, when several did: the slowest of them."""
    sources = source.split("+")
    for name in ("disk", "file"):
        if name in sources:
            return "disk"
    return sources[0]


@dataclass(slots=True)
class Simulation:
    """What a simulation found out. `failure` is None when everything a boot reads was read."""

    handover: Handover | None = None
    handoff: Handoff | None = None
    seconds_to_root: float | None = None
    steps: list[Step] = field(default_factory=list)
    reads: dict[str, SourceCount] = field(default_factory=dict)
    overlay_bytes: int = 0
    failure: Error | None = None
    failed_access: FailedAccess | None = None
    trace: Trace | None = None
    root_device: Checked | None = None

    @property
    def mounted(self) -> bool:
        """True when the root was opened."""
        return self.seconds_to_root is not None


@dataclass(frozen=True, slots=True)
class Root:
    """The disk the root is on; `written_bytes` tells what an overlay keeps of what was written to it."""

    device: Checked
    name: str
    written_bytes: Callable[[], int] = int


class StartLive(Protocol):
    """Makes the live disk of a simulation some other way than in this process."""

    def __call__(self, setup: SimulationSetup, handover: Handover, timeline: Timeline) -> Root:
        """Start `lived` and then the driver, which finds the disks later. Raises Error."""
        ...


def _live_root(setup: SimulationSetup, handover: Handover, drivers: Drivers, timeline: Timeline, clock: Clock) -> Root:
    with timeline.step(LIVED, "start") as step:
        if setup.mode is SimulationMode.CLASSIC:
            shown_bytes = handover.header.size_bytes
            device = start_classic(handover.environment, handover.memory, shown_bytes=shown_bytes)
            step.detail = f"{LIVE_NAME} is as large as the preload: {handover.preload_bytes} bytes"
            return Root(device, LIVE_NAME)
        live: LiveDisk = start_lived(
            handover.environment,
            handover.memory,
            drivers,
            deadline_seconds=setup.deadline_seconds,
            clock=clock,
            block_bytes=setup.block_bytes,
            overlay_bytes=setup.overlay_bytes,
        )
        step.detail = f"{LIVE_NAME} has its full size: {live.device.size_bytes} bytes"
        return Root(live.device, LIVE_NAME, lambda: live.overlay.dirty_bytes)


def _physical_root(
    setup: SimulationSetup, handoff: Handoff, drivers: Drivers, timeline: Timeline, pause: Callable[[float], None]
) -> Root:
    """Wait for the driver, then take the physical partition with the right uuid; writes still go to an overlay."""
    with timeline.step(ROOTFS, "wait for the physical disk"):
        if not drivers.disks or setup.disk_delay_seconds > setup.deadline_seconds:
            raise BootError("no physical disk appears in time", where=ROOTFS, hint="drop --from-disk for a live boot")
        while not drivers.ready:
            pause(0.001)
    for disk in drivers.present():
        discovery = find_redoxfs(disk)
        place = choose_place(discovery, where=disk.identity.name, file_system_uuid=handoff.redoxfs_uuid)
        return _overlaid(place_device(disk, discovery, place), place.found_by)
    raise BootError(
        "no disk has the file system that the loader read", where=ROOTFS, expected=f"uuid {handoff.redoxfs_uuid}"
    )


def _overlaid(device: Device, name: str) -> Root:
    overlay = Overlay(device)
    return Root(checked(overlay), name, lambda: overlay.dirty_bytes)


def _scan(drivers: Drivers, handoff: Handoff, root: Root, timeline: Timeline) -> None:
    """What a scan for the uuid finds: the live disk, and not the physical partition that lived holds.

    A physical disk that cannot be read does not hinder a live boot.
    """
    skipped = []
    unreadable = []
    for disk in drivers.present():
        try:
            places = find_redoxfs(disk).places
        except DeviceError as fault:
            unreadable.append(str(fault))
            continue
        for place in places:
            if place.ring.newest is not None and place.ring.newest.uuid == handoff.redoxfs_uuid:
                skipped.append(f"{disk.identity.name}, {place.found_by}")
    detail = f"found on {root.name}"
    if skipped:
        detail += f"; the same uuid on {' and '.join(skipped)} belongs to lived, skipped"
    timeline.note(ROOTFS, "scan the disks for the uuid", "; ".join((detail, *unreadable)))


def _mount(root: Root, handoff: Handoff, password: bytes | None, recorder: _Recorder) -> RedoxFS:
    log = checked(Log(root.device, recorder, sources=True))
    fs = RedoxFS.open(log, password=password, cleanup=True)
    if fs.header.uuid != handoff.redoxfs_uuid:
        fs.close()
        raise BootError(
            "the root is another file system than the one the loader read",
            where=root.name,
            expected=handoff.redoxfs_uuid,
            found=fs.header.uuid,
        )
    return fs


def _read_boot_files(fs: RedoxFS, setup: SimulationSetup, recorder: _Recorder, timeline: Timeline) -> None:
    for path in (*boot_reads(fs), *setup.touches):
        before = sum(count.bytes for count in recorder.counts.values())
        recorder.begin(f"read {path}")
        with timeline.step(BOOT, f"read {path}") as step:
            for _ in touch(fs, path):
                pass
            step.bytes = sum(count.bytes for count in recorder.counts.values()) - before


def simulate(
    disk: Device,
    setup: SimulationSetup,
    *,
    clock: Clock,
    pause: Callable[[float], None],
    start_live: StartLive | None = None,
) -> Simulation:
    """Boot `disk` as `setup` says. A boot that fails is a result; a password that is wrong, a plan of another image, or
    an environment nobody can read is one as well. `root_device` keeps working while the disks stay open.

    `start_live` makes the live disk and what is behind it, for SimulationMode.LIVE (see `boot.redox.processes`); the
    disks of the setup are then not looked at.
    """
    timeline = Timeline(clock)
    result = Simulation()
    recorder = _Recorder()
    try:
        _run(disk, setup, timeline, recorder, result, clock=clock, pause=pause, start_live=start_live)
    except Error as fault:
        result.failure = _explain(fault, recorder)
    result.steps = timeline.steps
    result.reads = recorder.counts
    result.failed_access = recorder.first_failure
    if result.handover is not None:
        header = result.handover.header
        result.trace = Trace(header.uuid, header.generation, header.size_bytes, tuple(recorder.records))
    return result


def _run(
    disk: Device,
    setup: SimulationSetup,
    timeline: Timeline,
    recorder: _Recorder,
    result: Simulation,
    *,
    clock: Clock,
    pause: Callable[[float], None],
    start_live: StartLive | None,
) -> None:
    handover = load(
        disk, setup.preload, timeline, password=setup.password, classic=setup.mode is SimulationMode.CLASSIC
    )
    result.handover = handover
    result.handoff = handoff = parse_handoff(handover.environment)
    drivers = Drivers(setup.disks, setup.disk_delay_seconds, clock)
    if setup.mode is SimulationMode.FROM_DISK:
        drivers.start()
        root = _physical_root(setup, handoff, drivers, timeline, pause)
    elif setup.mode is SimulationMode.LIVE and start_live is not None:
        root = start_live(setup, handover, timeline)
    else:
        root = _live_root(setup, handover, drivers, timeline, clock)
        drivers.start()
        arrival = f"appears after {setup.disk_delay_seconds:g} s" if setup.disks else "finds no disk"
        timeline.note(DRIVERS, "start", f"the physical disk's driver {arrival}")
        if setup.mode is SimulationMode.LIVE:
            _scan(drivers, handoff, root, timeline)
    password = None
    if handoff.password_addr is not None and handoff.password_size_bytes is not None:
        password = bytes(
            handover.memory.at(handoff.password_addr, handoff.password_size_bytes, what="REDOXFS_PASSWORD")
        )
    try:
        recorder.begin(ROOTFS)
        with timeline.step(ROOTFS, "open the root with cleanup"):
            fs = _mount(root, handoff, password, recorder)
        with fs:
            with timeline.step(ROOTFS, "read the root directory"):
                look_at_root(fs)
            result.seconds_to_root = timeline.elapsed()
            result.root_device = root.device
            _read_boot_files(fs, setup, recorder, timeline)
    finally:
        result.overlay_bytes = root.written_bytes()


def _explain(fault: Error, recorder: _Recorder) -> Error:
    """A device error in the middle of a boot is a verdict about the boot: say which access it was."""
    failed = recorder.first_failure
    if failed is None or not isinstance(fault, DeviceError):
        return fault
    return BootError(
        f"{failed.operation} of {failed.length} bytes at offset {failed.offset} failed with {failed.error}",
        where=failed.step,
        hint=str(fault),
    )
