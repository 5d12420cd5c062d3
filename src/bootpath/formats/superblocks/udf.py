"""UDF, the file system of DVDs, and of large files on removable disks: recognised and named, not read.

Source: ECMA-167 2/8.3, 3/9.1 (volume recognition), 3/7.2 (tags), 3/10.1, 3/10.2, 3/10.6; OSTA UDF 2.60 §2.1.2, §2.2.4.
From byte 32768 on stand structures of 2048 bytes, or of one sector where it is larger, each with an identifier::

    1 "BEA01" begins, "NSR02" or "NSR03" is UDF, "TEA01" ends; "CD001" and others may stand before and between

In sector 256 an anchor (tag 2) says where the volume's descriptors are; of them the primary one (tag 1) has the
identifier of the set, the logical one (tag 6) the label and the revision. A tag::

    0 what it is, u16   4 checksum, u8: the sum of the other 15 bytes   12 the sector it stands in, u32

Strings have their length in the last byte and begin with 8 or 16, the bits of a character. The UUID is made of the
set's identifier as blkid(8) does it: its first 16 characters where they are hexadecimal digits, else bytes in hex.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from bootpath.formats.region import Region
from bootpath.formats.superblocks.value import Superblock

_KIND = "udf"
_VRS_OFFSET = 32768
_STRUCTURE_BYTES = 2048
_MAX_STRUCTURES = 64
_KNOWN = (b"BEA01", b"BOOT2", b"CD001", b"CDW02", b"TEA01")
_NSR = (b"NSR02", b"NSR03")
_SECTOR_SIZES = (2048, 512, 4096, 1024)
_ANCHOR_SECTOR = 256
_ANCHOR, _PRIMARY, _LOGICAL, _TERMINATOR = 2, 1, 6, 8
_TAG_BYTES = 16
_TAGGED_BYTES = 512
_MAX_DESCRIPTORS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class UdfSuperblock(Superblock):
    """`label` is the logical volume's; without an anchor nothing but the kind is known."""

    volume_set: str


def has_udf(region: Region) -> bool:
    """True when the volume recognition sequence names UDF. Raises DeviceError."""
    return any(_recognised(region, size) for size in (_STRUCTURE_BYTES, 4096))


def probe_udf(region: Region) -> UdfSuperblock | None:
    """The file system, None when there is none. Raises DeviceError."""
    if not has_udf(region):
        return None
    label = volume_set = version = ""
    for sector_bytes in _SECTOR_SIZES:
        anchor = _checked(region.peek(_ANCHOR_SECTOR * sector_bytes, _TAGGED_BYTES), _ANCHOR_SECTOR)
        if anchor is None or _kind_of(anchor) != _ANCHOR:
            continue
        length, first = struct.unpack_from("<II", anchor, 16)
        data = region.peek(first * sector_bytes, min(length, _MAX_DESCRIPTORS * sector_bytes))
        for number in range(len(data) // sector_bytes):
            descriptor = _checked(data[number * sector_bytes :][:_TAGGED_BYTES], first + number)
            if descriptor is None or _kind_of(descriptor) == _TERMINATOR:
                break
            if _kind_of(descriptor) == _PRIMARY:
                volume_set = volume_set or _string(descriptor[72:200])
            elif _kind_of(descriptor) == _LOGICAL:
                label = label or _string(descriptor[84:212])
                (revision,) = struct.unpack_from("<H", descriptor, 240)
                version = version or f"{revision >> 8:x}.{revision & 0xFF:02x}"
        return _superblock(sector_bytes, label, volume_set, version)
    return _superblock(_STRUCTURE_BYTES, "", "", "")


def _superblock(sector_bytes: int, label: str, volume_set: str, version: str) -> UdfSuperblock:
    return UdfSuperblock(
        kind=_KIND,
        offset=_VRS_OFFSET,
        uuid=_uuid(volume_set),
        label=label,
        block_bytes=sector_bytes,
        size_bytes=0,
        version=version,
        volume_set=volume_set,
    )


def _recognised(region: Region, step: int) -> bool:
    for number in range(_MAX_STRUCTURES):
        identifier = region.peek(_VRS_OFFSET + number * step + 1, 5)
        if identifier in _NSR:
            return True
        if identifier not in _KNOWN:
            return False
    return False


def _kind_of(descriptor: bytes) -> int:
    return int.from_bytes(descriptor[:2], "little")


def _checked(data: bytes, sector: int) -> bytes | None:
    """The beginning of a sector whose tag has the right checksum and place."""
    if len(data) < _TAGGED_BYTES or data[4] != (sum(data[:_TAG_BYTES]) - data[4]) & 0xFF:
        return None
    return data if int.from_bytes(data[12:16], "little") == sector else None


def _string(raw: bytes) -> str:
    """A dstring: OSTA UDF §2.1.3."""
    content = raw[1 : min(raw[-1], len(raw) - 1)]
    if raw[0] == 8:
        return content.decode("latin-1").rstrip("\0")
    return content.decode("utf-16-be", "replace").rstrip("\0") if raw[0] == 16 else ""


def _uuid(volume_set: str) -> str | None:
    raw = volume_set.encode("utf-8", "replace")[:16]
    if len(raw) < 8:
        return None
    digits = next((at for at, byte in enumerate(raw) if byte not in b"0123456789abcdefABCDEF"), len(raw))
    if digits < 8:
        return raw[:8].hex()
    if digits < 16:
        return raw[:8].decode("ascii").lower() + raw[8:12].ljust(4, b"\0").hex()
    return raw.decode("ascii").lower()
