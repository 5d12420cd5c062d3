"""LVM2 on a disk: the label of a physical volume, and the copies of the group's metadata it carries.

Source: LVM2 lib/format_text/layout.h and lib/label (behaviour). Little endian. The label is in one of the first four
sectors of 512 bytes::

      0 "LABELONE", 8   8 own sector, u64   16 CRC, u32, of bytes 20 to 511   20 offset of the PV header, u32
     24 "LVM2 001", 8

    PV header:  0 UUID, 32   32 device bytes, u64   40 data areas {offset, u64, size, u64} …, zeros,
                metadata areas {offset, size} …, zeros

A metadata area begins with a header of 512 bytes; the rest is a ring of texts, each at an aligned place, and the last
one wraps to byte 512::

      0 CRC, u32, of bytes 4 to 511   4 magic, 16 = " LVM2 x[5A%r0N*>"   20 version, u32 = 1
     24 own offset on the disk, u64  32 size, u64   40 texts {offset, u64, size, u64, CRC, u32, flags, u32} …, zeros

The first entry is the committed text (flag 1: this area is not kept up to date); a second is about to be. A size has
the NUL after the text in it. The CRC is that of zip, from 0xF597A6CF and not inverted.

The text with the highest `seqno` is believed; the others may be older, for an area may be ignored or lie on a disk
that was away.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from zlib import crc32

from bootpath.core.device import Device
from bootpath.core.errors import FormatError
from bootpath.core.extents import Extent
from bootpath.core.limits import spend
from bootpath.formats.lvm2.group import format_uuid, parse_volume_group
from bootpath.formats.lvm2.text import MAX_TEXT_BYTES
from bootpath.formats.lvm2.volumes import VolumeGroup
from bootpath.formats.region import Region

SECTOR_BYTES = 512
LABEL_SECTORS = 4
MAX_METADATA_AREAS = 2  # pvcreate --pvmetadatacopies

_LABEL_MAGIC = b"LABELONE"
_LABEL_TYPE = b"LVM2 001"
_LABEL = struct.Struct("<8sQII8s")
_AREA = struct.Struct("<QQ")
_MDA_MAGIC = b" LVM2 x[5A%r0N*>"
_MDA = struct.Struct("<I16sIQQ")
_MDA_BYTES = 512
_TEXT = struct.Struct("<QQII")
_IGNORED = 1
_SEED = 0xF597A6CF
_MASK = 0xFFFFFFFF
_WHERE = "lvm2"


@dataclass(frozen=True, slots=True)
class PvLabel:
    """A physical volume's label. Areas are bytes of its device; `size_bytes` is 0 where nothing was recorded."""

    uuid: str
    sector: int
    size_bytes: int
    data_areas: tuple[Extent, ...]
    metadata_areas: tuple[Extent, ...]


@dataclass(frozen=True, slots=True)
class LvmMember:
    """One physical volume: `groups` are the versions of the metadata on it, the newest first.

    A volume without metadata areas has none and belongs to whichever group names it. `faults` are copies that could
    not be believed.
    """

    label: PvLabel
    groups: tuple[VolumeGroup, ...]
    faults: tuple[FormatError, ...] = ()

    @property
    def group(self) -> VolumeGroup | None:
        """The newest version."""
        return self.groups[0] if self.groups else None


def lvm_crc(data: bytes) -> int:
    """LVM2's checksum of `data`."""
    return crc32(data, _SEED ^ _MASK) ^ _MASK


def probe_lvm2(device: Device) -> bool:
    """True when a label seems to be in one of the first sectors. Raises DeviceError."""
    return any(_candidates(Region(device)))


def read_lvm2(device: Device) -> LvmMember:
    """The physical volume that `device` is, with the metadata it carries. Raises FormatError, DeviceError."""
    region = Region(device)
    label = read_label(region)
    if label is None:
        raise FormatError("there is no label in the first four sectors", where=_WHERE, expected="LABELONE, LVM2 001")
    groups: list[VolumeGroup] = []
    faults: list[FormatError] = []
    for area in label.metadata_areas:
        try:
            text = _read_area(region, area)
            if text is not None:
                groups.append(parse_volume_group(text))
        except FormatError as error:
            faults.append(error.as_value())
    groups.sort(key=lambda group: -group.seqno)
    return LvmMember(label, tuple(groups), tuple(faults))


def read_label(region: Region) -> PvLabel | None:
    """The first sound label, None when there is none. Raises FormatError when all are damaged, DeviceError."""
    fault: FormatError | None = None
    for sector, data in _candidates(region):
        try:
            return _parse_label(data, sector)
        except FormatError as error:
            fault = fault or error
    if fault is not None:
        raise fault
    return None


def _candidates(region: Region) -> list[tuple[int, bytes]]:
    sectors = ((sector, region.peek(sector * SECTOR_BYTES, SECTOR_BYTES)) for sector in range(LABEL_SECTORS))
    return [
        (sector, data)
        for sector, data in sectors
        if len(data) == SECTOR_BYTES and data.startswith(_LABEL_MAGIC) and data[24:32] == _LABEL_TYPE
    ]


def _parse_label(data: bytes, sector: int) -> PvLabel:
    where = f"{_WHERE}: label in sector {sector}"
    _, own, stored, offset, _ = _LABEL.unpack_from(data)
    computed = lvm_crc(data[20:])
    if stored != computed:
        raise FormatError(
            "the CRC of the label does not match", where=where, found=f"0x{stored:08x}", expected=f"0x{computed:08x}"
        )
    if own != sector:
        raise FormatError("the sector number in the label is wrong", where=where, found=own, expected=sector)
    if not _LABEL.size <= offset <= SECTOR_BYTES - 40 - 2 * _AREA.size:
        raise FormatError(
            "the offset of the PV header is out of range",
            where=where,
            found=offset,
            expected="a place in the label's sector",
        )
    position = offset + 40
    areas: list[tuple[Extent, ...]] = []
    for name in ("data", "metadata"):
        found, position = _areas(data, position, f"{where}: {name} areas")
        areas.append(found)
    if len(areas[1]) > MAX_METADATA_AREAS:
        raise FormatError(
            "the label has too many metadata areas",
            where=where,
            found=len(areas[1]),
            expected=f"at most {MAX_METADATA_AREAS}",
        )
    return PvLabel(
        uuid=format_uuid(data[offset : offset + 32]),
        sector=sector,
        size_bytes=int.from_bytes(data[offset + 32 : offset + 40], "little"),
        data_areas=areas[0],
        metadata_areas=areas[1],
    )


def _areas(data: bytes, position: int, where: str) -> tuple[tuple[Extent, ...], int]:
    """A list of areas up to the one of zeros, and the place behind it."""
    found: list[Extent] = []
    while position + _AREA.size <= len(data):
        offset, size = _AREA.unpack_from(data, position)
        position += _AREA.size
        if offset == 0:
            return tuple(found), position
        found.append(Extent(offset, size))
    raise FormatError("the list does not end", where=where)


def _read_area(region: Region, area: Extent) -> str | None:
    """The committed text, None when there is none or the area is ignored."""
    where = f"{_WHERE}: metadata area at {area.offset}"
    try:
        header = region.read(area.offset, _MDA_BYTES, "the header")
    except FormatError as error:
        raise error.at(where) from None
    stored, magic, version, start, size = _MDA.unpack_from(header)
    if magic != _MDA_MAGIC:
        raise FormatError(
            "the magic of the metadata area is wrong", where=where, found=magic.hex(), expected=_MDA_MAGIC.hex()
        )
    computed = lvm_crc(header[4:])
    if stored != computed:
        raise FormatError(
            "the CRC of the metadata area's header does not match",
            where=where,
            found=f"0x{stored:08x}",
            expected=f"0x{computed:08x}",
        )
    if version != 1:
        raise FormatError("the version of the metadata area is unknown", where=where, found=version, expected=1)
    if start != area.offset:
        raise FormatError(
            "the offset in the metadata area's header is wrong", where=where, found=start, expected=area.offset
        )
    if size <= _MDA_BYTES or area.offset + size > region.size_bytes:
        raise FormatError(
            "the size of the metadata area is out of range",
            where=where,
            found=f"{size} bytes",
            expected="more than 512 bytes, on the device",
        )
    text = _TEXT.unpack_from(header, _MDA.size)
    offset, length, _, flags = text
    if offset == 0 or flags & _IGNORED:
        return None
    if not _MDA_BYTES <= offset < size or not 0 < length <= min(size - _MDA_BYTES, MAX_TEXT_BYTES):
        raise FormatError(
            "the text lies outside the metadata area",
            where=where,
            found=f"{length} bytes at {offset}",
            expected=f"in the ring of {size} bytes",
        )
    spend("metadata_text_bytes", length, "the text is too long to parse", where=where)
    # "The ring wraps": what does not fit before the end stands behind the header.
    first = min(length, size - offset)
    raw = region.peek(start + offset, first)
    if first < length:
        raw += region.peek(start + _MDA_BYTES, length - first)
    computed = lvm_crc(raw)
    if computed != text[2]:
        raise FormatError(
            "the CRC of the text does not match", where=where, found=f"0x{computed:08x}", expected=f"0x{text[2]:08x}"
        )
    return raw.partition(b"\0")[0].decode("utf-8", "replace")
