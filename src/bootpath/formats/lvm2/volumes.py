"""LVM2's volumes as values, and the device-mapper tables of the logical ones.

Source: LVM2 lib/activate and lib/striped (behaviour), lvm(8). A line for each segment, as LVM2 gives them to Linux;
devices are named by the UUIDs of the physical volumes::

    linear <uuid> <sector>
    striped <stripes> <chunk sectors> <uuid> <sector> …
    zero
    error

All other segment types are not read here, and a volume that needs one is refused, with the reason, as is one whose
physical volumes are missing, one of an exported group, and one that holds a snapshot's exceptions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from bootpath.core.errors import TableError, UnsupportedError
from bootpath.formats.dm.table import Table, TableLine


class SegmentKind(Enum):
    """The segment types that have a table here."""

    STRIPED = "striped"
    ZERO = "zero"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class PhysicalVolume:
    """`name` is the group's own (pv0); `hint` the path it had last. Sizes are in sectors and extents."""

    name: str
    uuid: str
    hint: str
    status: frozenset[str]
    device_sectors: int
    start_sectors: int
    extents: int

    @property
    def missing(self) -> bool:
        """True when the group has been used without it since, so that what it holds may be stale."""
        return "MISSING" in self.status


@dataclass(frozen=True, slots=True)
class Stripe:
    """Where one stripe of a segment lies: from extent `first` of a physical volume, or of a logical one by its name."""

    on: PhysicalVolume | str
    first: int


@dataclass(frozen=True, slots=True)
class LvSegment:
    """`extents` of a volume from extent `start`. `type` is LVM's name; `kind` is None when it is not read here."""

    start: int
    extents: int
    type: str
    stripes: tuple[Stripe, ...] = ()
    stripe_sectors: int = 0

    @property
    def kind(self) -> SegmentKind | None:
        """How it is mapped."""
        return segment_kind(self.type)


@dataclass(frozen=True, slots=True)
class LogicalVolume:
    """A volume. `status` has LVM's words for what it is (READ, WRITE, VISIBLE …).

    `store_of` is the snapshot whose exceptions its extents hold, or that is being merged into it, else "";
    `snapshot_of` the origin of one that is not being merged.
    """

    name: str
    uuid: str
    status: frozenset[str]
    segments: tuple[LvSegment, ...]
    store_of: str = ""
    snapshot_of: str = ""

    @property
    def visible(self) -> bool:
        """False for the inner parts of other volumes. A snapshot has no such word, and LVM shows it all the same."""
        return "VISIBLE" in self.status or self.snapshot_of != ""

    @property
    def writable(self) -> bool:
        """What its permission says."""
        return "WRITE" in self.status

    @property
    def skips_activation(self) -> bool:
        """True when LVM leaves it inactive unless it is asked twice (snapshots of thin volumes)."""
        return "ACTIVATION_SKIP" in self.status

    @property
    def physical_volumes(self) -> Iterator[PhysicalVolume]:
        """What it lies on, once for each stripe."""
        for segment in self.segments:
            for stripe in segment.stripes:
                if isinstance(stripe.on, PhysicalVolume):
                    yield stripe.on

    @property
    def extents(self) -> int:
        """Its size."""
        return sum(segment.extents for segment in self.segments)


@dataclass(frozen=True, slots=True)
class VolumeGroup:
    """One version of a group's metadata. Of several, the highest `seqno` is true."""

    name: str
    uuid: str
    seqno: int
    status: frozenset[str]
    extent_sectors: int
    physical_volumes: tuple[PhysicalVolume, ...]
    logical_volumes: tuple[LogicalVolume, ...]
    system_id: str = ""
    lock_type: str = ""

    @property
    def exported(self) -> bool:
        """True after vgexport: on its way to another machine, and not to be used on this one."""
        return "EXPORTED" in self.status

    def volume(self, name: str) -> LogicalVolume | None:
        """The logical volume of this name."""
        return next((volume for volume in self.logical_volumes if volume.name == name), None)

    def size_bytes(self, volume: LogicalVolume) -> int:
        """The volume's size."""
        return volume.extents * self.extent_sectors * 512

    def refusal(self, volume: LogicalVolume, absent: Collection[str] = ()) -> TableError | None:
        """Why the volume has no table, or None when it has one. `absent` are UUIDs of physical volumes not found."""
        where = f"lvm2: {self.name}/{volume.name}"
        if self.exported:
            hint = "vgimport it on the machine that owns it"
            return TableError("the volume group is exported", where=where, hint=hint)
        gone = {
            f"{pv.uuid} (last seen as {pv.hint or 'nothing'})": None
            for pv in volume.physical_volumes
            if pv.missing or pv.uuid in absent
        }
        if gone:
            return TableError("physical volumes are missing", where=where, found=", ".join(gone))
        if not volume.segments:
            return TableError("the volume has no segments", where=where)
        if volume.store_of:
            what = "the extents of the volume belong to a snapshot"
            return UnsupportedError(what, where=where, found=volume.store_of)
        for segment in volume.segments:
            if segment.kind is None:
                return UnsupportedError(
                    "volumes of this type are not read here",
                    where=where,
                    found=segment.type,
                    expected="linear, striped, zero or error",
                )
            for stripe in segment.stripes:
                if isinstance(stripe.on, str):
                    return TableError("a segment stands on the logical volume", where=where, found=stripe.on)
        return None

    def table(
        self, volume: LogicalVolume, absent: Collection[str] = (), *, names: Mapping[str, str] | None = None
    ) -> Table:
        """The volume's table, a line for each segment, as LVM gives it to Linux. Raises TableError as `refusal` says.

        Physical volumes are named by their UUIDs, or as `names` says (UUID to name).
        """
        refusal = self.refusal(volume, absent)
        if refusal is not None:
            raise refusal
        lines = []
        for segment in volume.segments:
            assert segment.kind is not None
            args: list[str] = []
            if len(segment.stripes) > 1:
                args += [str(len(segment.stripes)), str(segment.stripe_sectors)]
            for stripe in segment.stripes:
                assert isinstance(stripe.on, PhysicalVolume)
                sector = stripe.on.start_sectors + stripe.first * self.extent_sectors
                args += [stripe.on.uuid if names is None else names[stripe.on.uuid], str(sector)]
            target = "linear" if len(segment.stripes) == 1 else segment.kind.value
            start, count = segment.start * self.extent_sectors, segment.extents * self.extent_sectors
            lines.append(TableLine(start, count, target, tuple(args)))
        return Table(tuple(lines))


_KINDS: Mapping[str, SegmentKind] = {
    "linear": SegmentKind.STRIPED,
    "striped": SegmentKind.STRIPED,
    "zero": SegmentKind.ZERO,
    "error": SegmentKind.ERROR,
}


def segment_kind(name: str) -> SegmentKind | None:
    """How a segment of this type is mapped, None when it is not read here."""
    return _KINDS.get(name)
