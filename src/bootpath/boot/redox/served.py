"""What a server of a live disk preloads of it, as extents of the whole disk, and where the file system lies."""

from __future__ import annotations

from dataclasses import dataclass

from bootpath.boot.redox.planning import plan_boot
from bootpath.boot.redox.preload import PreloadChoice, PreloadKind
from bootpath.core.device import Device
from bootpath.core.extents import Extent, ExtentSet
from bootpath.formats.plan import Plan
from bootpath.image.redox.discovery import choose_place, find_redoxfs

_TABLE_BYTES = 64 << 10
"""Whoever reads a disk begins with its partition table: at most so much of what lies before the file system."""


@dataclass(frozen=True, slots=True)
class ServedDisk:
    """Where the one file system of a disk lies, None when there is none or several, and what is preloaded, in order."""

    file_system: Extent | None
    preload: tuple[Extent, ...]


def choose_served_preload(
    disk: Device, wanted: PreloadKind | int, *, plan: Plan | None = None, password: bytes | None = None
) -> ServedDisk:
    """What to preload of `disk`: a prefix of so many bytes, everything, or a plan, which is made here unless given.

    A prefix and everything are those of the disk and need no file system. For a plan, raises as `plan_boot`.
    """
    discovery = find_redoxfs(disk)
    usable = [place for place in discovery.places if place.fault is None]
    file_system = None
    if len(usable) == 1 and usable[0].ring.newest is not None:
        file_system = Extent(usable[0].offset_bytes, usable[0].ring.newest.size_bytes)
    if wanted is PreloadKind.FULL:
        return ServedDisk(file_system, (Extent(0, disk.size_bytes),))
    if isinstance(wanted, int):
        length = min(wanted, disk.size_bytes) // disk.block_bytes * disk.block_bytes
        return ServedDisk(file_system, (Extent(0, length),) if length else ())
    place = choose_place(discovery, where=disk.identity.name)
    newest = place.ring.newest
    assert newest is not None
    chosen = plan or plan_boot(disk, password=password).plan
    inner = PreloadChoice(PreloadKind.PLAN, plan=chosen).extents(newest)
    table = [Extent(0, min(_TABLE_BYTES, place.offset_bytes))] if place.offset_bytes else []
    return ServedDisk(file_system, tuple(ExtentSet([*table, *(extent.shift(place.offset_bytes) for extent in inner)])))
