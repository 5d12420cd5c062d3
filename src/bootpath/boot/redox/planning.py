"""Which bytes of a file system a boot needs: found by doing it, on a traced device, with the upstream code.

Three runs over the same image, all read-only for it:

1. the loader: open without cleanup, load kernel and initfs;
2. ``50_rootfs``: open with cleanup, over an overlay, because that open always writes;
3. the boot's reads: what `boot_reads` finds, what the caller names, and what a recorded boot touched.

A trace below the overlay gives the extents (only what came from the image counts); a trace above it gives everything
the system asks of the live disk, reads and writes, which is what the classic daemon must be able to answer. Every
extent is named after what the file system keeps there: ring, allocator log, release list, or the thing that was being
read.
"""

from __future__ import annotations

import errno
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from bootpath.block.overlay.ram import Overlay
from bootpath.block.targets.linear import Linear
from bootpath.block.targets.log import Log
from bootpath.boot.redox.loader import load_boot_file
from bootpath.boot.redox.preload import CLASSIC_BYTES, PreloadChoice, PreloadKind, check_belongs
from bootpath.boot.redox.rootfs import ROOTFS, boot_reads, look_at_root, touch
from bootpath.boot.timeline import LOADER
from bootpath.core.device import Device, checked
from bootpath.core.errors import BootError, FormatError
from bootpath.core.extents import Extent, ExtentSet
from bootpath.core.iolog import Read, Record, Write
from bootpath.formats.plan import Plan, PlanExtent
from bootpath.formats.trace import Trace
from bootpath.fs.redox.redoxfs import RedoxFS
from bootpath.image.redox.bootfiles import find_boot_files
from bootpath.image.redox.describe import FileSystemInfo, describe_file_system
from bootpath.image.redox.discovery import FoundRedoxFS, choose_place, find_redoxfs, place_device

RECORDED = "recorded"


@dataclass(frozen=True, slots=True)
class Access:
    """One thing the running system asks of the live disk: file-system-relative, in order."""

    operation: str
    offset: int
    length: int
    step: str

    @property
    def end(self) -> int:
        """First byte after it."""
        return self.offset + self.length


@dataclass(frozen=True, slots=True)
class Miss:
    """The first access a daemon cannot answer, and what it answers instead."""

    operation: str
    offset: int
    length: int
    step: str
    error: str


@dataclass(frozen=True, slots=True)
class BootPlan:
    """The plan of a boot, and what it was made from."""

    plan: Plan
    place: FoundRedoxFS
    file_system: FileSystemInfo
    accesses: tuple[Access, ...]
    has_boot_files: bool

    @property
    def prefix_bytes(self) -> int:
        """The smallest prefix preload with which the classic daemon answers everything."""
        return max((access.end for access in self.accesses), default=0)

    @property
    def system_bytes(self) -> int:
        """What of the plan the running system needs, and so must be preloaded: without what only the loader reads."""
        return sum(part.length for part in self.plan.extents if part.step != LOADER)

    def classic_miss(self, preload_bytes: int) -> Miss | None:
        """The first access beyond a prefix preload of `preload_bytes`, which the classic daemon answers with EINVAL."""
        limit = min(preload_bytes, self.plan.size_bytes)
        for access in self.accesses:
            if access.end > limit:
                return Miss(access.operation, access.offset, access.length, access.step, errno.errorcode[errno.EINVAL])
        return None


@dataclass(slots=True)
class _Tracer:
    """Two sinks that know what is going on: below the overlay for the plan, above it for the classic daemon."""

    step: str = LOADER
    why: str = ""
    touched: list[tuple[Extent, str, str]] = field(default_factory=list)
    accesses: list[Access] = field(default_factory=list)

    def below(self, record: Record) -> None:
        if isinstance(record, Read) and record.errno == 0:
            self.touched.append((record.extent, self.why, self.step))

    def above(self, record: Record) -> None:
        if isinstance(record, Read | Write):
            operation = "read" if isinstance(record, Read) else "write"
            self.accesses.append(Access(operation, record.offset, record.length, self.step))


def _first_touches(
    touched: Sequence[tuple[Extent, str, str]], structures: Sequence[tuple[Extent, str]]
) -> Iterable[PlanExtent]:
    """Disjoint extents in the order of their first touch.

    What the system needs is attributed to the system even when the loader came first: the loader's own reads are those
    that nobody makes after it.
    """
    system = ExtentSet()
    system_steps: list[tuple[int, str]] = []
    for extent, _, step in touched:
        if step != LOADER:
            system_steps += [(fresh.offset, step) for fresh in system.gaps(extent)]
            system.add(extent)
    system_steps.sort()
    seen = ExtentSet()
    for extent, why, step in touched:
        for fresh in seen.gaps(extent):
            for piece, name in _split(fresh, structures, why):
                for part in system.intersect(piece):
                    first = bisect_right(system_steps, part.offset, key=itemgetter(0)) - 1
                    yield PlanExtent(part.offset, part.length, name, system_steps[first][1])
                for part in system.gaps(piece):
                    yield PlanExtent(part.offset, part.length, name, step)
        seen.add(extent)


def _split(extent: Extent, structures: Sequence[tuple[Extent, str]], default: str) -> Iterable[tuple[Extent, str]]:
    """Cut `extent` along the structures it overlaps; each piece with its name."""
    position = extent.offset
    for structure, name in structures:
        if structure.overlaps(extent):
            start, end = max(structure.offset, position), min(structure.end, extent.end)
            if start > position:
                yield Extent(position, start - position), default
            if end > start:
                yield Extent(start, end - start), name
                position = end
    if position < extent.end:
        yield Extent(position, extent.end - position), default


def _merge(parts: Iterable[PlanExtent]) -> tuple[PlanExtent, ...]:
    """Join neighbours that follow each other and have the same reason and step."""
    merged: list[PlanExtent] = []
    for part in parts:
        last = merged[-1] if merged else None
        if (
            last is not None
            and last.offset + last.length == part.offset
            and (last.why, last.step) == (part.why, part.step)
        ):
            merged[-1] = PlanExtent(last.offset, last.length + part.length, part.why, part.step)
        else:
            merged.append(part)
    return tuple(merged)


def _load(fs: RedoxFS, tracer: _Tracer) -> bool:
    """The loader's file reads; False when it would stop because one is missing or wrong."""
    sound = True
    tracer.why = "directory"
    for file in find_boot_files(fs):
        tracer.why = "directory"
        if not fs.exists(file.path):
            sound = False
            continue
        fs.lookup(file.path)
        tracer.why = file.what
        try:
            load_boot_file(fs, file)
        except BootError:
            sound = False
    return sound


def _run(
    device: Linear, tracer: _Tracer, *, password: bytes | None, touches: Sequence[str]
) -> tuple[FileSystemInfo, bool]:
    tracer.why = "open"
    with RedoxFS.open(checked(Log(device, tracer.below)), password=password) as fs:
        sound = _load(fs, tracer)
    with RedoxFS.open(checked(device), password=password) as fs:
        info = describe_file_system(fs)
    tracer.step, tracer.why = ROOTFS, "open"
    # The overlay may not compare what is written with the image: that would be a read which no boot makes.
    overlay = Overlay(Log(device, tracer.below), drop_matching=False)
    live = checked(Log(overlay, tracer.above))
    with RedoxFS.open(live, password=password, cleanup=True) as fs:
        tracer.why = "directory"
        look_at_root(fs)
        for path in (*boot_reads(fs), *touches):
            tracer.step = f"read {path}"
            for what in touch(fs, path):
                tracer.why = what
    return info, sound


def plan_boot(
    disk: Device, *, password: bytes | None = None, touches: Sequence[str] = (), recorded: Trace | None = None
) -> BootPlan:
    """Find out what a boot of `disk` needs. The image is not written to.

    `touches` are paths the boot also reads (a directory: its files); `recorded` is the trace of a boot that really ran.
    Raises FormatError, FileSystemError (password, a path that is not there), DeviceError, BootError (foreign trace).
    """
    discovery = find_redoxfs(disk)
    place = choose_place(discovery, where=disk.identity.name)
    device = place_device(disk, discovery, place)
    tracer = _Tracer()
    info, sound = _run(device, tracer, password=password, touches=touches)
    header = info.header
    if recorded is not None:
        check_belongs(recorded, header, hint="record it again with bootpath simulate --record")
        for record in recorded.records:
            if isinstance(record, Read) and record.errno == 0:
                if record.offset + record.length > header.size_bytes:
                    raise FormatError("a read lies past the end of the file system", where="trace", found=record.offset)
                tracer.touched.append((record.extent, "recorded boot", RECORDED))
                tracer.accesses.append(Access("read", record.offset, record.length, RECORDED))
    structures = sorted(((piece.extent, piece.what) for piece in info.metadata), key=lambda named: named[0].offset)
    plan = Plan(
        uuid=header.uuid,
        generation=header.generation,
        size_bytes=header.size_bytes,
        offset_bytes=place.offset_bytes,
        extents=_merge(_first_touches(tracer.touched, structures)),
    )
    return BootPlan(plan, place, info, tuple(tracer.accesses), has_boot_files=sound)


def choose_preload(
    disk: Device,
    wanted: PreloadKind | int | None = None,
    *,
    plan: Plan | None = None,
    classic: bool = False,
    password: bytes | None = None,
) -> PreloadChoice:
    """What to preload of `disk`: a prefix of so many bytes, everything, or a plan, which is made here unless given.

    Without a wish it is a plan, or for the classic daemon, which knows only prefixes, 1 GiB. Raises as `plan_boot`.
    """
    if wanted is None and plan is None and classic:
        wanted = CLASSIC_BYTES
    if isinstance(wanted, int):
        return PreloadChoice(PreloadKind.PREFIX, prefix_bytes=wanted)
    if wanted is PreloadKind.FULL:
        return PreloadChoice(PreloadKind.FULL)
    return PreloadChoice(PreloadKind.PLAN, plan=plan or plan_boot(disk, password=password).plan)
