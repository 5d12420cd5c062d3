"""An LVM2 volume group, as its metadata text describes it.

Source: LVM2 lib/format_text (behaviour), lvm(8), vgcfgbackup(8). In the text, an *extent* is `extent_size` sectors::

    <name> { id = "…" seqno = 3 status = ["RESIZEABLE", "READ", "WRITE"] extent_size = 8192
      physical_volumes { pv0 { id = "…" dev_size = …  pe_start = 2048  pe_count = 15  flags = ["MISSING"] } … }
      logical_volumes { root { id = "…" status = ["READ", "WRITE", "VISIBLE"] segment_count = 1
        segment1 { start_extent = 0 extent_count = 5 type = "striped" stripe_count = 1 stripes = ["pv0", 0] } } … } }

A segment of type striped with one stripe is linear. What becomes of it all is in `formats.lvm2.volumes`.

Invariants of a `VolumeGroup`: segments of a volume are contiguous from extent 0; every stripe lies on a physical
volume of the group, inside its `pe_count`, or names another logical volume; no two stripes share an extent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bootpath.core.errors import FormatError
from bootpath.core.extents import Extent, ExtentSet
from bootpath.formats.dm.table import MAX_SECTORS
from bootpath.formats.lvm2.text import Section, parse_lvm_text
from bootpath.formats.lvm2.volumes import (
    LogicalVolume,
    LvSegment,
    PhysicalVolume,
    SegmentKind,
    Stripe,
    VolumeGroup,
    segment_kind,
)

_UUID = re.compile(r"[A-Za-z0-9]{6}(-[A-Za-z0-9]{4}){5}-[A-Za-z0-9]{6}")
_UUID_PARTS = (6, 4, 4, 4, 4, 4, 6)
_NAME = re.compile(r"[A-Za-z0-9_.+-]{1,127}")
_MAX_STRIPES = 128


def format_uuid(raw: bytes) -> str:
    """32 characters as LVM shows them. Raises FormatError."""
    text = raw.decode("latin-1")
    parts, position = [], 0
    for length in _UUID_PARTS:
        parts.append(text[position : position + length])
        position += length
    return _uuid("-".join(parts), "lvm2")


def parse_volume_group(text: str) -> VolumeGroup:
    """The group that a metadata text describes. Raises FormatError."""
    groups = list(parse_lvm_text(text).sections())
    if len(groups) != 1:
        raise FormatError(
            "the text does not describe exactly one volume group", where="lvm2", found=len(groups), expected=1
        )
    name, section = groups[0]
    _check_name(name, "lvm2")
    extent_sectors = section.number("extent_size")
    if not 0 < extent_sectors < 1 << 32:
        raise FormatError(
            "extent_size is out of range", where=section.where, found=extent_sectors, expected="1 to 2^32 sectors"
        )
    physical = {
        name: _physical(name, part, extent_sectors) for name, part in section.section("physical_volumes").sections()
    }
    volumes = dict(section.optional("logical_volumes").sections())
    stores = _snapshot_stores(volumes)
    group = VolumeGroup(
        name=name,
        uuid=_uuid(section.text("id"), section.where),
        seqno=section.number("seqno"),
        status=frozenset(section.words("status") + section.words("flags")),
        extent_sectors=extent_sectors,
        physical_volumes=tuple(physical.values()),
        logical_volumes=tuple(
            _logical(name, part, extent_sectors, physical, stores.get(name, _Store())) for name, part in volumes.items()
        ),
        system_id=section.text("system_id", ""),
        lock_type=section.text("lock_type", ""),
    )
    _check(group)
    return group


def _physical(name: str, section: Section, extent_sectors: int) -> PhysicalVolume:
    volume = PhysicalVolume(
        name=name,
        uuid=_uuid(section.text("id"), section.where),
        hint=section.text("device", ""),
        status=frozenset(section.words("status") + section.words("flags")),
        device_sectors=section.number("dev_size", 0),
        start_sectors=section.number("pe_start"),
        extents=section.number("pe_count"),
    )
    if volume.start_sectors + volume.extents * extent_sectors > MAX_SECTORS:
        raise FormatError("its extents end past 2^64 bytes", where=section.where)
    return volume


@dataclass(frozen=True, slots=True)
class _Store:
    """Whose a volume's extents are: the name of the snapshot, and its origin, "" while it is merged."""

    snapshot: str = ""
    origin: str = ""


def _snapshot_stores(volumes: Mapping[str, Section]) -> dict[str, _Store]:
    """Volumes whose extents are not their content, with the snapshot they belong to.

    The store of a snapshot holds its exceptions; while one is merged, its origin has some of them and some not.
    """
    stores: dict[str, _Store] = {}
    for name, volume in volumes.items():
        for _, segment in volume.sections():
            if segment.items.get("type") != "snapshot":
                continue
            if "merging_store" in segment.items:
                for key in ("merging_store", "origin"):
                    stores[segment.text(key)] = _Store(name)
            else:
                store = segment.text("cow_store")
                stores[store] = _Store(name, segment.text("origin"))
    return stores


def _logical(
    name: str, section: Section, extent_sectors: int, physical: Mapping[str, PhysicalVolume], store: _Store
) -> LogicalVolume:
    _check_name(name, section.where)
    count = section.number("segment_count")
    segments: list[LvSegment] = []
    end = 0
    parts = dict(section.sections())
    if count != len(parts):
        raise FormatError(
            "segment_count is not the number of segments", where=section.where, found=count, expected=len(parts)
        )
    for number in range(1, count + 1):
        segment = _segment(section.section(f"segment{number}"), physical)
        if segment.start != end:
            raise FormatError(
                f"segment{number} does not begin where the segment before it ends",
                where=section.where,
                found=segment.start,
                expected=end,
            )
        end += segment.extents
        segments.append(segment)
    if end * extent_sectors > MAX_SECTORS:
        raise FormatError("it ends past 2^64 bytes", where=section.where)
    return LogicalVolume(
        name=name,
        uuid=_uuid(section.text("id"), section.where),
        status=frozenset(section.words("status") + section.words("flags")),
        segments=tuple(segments),
        store_of=store.snapshot,
        snapshot_of=store.origin,
    )


def _segment(section: Section, physical: Mapping[str, PhysicalVolume]) -> LvSegment:
    start, extents, kind = section.number("start_extent"), section.number("extent_count"), section.text("type")
    if extents == 0:
        raise FormatError("extent_count is zero", where=section.where, found=0, expected="at least 1")
    if segment_kind(kind) is not SegmentKind.STRIPED:
        return LvSegment(start, extents, kind)
    stripes = tuple(Stripe(physical.get(name, name), first) for name, first in section.pairs("stripes"))
    if len(stripes) != section.number("stripe_count") or not 0 < len(stripes) <= _MAX_STRIPES:
        raise FormatError(
            "stripe_count is not the number of stripes",
            where=section.where,
            found=section.number("stripe_count"),
            expected=len(stripes),
        )
    stripe_sectors = 0
    if len(stripes) > 1:
        stripe_sectors = section.number("stripe_size")
        if stripe_sectors == 0 or stripe_sectors & (stripe_sectors - 1) or stripe_sectors >= 1 << 32:
            raise FormatError(
                "stripe_size is not a power of two",
                where=section.where,
                found=stripe_sectors,
                expected="a power of two, in sectors",
            )
        if extents % len(stripes):
            raise FormatError(
                "extent_count is not a multiple of the number of stripes",
                where=section.where,
                found=extents,
                expected=f"a multiple of {len(stripes)} stripes",
            )
    return LvSegment(start, extents, kind, stripes, stripe_sectors)


def _check(group: VolumeGroup) -> None:
    """What is true only of the group as a whole."""
    where = f"lvm2: {group.name}"
    uuids = [volume.uuid for volume in group.physical_volumes]
    if len(set(uuids)) != len(uuids):
        raise FormatError("two physical volumes have the same UUID", where=where)
    names = {volume.name for volume in group.logical_volumes}
    taken = {volume.name: ExtentSet() for volume in group.physical_volumes}
    for volume in group.logical_volumes:
        for segment in volume.segments:
            for stripe in segment.stripes:
                if isinstance(stripe.on, PhysicalVolume):
                    run = Extent(stripe.first, segment.extents // len(segment.stripes))
                    _take(taken[stripe.on.name], stripe.on, run, f"{where}/{volume.name}")
                elif stripe.on not in names:
                    raise FormatError(
                        "a segment lies on a volume that does not exist",
                        where=f"{where}/{volume.name}",
                        found=stripe.on,
                    )


def _take(taken: ExtentSet, on: PhysicalVolume, run: Extent, where: str) -> None:
    """Note that a stripe has the extents of `run`."""
    if run.end > on.extents:
        raise FormatError(
            f"a segment ends beyond {on.name}",
            where=where,
            found=f"extent {run.end}",
            expected=f"at most extent {on.extents}",
        )
    if taken.intersect(run):
        raise FormatError(
            f"extents {run.offset} to {run.end - 1} of {on.name} belong to another segment too", where=where
        )
    taken.add(run)


def _check_name(name: str, where: str) -> None:
    if _NAME.fullmatch(name) is None or name in (".", ".."):
        raise FormatError(
            "the name is not allowed", where=where, found=repr(name), expected="letters, digits and - _ . +"
        )


def _uuid(text: str, where: str) -> str:
    if _UUID.fullmatch(text) is None:
        raise FormatError(
            "the UUID has the wrong form", where=where, found=repr(text), expected="32 letters and digits, dashed"
        )
    return text
