"""``10_lived``: make the live disk from the environment, before any disk driver runs.

The live disk is an overlay over (the preload over the late physical disk). The physical disk is found again by content
and by place: the RedoxFS uuid, the disk's and the partition's GUID where the loader knew them, and the bytes of the
header ring must all be those of the preload. A disk that differs is refused; two that match are refused as well,
because nothing says which one the loader read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bootpath.block.live.disk import Classic, Live, accept_same_disk
from bootpath.block.live.late import LateDisk
from bootpath.block.overlay.ram import Overlay
from bootpath.block.targets.linear import Linear
from bootpath.boot.redox.drivers import Drivers, PhysicalDisks
from bootpath.boot.redox.memory import Memory
from bootpath.boot.timeline import Clock
from bootpath.core.device import Buffer, Checked, Device, Identity, checked
from bootpath.core.errors import BootError, DeviceError, Error, FormatError
from bootpath.core.extents import Extent, ExtentSet
from bootpath.formats.handoff import Handoff, parse_handoff
from bootpath.fs.redox.values import RING_BYTES
from bootpath.image.redox.discovery import find_redoxfs, place_device

LIVED = "10_lived"
LIVE_NAME = "disk.live"


@dataclass(frozen=True, slots=True)
class LiveDisk:
    """The live disk as the system sees it, and the parts it is made of."""

    device: Checked
    overlay: Overlay
    late: LateDisk
    handoff: Handoff


def read_environment(environment: bytes) -> Handoff:
    """The handoff of a live boot. Raises FormatError (malformed), BootError (not a live boot)."""
    handoff = parse_handoff(environment)
    if not handoff.is_live:
        raise BootError("the environment hands over no preload: this is not a live boot", where=LIVED)
    return handoff


def _preload(handoff: Handoff, memory: Memory) -> memoryview:
    assert handoff.live_addr is not None
    assert handoff.live_size_bytes is not None
    return memory.at(handoff.live_addr, handoff.live_size_bytes, what="DISK_LIVE_ADDR")


def start_classic(environment: bytes, memory: Memory, *, shown_bytes: int) -> Checked:
    """The old daemon: a disk as large as the preload, EINVAL beyond. Raises FormatError, BootError.

    See `Classic` for `shown_bytes`, which is the file system's size.
    """
    handoff = read_environment(environment)
    return checked(Classic(_preload(handoff, memory), shown_bytes=shown_bytes, identity=Identity(LIVE_NAME)))


def start_lived(
    environment: bytes,
    memory: Memory,
    drivers: Drivers,
    *,
    deadline_seconds: float,
    clock: Clock,
    block_bytes: int = 4096,
    overlay_bytes: int | None = None,
) -> LiveDisk:
    """The live disk at its full size. Raises FormatError and BootError when the environment does not describe one.

    A read that no RAM holds waits for the physical disk up to `deadline_seconds`, then fails with EIO.
    """
    handoff = read_environment(environment)
    preload = _preload(handoff, memory)
    late = no_disk()
    if drivers.disks:
        finder = Finder(handoff, preload, drivers)
        late = LateDisk(
            finder.find, accept=finder.judge, deadline_seconds=deadline_seconds, clock=clock, name=LIVE_NAME
        )
    live = live_base(handoff, preload, late, block_bytes=block_bytes)
    overlay = Overlay(live, max_bytes=overlay_bytes)
    return LiveDisk(checked(overlay), overlay, late, handoff)


def no_disk() -> LateDisk:
    """What stands for the physical disk when none will come."""
    return LateDisk.none("no physical disk will come, and this is not preloaded: preload more, or all of it")


def live_base(handoff: Handoff, preload: Buffer, late: LateDisk, *, block_bytes: int = 4096) -> Live:
    """The preload over the late disk: what the live disk's overlay lies on.

    Raises BootError when the loader did not say how large the file system is.
    """
    if handoff.full_size_bytes is None:
        raise BootError(
            "the loader did not pass the size of the file system",
            where=LIVED,
            expected="REDOXFS_FULL_SIZE in the environment",
            hint="boot it with --classic, or with a loader that hands it over",
        )
    return Live(
        preload,
        handoff.preload_extents,
        handoff.full_size_bytes,
        late,
        block_bytes=block_bytes,
        identity=_identity(handoff),
    )


def same_disk(handoff: Handoff, preload: Buffer) -> Callable[[Device], None]:
    """The judgement of a physical disk: who it is, how large, and the preloaded part of its header ring."""
    extents = handoff.preload_extents
    return accept_same_disk(
        preload,
        extents,
        handoff.full_size_bytes or 0,
        identity=_identity(handoff),
        probes=ExtentSet(extents).intersect(Extent(0, RING_BYTES)),
    )


def _identity(handoff: Handoff) -> Identity:
    return Identity(LIVE_NAME, handoff.redoxfs_uuid, handoff.disk_guid, handoff.partition_guid)


class Finder:
    """Looks through the disks that have appeared for the one that the loader read."""

    def __init__(self, handoff: Handoff, preload: memoryview, disks: PhysicalDisks) -> None:
        self._handoff = handoff
        self._disks = disks
        self._accept = same_disk(handoff, preload)

    def _sort(self) -> tuple[list[Linear], list[tuple[Linear, Error]]]:
        """Candidates that are the disk, and those that are not, with the reason."""
        matches: list[Linear] = []
        refused: list[tuple[Linear, Error]] = []
        for disk in self._disks.present():
            candidate = Linear(disk, 0, disk.size_bytes)
            try:
                candidate = locate(disk, self._handoff)
                self._accept(candidate)
            except (FormatError, DeviceError) as fault:
                refused.append((candidate, fault))
            else:
                matches.append(candidate)
        return matches, refused

    def find(self) -> Device | None:
        """The best candidate among the disks that are there; None while there is no disk at all."""
        matches, refused = self._sort()
        return next(iter((*matches, *(candidate for candidate, _ in refused))), None)

    def judge(self, candidate: Device) -> None:
        """Refuse a candidate that is not the disk, and one that is not the only one. Raises Error."""
        matches, refused = self._sort()
        if len(matches) > 1:
            raise DeviceError(
                "more than one disk holds this file system, and nothing says which one was booted",
                found=" and ".join(match.identity.name for match in matches),
                hint="detach the copy",
            )
        if not matches:
            gone = DeviceError("the disk went away while it was examined", where=candidate.identity.name)
            raise next((fault for other, fault in refused if other.identity == candidate.identity), gone)


def locate(disk: Device, handoff: Handoff, *, owns: bool = False) -> Linear:
    """The file system on a disk that appeared: where the loader found it, by partition GUID or by offset.

    What is returned closes the disk when it `owns` it. Raises FormatError when there is nothing like it.
    """
    discovery = find_redoxfs(disk)
    offset = handoff.phys_offset_bytes
    for place in discovery.places:
        same_partition = place.partition is not None and place.partition.guid == handoff.partition_guid
        if place.ring.newest is not None and (same_partition or place.offset_bytes == offset):
            return place_device(disk, discovery, place, owns=owns)
    raise FormatError(
        "the disk holds no RedoxFS where the loader found one",
        where=disk.identity.name,
        expected=f"uuid {handoff.redoxfs_uuid} at byte {offset}",
        found=", ".join(place.found_by for place in discovery.places) or "no RedoxFS",
    )
