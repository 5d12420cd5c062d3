"""The volume descriptors of ISO 9660: what is on a medium, from sector 16 on.

Source: ECMA-119 §8 (also ISO 9660); Joliet Specification (Microsoft, 1995); "El Torito" Bootable CD-ROM Format 1.0 §2.
A sector has 2048 bytes whatever the device says. Each descriptor fills one; numbers are written twice, little endian
and big endian, and only the first is read, as by Linux ("due to broken mastering programs")::

      0 type, u8    1 "CD001"    6 version, u8 = 1
    type 1, primary, and 2, supplementary or (version 2) enhanced:
      8 system, 32 characters   40 volume, 32   80 blocks, u32   88 escape sequences, 32   128 block size, u16
    156 the record of the root directory, 34
    190 set, 128   318 publisher, 128   446 preparer, 128   574 application, 128   813 created, 17   830 modified, 17
    type 0, boot record:   7 boot system, 32   71 (of El Torito) sector of the boot catalog, u32, little endian
    type 255: the last one

A time is 16 digits, year to hundredths, and the zone in quarters of an hour. A supplementary descriptor with one of
three escape sequences is Joliet's: its names are UCS-2, big endian. The first descriptor of each kind counts.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from bootpath.core.errors import FormatError
from bootpath.formats.region import Region

SECTOR_BYTES = 2048
DESCRIPTORS_OFFSET = 16 * SECTOR_BYTES
STANDARD_ID = b"CD001"
ROOT_RECORD_BYTES = 34
ECMA_119 = "ECMA-119"
EL_TORITO_SYSTEM = "EL TORITO SPECIFICATION"

_MAX_DESCRIPTORS = 84  # Linux looks as far as sector 100
_BOOT, _PRIMARY, _SUPPLEMENTARY, _LAST = 0, 1, 2, 255
_JOLIET_ESCAPES = (b"%/@", b"%/C", b"%/E")
_BLOCK_SIZES = (512, 1024, 2048)
_NO_TIME = b"0" * 16


@dataclass(frozen=True, slots=True)
class VolumeDescriptor:
    """A primary or supplementary descriptor. `root_record` is the directory record of its root, as it is written.

    Texts are padded with blanks on the medium and not here; `created` and `modified` are 16 digits, "" where it is not
    said. Those of Joliet are UCS-2 there.
    """

    system: str
    volume: str
    blocks: int
    block_bytes: int
    root_record: bytes
    preparer: str = ""
    application: str = ""
    created: str = ""
    modified: str = ""


@dataclass(frozen=True, slots=True)
class VolumeDescriptors:
    """The first of each kind. `catalog_sector` is where El Torito's boot catalog is, None where there is none."""

    primary: VolumeDescriptor
    joliet: VolumeDescriptor | None = None
    boot_system: str = ""
    catalog_sector: int | None = None

    @property
    def size_bytes(self) -> int:
        """What the file system claims to take."""
        return self.primary.blocks * self.primary.block_bytes


def read_descriptors(region: Region) -> VolumeDescriptors | None:
    """The descriptors of a medium, None when sector 16 is none. Raises FormatError for damaged ones, DeviceError."""
    if region.peek(DESCRIPTORS_OFFSET + 1, len(STANDARD_ID)) != STANDARD_ID:
        return None
    primary: VolumeDescriptor | None = None
    joliet: VolumeDescriptor | None = None
    boot_system: str | None = None
    catalog: int | None = None
    for number in range(_MAX_DESCRIPTORS):
        data = region.peek(DESCRIPTORS_OFFSET + number * SECTOR_BYTES, SECTOR_BYTES)
        if len(data) < SECTOR_BYTES or data[1:6] != STANDARD_ID or data[0] == _LAST:
            break
        if data[0] == _PRIMARY and primary is None:
            primary = parse_descriptor(data)
        elif data[0] == _SUPPLEMENTARY and joliet is None and data[88:91] in _JOLIET_ESCAPES:
            joliet = parse_descriptor(data, wide=True)
        elif data[0] == _BOOT and boot_system is None:
            boot_system = _text(data[7:39])
            if boot_system.startswith(EL_TORITO_SYSTEM):
                (catalog,) = struct.unpack_from("<I", data, 71)
    if primary is None:
        raise _fault("there is no primary volume descriptor", "others only", "one of type 1")
    return VolumeDescriptors(primary, joliet, boot_system or "", catalog)


def parse_descriptor(data: bytes, *, wide: bool = False) -> VolumeDescriptor:
    """A primary descriptor, or with `wide` one of Joliet. Raises FormatError when its fields cannot be true."""
    if len(data) < SECTOR_BYTES:
        raise _fault("the volume descriptor is too short", f"{len(data)} bytes", f"{SECTOR_BYTES} bytes")
    (blocks,) = struct.unpack_from("<I", data, 80)
    (block_bytes,) = struct.unpack_from("<H", data, 128)
    if block_bytes not in _BLOCK_SIZES:
        raise _fault("the block size is not valid", block_bytes, "512, 1024 or 2048")
    if blocks * block_bytes <= DESCRIPTORS_OFFSET:
        raise _fault("the number of blocks is too small", blocks, "enough to hold the volume descriptors")
    text = _wide_text if wide else _text
    return VolumeDescriptor(
        text(data[8:40]),
        text(data[40:72]),
        blocks,
        block_bytes,
        data[156 : 156 + ROOT_RECORD_BYTES],
        text(data[446:574]),
        text(data[574:702]),
        _time(data[813:830]),
        _time(data[830:847]),
    )


def _text(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode("utf-8", "replace").rstrip(" ")


def _wide_text(raw: bytes) -> str:
    return raw[: len(raw) & ~1].decode("utf-16-be", "replace").partition("\0")[0].rstrip(" ")


def _time(raw: bytes) -> str:
    digits = raw[:16]
    return digits.decode("ascii") if digits.isdigit() and digits != _NO_TIME else ""


def _fault(what: str, found: object, expected: str) -> FormatError:
    return FormatError(what, where="iso9660", found=found, expected=expected, spec=ECMA_119)
