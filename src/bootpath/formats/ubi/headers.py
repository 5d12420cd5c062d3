"""UBI's headers: what stands at the beginning of every eraseblock, and the records of the volume table.

Source: Linux drivers/mtd/ubi/ubi-media.h and io.c; http://www.linux-mtd.infradead.org/doc/ubidesign. Big endian; every
CRC is that of zip, not inverted at the end, and covers what stands before it.

    EC header, 64 bytes:    0 "UBI#"   4 version, u8 = 1   8 erase counter, u64   16 offset of the VID header, u32
                           20 offset of the data, u32     24 image sequence, u32  60 CRC, u32
    VID header, 64 bytes:   0 "UBI!"   4 version, u8 = 1   5 type, u8 (1 dynamic, 2 static)   6 copy_flag, u8
                            7 compat, u8   8 volume, u32  12 logical eraseblock, u32   20 data bytes, u32
                           24 used eraseblocks, u32       28 data_pad, u32   32 data CRC, u32   40 sequence, u64
                           60 CRC, u32
    table record, 172:      0 reserved eraseblocks, u32    4 alignment, u32   8 data_pad, u32  12 type, u8
                           13 update marker, u8           14 name bytes, u16 16 name, 128     144 flags, u8
                          168 CRC, u32
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum, IntFlag
from zlib import crc32

from bootpath.core.errors import FormatError

EC_BYTES = 64
VID_BYTES = 64
RECORD_BYTES = 172
MAX_VOLUMES = 128
MAX_NAME_BYTES = 127
LAYOUT_VOLUME = 0x7FFFEFFF
LAYOUT_COPIES = 2
UBI_EC_MAGIC = b"UBI#"
UBI_VID_MAGIC = b"UBI!"

_EC = struct.Struct(">4sB3xQIII32xI")
_VID = struct.Struct(">4sBBBBII4xIIII4xQ12xI")
_RECORD = struct.Struct(">IIIBBH128sB23xI")
_VERSION = 1
_I32_MAX = 2**31 - 1
_MAX_ERASES = 0x7FFFFFFF
_MASK = 0xFFFFFFFF
_SPEC = "Linux drivers/mtd/ubi/ubi-media.h"


class VolumeType(Enum):
    """How a volume is used."""

    DYNAMIC = 1  # written in place by a file system: eraseblocks come and go
    STATIC = 2  # written once, with a checksum for every eraseblock


class RecordFlag(IntFlag):
    """Flags of a volume."""

    AUTORESIZE = 1  # takes the rest of the device at the first attach
    SKIP_CRC_CHECK = 2


@dataclass(frozen=True, slots=True)
class EcHeader:
    """The erase counter's header; offsets are from the beginning of the eraseblock."""

    erase_count: int
    vid_offset: int
    data_offset: int
    image_seq: int


@dataclass(frozen=True, slots=True)
class VidHeader:
    """Which logical eraseblock of which volume this is. `data_bytes`, `data_crc`: if static, or a copy."""

    type: VolumeType
    copy_flag: bool
    compat: int
    volume_id: int
    lnum: int
    data_bytes: int
    used_ebs: int
    data_pad: int
    data_crc: int
    sqnum: int


@dataclass(frozen=True, slots=True)
class VolumeRecord:
    """One volume of the table."""

    reserved_pebs: int
    alignment: int
    data_pad: int
    type: VolumeType
    updating: bool
    name: str
    flags: int


def ubi_crc(data: bytes) -> int:
    """UBI's checksum of `data`."""
    return crc32(data) ^ _MASK


def is_intact(data: bytes) -> bool:
    """True when the bytes are an EC header as somebody wrote it, whatever it says."""
    return data.startswith(UBI_EC_MAGIC) and ubi_crc(data[: EC_BYTES - 4]) == int.from_bytes(
        data[EC_BYTES - 4 : EC_BYTES], "big"
    )


def parse_ec_header(data: bytes) -> EcHeader:
    """The header in the first 64 bytes of an eraseblock. Raises FormatError."""
    where = "EC header"
    _check(data, EC_BYTES, UBI_EC_MAGIC, where)
    _, _, erase_count, vid_offset, data_offset, image_seq, _ = _EC.unpack_from(data)
    if erase_count > _MAX_ERASES:
        raise _fault(where, "the erase counter is out of range", erase_count, f"at most {_MAX_ERASES}")
    if vid_offset < EC_BYTES or data_offset < vid_offset + VID_BYTES:
        raise _fault(
            where,
            "the offsets of the VID header and the data are not valid",
            f"{vid_offset} and {data_offset}",
            "64 bytes or more apart",
        )
    return EcHeader(erase_count, vid_offset, data_offset, image_seq)


def parse_vid_header(data: bytes, leb_bytes: int) -> VidHeader:
    """The header in these 64 bytes; logical eraseblocks have `leb_bytes`. Raises FormatError."""
    where = "VID header"
    _check(data, VID_BYTES, UBI_VID_MAGIC, where)
    fields = _VID.unpack_from(data)
    _, _, kind, copy_flag, compat, volume_id, lnum, data_bytes, used_ebs, data_pad, data_crc, sqnum, _ = fields
    internal = volume_id >= LAYOUT_VOLUME
    if copy_flag > 1 or (volume_id >= MAX_VOLUMES and not internal) or lnum > _I32_MAX:
        raise _fault(
            where,
            "the copy flag, the volume or the number is out of range",
            f"{copy_flag}, {volume_id}, {lnum}",
            "in their range",
        )
    if kind not in (1, 2):
        raise _fault(where, "the volume type is unknown", kind, "1 or 2")
    # "compat" is only for internal volumes.
    if (compat and not internal) or (internal and compat not in (1, 2, 4, 5)):
        raise _fault(where, "compat is not valid", compat, "1, 2, 4 or 5 for an internal volume, else 0")
    if data_pad >= leb_bytes // 2:
        raise _fault(where, "data_pad is too large", f"{data_pad} bytes", f"less than half of {leb_bytes} bytes")
    usable = leb_bytes - data_pad
    if kind == VolumeType.STATIC.value:
        _check_static(lnum, data_bytes, used_ebs, usable)
    # "Only when the LEB is a copy are data size and CRC used in dynamic volumes."
    elif used_ebs or (copy_flag and not 0 < data_bytes <= usable) or (not copy_flag and (data_bytes or data_crc)):
        raise _fault(
            where,
            "the used eraseblocks and data bytes are not those of a dynamic volume",
            f"{used_ebs} and {data_bytes}",
            "0, or a copy's data bytes",
        )
    return VidHeader(
        VolumeType(kind), bool(copy_flag), compat, volume_id, lnum, data_bytes, used_ebs, data_pad, data_crc, sqnum
    )


def _check_static(lnum: int, data_bytes: int, used_ebs: int, usable: int) -> None:
    where = "VID header"
    if lnum >= used_ebs:
        raise _fault(
            where, "the number of the logical eraseblock is out of range", lnum, f"less than {used_ebs}, those in use"
        )
    last = lnum == used_ebs - 1
    if not 0 < data_bytes <= usable or (not last and data_bytes != usable):
        raise _fault(
            where, "the number of data bytes is wrong", data_bytes, f"{usable}, or less in the last eraseblock"
        )


def parse_volume_table(data: bytes, leb_bytes: int) -> dict[int, VolumeRecord]:
    """The volumes by their number, from the content of an eraseblock of the layout volume. Raises FormatError."""
    volumes: dict[int, VolumeRecord] = {}
    owners: dict[str, int] = {}
    count = min(leb_bytes // RECORD_BYTES, MAX_VOLUMES)
    if len(data) < count * RECORD_BYTES:
        raise _fault("volume table", "the table is too short", f"{len(data)} bytes", f"{count * RECORD_BYTES} bytes")
    for number in range(count):
        record = _parse_record(data[number * RECORD_BYTES : (number + 1) * RECORD_BYTES], number, leb_bytes)
        if record is None:
            continue
        owner = owners.setdefault(record.name, number)
        if owner != number:
            raise _fault(
                "volume table", f"volumes {owner} and {number} have the same name", repr(record.name), "two names"
            )
        volumes[number] = record
    return volumes


def _parse_record(raw: bytes, number: int, leb_bytes: int) -> VolumeRecord | None:
    """A record, None when it is empty."""
    where = f"volume table: record {number}"
    reserved, alignment, data_pad, kind, marker, name_bytes, name, flags, stored = _RECORD.unpack(raw)
    computed = ubi_crc(raw[: RECORD_BYTES - 4])
    if stored != computed:
        raise _fault(where, "the CRC of the record does not match", f"0x{stored:08x}", f"0x{computed:08x}")
    if reserved == 0:
        if any(raw[: RECORD_BYTES - 4]):
            raise _fault(
                where, "the record has no eraseblocks, but other fields", "fields that are not zero", "an empty record"
            )
        return None
    if reserved > _I32_MAX or not 0 < alignment <= leb_bytes or data_pad != leb_bytes % alignment:
        found = f"{reserved}, {alignment}, {data_pad}"
        raise _fault(
            where,
            "the eraseblocks, the alignment or the padding is not valid",
            found,
            f"values that fit {leb_bytes} bytes",
        )
    if kind not in (1, 2) or marker > 1:
        raise _fault(where, "the type or the update marker is not valid", f"{kind} and {marker}", "1 or 2, and 0 or 1")
    text = name.partition(b"\0")[0]
    if not 0 < name_bytes <= MAX_NAME_BYTES or len(text) != name_bytes:
        raise _fault(where, "the length of the name is wrong", name_bytes, f"{len(text)}, 1 to {MAX_NAME_BYTES}")
    return VolumeRecord(
        reserved, alignment, data_pad, VolumeType(kind), bool(marker), text.decode("utf-8", "replace"), flags
    )


def _check(data: bytes, size: int, magic: bytes, where: str) -> None:
    if len(data) < size or data[:4] != magic:
        raise _fault(where, "the magic is wrong", data[:4].hex() or "missing", magic.hex())
    stored, computed = int.from_bytes(data[size - 4 : size], "big"), ubi_crc(data[: size - 4])
    if stored != computed:
        raise _fault(where, "the CRC does not match", f"0x{stored:08x}", f"0x{computed:08x}")
    if data[4] != _VERSION:
        raise _fault(where, "the version is not supported", data[4], _VERSION)


def _fault(where: str, what: str, found: object, expected: object) -> FormatError:
    return FormatError(what, where=where, found=found, expected=expected, spec=_SPEC)
