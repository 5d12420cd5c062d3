"""El Torito's boot catalog: what firmware loads from an optical medium, or from an image of one.

Source: "El Torito" Bootable CD-ROM Format Specification 1.0 §2; UEFI 2.10 §13.3.2.1 (platform 0xEF, and a sector count
of 0 or 1 reaches to the end of the medium). A boot record in the volume descriptors names the sector of the catalog. It
is entries of 32 bytes, little endian::

    validation   0 01   1 platform, u8   4 who made it, 24   28 checksum, u16: all words add up to 0   30 55 aa
    default      0 88 boots, 00 does not   1 medium, u8   2 load segment, u16   4 system type, u8
                 6 sectors of 512 bytes that are loaded, u16    8 sector of 2048 bytes where it begins, u32
    header       0 90, or 91 for the last one   1 platform, u8   2 entries that follow, u16   4 identifier, 28
    entry        as default; bit 5 of the medium: an extension follows
    extension    0 44   1 bit 5: another one follows

The medium's low four bits: 0 nothing is emulated, 1 to 3 a floppy disk of 1.2, 1.44 or 2.88 MB, 4 a hard disk. The
default entry is for the platform of the validation entry. What follows the last header is nobody's.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum

from bootpath.core.errors import FormatError
from bootpath.formats.iso9660.descriptors import SECTOR_BYTES
from bootpath.formats.region import Region

MAX_CATALOG_BYTES = 4 * SECTOR_BYTES
EL_TORITO = "El Torito 1.0"

_ENTRY_BYTES = 32
_ENTRY = struct.Struct("<BBHBxHI20x")
_LOADED_SECTOR_BYTES = 512
_BOOTS, _DOES_NOT, _MORE, _LAST, _EXTENSION = 0x88, 0x00, 0x90, 0x91, 0x44
_GOES_ON = 0x20
_MEDIUM_MASK = 0x0F
_FLOPPY_BYTES = (1_228_800, 1_474_560, 2_949_120)
_TO_THE_END = 2  # fewer sectors than these say nothing of the size, for EFI


class Platform(Enum):
    """For which firmware an image is; the values are those of JSON pages."""

    X86 = "x86"
    POWERPC = "powerpc"
    MAC = "mac"
    EFI = "efi"
    OTHER = "other"


class Emulation(Enum):
    """As what the firmware shows an image; the values are those of JSON pages."""

    NONE = "none"
    FLOPPY_1200 = "floppy-1200"
    FLOPPY_1440 = "floppy-1440"
    FLOPPY_2880 = "floppy-2880"
    HARD_DISK = "hard-disk"


_PLATFORMS = {0x00: Platform.X86, 0x01: Platform.POWERPC, 0x02: Platform.MAC, 0xEF: Platform.EFI}
_EMULATIONS = tuple(Emulation)


@dataclass(frozen=True, slots=True)
class BootImage:
    """An image that firmware may load. `sector` is of 2048 bytes; `load_bytes` what is loaded of it, as it is said.

    `load_segment` 0 stands for 0x7c0. `platform_id` is the number behind `platform`.
    """

    platform: Platform
    platform_id: int
    boots: bool
    emulation: Emulation
    load_segment: int
    system_type: int
    load_bytes: int
    sector: int

    @property
    def offset_bytes(self) -> int:
        """Where it begins."""
        return self.sector * SECTOR_BYTES

    def end_bytes(self, medium_bytes: int) -> int:
        """Where it ends on a medium of that size, as far as the catalog says."""
        if self.emulation in (Emulation.FLOPPY_1200, Emulation.FLOPPY_1440, Emulation.FLOPPY_2880):
            return self.offset_bytes + _FLOPPY_BYTES[_EMULATIONS.index(self.emulation) - 1]
        if self.platform is Platform.EFI and self.load_bytes < _TO_THE_END * _LOADED_SECTOR_BYTES:
            return max(medium_bytes, self.offset_bytes)
        return self.offset_bytes + self.load_bytes


@dataclass(frozen=True, slots=True)
class BootCatalog:
    """The images of a catalog, the default one first, and who says that they made it."""

    images: tuple[BootImage, ...]
    maker: str = ""


def read_boot_catalog(region: Region, sector: int) -> BootCatalog:
    """The catalog that begins in a sector of 2048 bytes. Raises FormatError, DeviceError."""
    data = region.peek(sector * SECTOR_BYTES, MAX_CATALOG_BYTES)
    if len(data) < SECTOR_BYTES:
        raise _fault("the boot catalog is outside the medium", f"sector {sector}", f"{region.size_bytes} bytes")
    return parse_boot_catalog(data)


def parse_boot_catalog(data: bytes) -> BootCatalog:
    """The catalog that `data` begins with. Raises FormatError."""
    if len(data) < 2 * _ENTRY_BYTES:
        raise _fault("the boot catalog is too short", f"{len(data)} bytes", f"at least {2 * _ENTRY_BYTES} bytes")
    if data[0] != 1 or data[30:32] != b"\x55\xaa":
        found = f"{data[0]:02x} and {data[30:32].hex()}"
        raise _fault("the boot catalog does not begin with a validation entry", found, "01 and 55aa")
    total = sum(struct.unpack_from("<16H", data)) & 0xFFFF
    if total:
        raise _fault("the checksum of the boot catalog does not match", f"a sum of {total:#06x}", "a sum of 0")
    maker = data[4:28].partition(b"\0")[0].decode("utf-8", "replace").rstrip(" ")
    images = [_image(data, _ENTRY_BYTES, data[1])]
    place = 2 * _ENTRY_BYTES
    while place + _ENTRY_BYTES <= len(data) and data[place] in (_MORE, _LAST):
        last = data[place] == _LAST
        platform, count = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "little")
        place += _ENTRY_BYTES
        for _ in range(count):
            images.append(_image(data, place, platform))
            place = _behind(data, place)
        if last:
            break
    return BootCatalog(tuple(images), maker)


def _image(data: bytes, place: int, platform: int) -> BootImage:
    if place + _ENTRY_BYTES > len(data):
        raise _fault("the boot catalog's entries go on beyond its end", f"one at byte {place}", f"{len(data)} bytes")
    indicator, medium, segment, system, sectors, start = _ENTRY.unpack_from(data, place)
    if indicator not in (_BOOTS, _DOES_NOT):
        raise _fault("an entry of the boot catalog is none", f"{indicator:#04x} at byte {place}", "0x88 or 0x00")
    if medium & _MEDIUM_MASK >= len(_EMULATIONS):
        raise _fault("the emulation of a boot image is not known", medium & _MEDIUM_MASK, "0 to 4")
    return BootImage(
        _PLATFORMS.get(platform, Platform.OTHER),
        platform,
        indicator == _BOOTS,
        _EMULATIONS[medium & _MEDIUM_MASK],
        segment,
        system,
        sectors * _LOADED_SECTOR_BYTES,
        start,
    )


def _behind(data: bytes, place: int) -> int:
    """Where the next entry of a section begins: behind this one's extensions."""
    goes_on = data[place + 1] & _GOES_ON
    place += _ENTRY_BYTES
    while goes_on and place + _ENTRY_BYTES <= len(data) and data[place] == _EXTENSION:
        goes_on = data[place + 1] & _GOES_ON
        place += _ENTRY_BYTES
    return place


def _fault(what: str, found: object, expected: str) -> FormatError:
    return FormatError(what, where="El Torito", found=found, expected=expected, spec=EL_TORITO)
