"""Where a RedoxFS lies on a disk: by its partition table, and at the offsets Redox's loaders know by heart.

What is found is a candidate, with the header ring that was read there; nothing is chosen silently. `find_redoxfs`
returns all of them in the order a loader would try them: GPT partitions in table order, then 2 MiB of a whole disk
(BIOS loader), then 0 (a bare file system, or a logical partition handed over by UEFI firmware).
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from bootpath.block.targets.linear import Linear
from bootpath.core.device import Device, Identity
from bootpath.core.errors import FormatError
from bootpath.formats.partitions.gpt import Gpt, probe_gpt, read_gpt
from bootpath.formats.partitions.gptheader import Partition
from bootpath.fs.redox.redoxfs import RedoxFS
from bootpath.fs.redox.ring import Ring, scan_ring
from bootpath.fs.redox.values import RING_BYTES
from bootpath.image.redox.layout import BARE_FIXED_OFFSET, BIOS_FIXED_OFFSET, MIB, REDOX_NAME

FIXED_OFFSETS = (BIOS_FIXED_OFFSET, BARE_FIXED_OFFSET)


@dataclass(frozen=True, slots=True)
class FoundRedoxFS:
    """A RedoxFS at ``offset_bytes`` of a disk, with room for ``size_bytes``, and the ring that was read there."""

    offset_bytes: int
    size_bytes: int
    partition: Partition | None
    ring: Ring

    @property
    def found_by(self) -> str:
        """How a loader finds it, in words."""
        if self.partition is not None:
            return f"partition {self.partition.number} ({self.partition.name or 'no name'})"
        return f"fixed offset {self.offset_bytes // MIB} MiB" if self.offset_bytes else "start of the image"

    @property
    def fault(self) -> FormatError | None:
        """Why the crate's open would refuse it before it reads any further, or None."""
        newest = self.ring.newest
        if newest is None:
            return FormatError(
                "the ring has no valid RedoxFS header",
                where=self.found_by,
                found=f"{self.ring.invalid_slots} damaged and {self.ring.zero_slots} empty slots",
                hint="the image is damaged or was never formatted",
            )
        if self.ring.first is None:
            return FormatError(
                "ring slot 0 has no valid header, and a boot loader starts there",
                where=self.found_by,
                found=f"valid headers in {len(self.ring.valid)} other slots, newest generation {newest.generation}",
                hint="repair it by mounting and unmounting the file system, which rewrites the ring",
            )
        if newest.uuid != self.ring.first.uuid:
            return FormatError(
                "a stale header of an earlier file system outranks this one",
                where=self.found_by,
                expected=f"uuid {self.ring.first.uuid} as in slot 0",
                found=f"uuid {newest.uuid}, generation {newest.generation} in slot {newest.slot}",
                hint="zero the 1 MiB ring before mkfs",
            )
        if newest.size_bytes > self.size_bytes:
            return FormatError(
                "the file system is larger than the device",
                where=self.found_by,
                found=f"{newest.size_bytes} bytes by its header",
                expected=f"at most {self.size_bytes} bytes",
                hint="is the image truncated?",
            )
        return None


@dataclass(frozen=True, slots=True)
class Discovery:
    """Everything found on one disk. `gpt` is None when there is no table; `gpt_fault` when there is an unusable one."""

    gpt: Gpt | None
    gpt_fault: FormatError | None
    places: tuple[FoundRedoxFS, ...]

    @property
    def usable(self) -> tuple[FoundRedoxFS, ...]:
        """Those without a fault."""
        return tuple(place for place in self.places if place.fault is None)


def _place(disk: Device, offset_bytes: int, size_bytes: int, partition: Partition | None) -> FoundRedoxFS | None:
    """A find if there is any RedoxFS header in the ring at `offset_bytes`, or a partition that claims to be one."""
    size_bytes = min(size_bytes, disk.size_bytes - offset_bytes)
    if size_bytes < RING_BYTES:
        return None
    ring = scan_ring(disk, offset_bytes)
    claims = partition is not None and partition.name == REDOX_NAME
    return FoundRedoxFS(offset_bytes, size_bytes, partition, ring) if ring.valid or claims else None


def find_redoxfs(disk: Device) -> Discovery:
    """Read the partition table and everywhere a RedoxFS may start. Raises DeviceError only."""
    gpt: Gpt | None = None
    gpt_fault: FormatError | None = None
    if probe_gpt(disk):
        try:
            gpt = read_gpt(disk)
        except FormatError as fault:
            gpt_fault = fault.as_value()
    return Discovery(gpt, gpt_fault, search_redoxfs(disk, gpt))


def search_redoxfs(disk: Device, gpt: Gpt | None) -> tuple[FoundRedoxFS, ...]:
    """Every RedoxFS in a partition of this table, or at a fixed offset. Raises DeviceError only."""
    places: list[FoundRedoxFS] = []
    for partition in gpt.partitions if gpt is not None else ():
        place = _place(disk, partition.offset_bytes, partition.size_bytes, partition)
        if place is not None:
            places.append(place)
    taken = {place.offset_bytes for place in places}
    for offset_bytes in FIXED_OFFSETS:
        if offset_bytes not in taken:
            place = _place(disk, offset_bytes, disk.size_bytes - offset_bytes, None)
            if place is not None:
                places.append(place)
    return tuple(places)


def choose_place(discovery: Discovery, *, where: str, file_system_uuid: UUID | None = None) -> FoundRedoxFS:
    """The one place that would boot.

    Raises FormatError when there is none, when the first one is unusable (with its fault), or when two usable ones with
    different uuids compete and `file_system_uuid` does not decide: an ambiguity is reported, never resolved silently.
    """
    places = [
        place
        for place in discovery.places
        if file_system_uuid is None or (place.ring.newest is not None and place.ring.newest.uuid == file_system_uuid)
    ]
    if not places:
        if discovery.gpt_fault is not None:
            raise discovery.gpt_fault.at(where)
        searched = "in its partitions, nor " if discovery.gpt is not None else ""
        raise FormatError(
            f"the disk has no RedoxFS: there is none {searched}at 2 MiB or 0",
            where=where,
            hint="is this a disk image that bootpath build live or Redox's installer made?",
        )
    usable = [place for place in places if place.fault is None]
    if not usable:
        fault = places[0].fault
        assert fault is not None
        raise fault.at(where)
    if len(usable) > 1:
        names = ", ".join(place.found_by for place in usable)
        raise FormatError(
            f"more than one RedoxFS could be the root: {names}",
            where=where,
            hint="remove all but one, or look at one partition alone",
        )
    return usable[0]


def place_device(disk: Device, discovery: Discovery, place: FoundRedoxFS, *, owns: bool = False) -> Linear:
    """The file system's own device (byte 0 is ring slot 0), with the identity its disk and partition give it.

    It closes the disk when it `owns` it.
    """
    newest = place.ring.newest
    assert newest is not None
    identity = Identity(
        name=f"{disk.identity.name}: {place.found_by}",
        uuid=newest.uuid,
        disk_guid=discovery.gpt.disk_guid if discovery.gpt is not None else None,
        partition_guid=place.partition.guid if place.partition is not None else None,
    )
    return Linear(disk, place.offset_bytes, newest.size_bytes, identity=identity, owns=owns)


def open_root(disk: Device, *, password: bytes | None = None) -> RedoxFS:
    """The RedoxFS a loader would open on `disk`, without cleanup (so nothing is written).

    Raises FormatError, FileSystemError (password) and DeviceError.
    """
    discovery = find_redoxfs(disk)
    place = choose_place(discovery, where=disk.identity.name)
    return RedoxFS.open(place_device(disk, discovery, place), password=password)
