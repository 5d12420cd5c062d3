"""Optical media and their images: what firmware would load from one, as a disc and as a disk.

Sources: El Torito (`formats.iso9660.eltorito`); UEFI 2.10 §3.5.1.1 and §13.3.2 (an EFI image of El Torito is a FAT, on
which firmware looks for \\EFI\\BOOT\\BOOT*.EFI, as on an EFI partition); isohybrid and xorriso for hybrid media, which
have boot code and a partition table before the file system. A live medium has no partition with a root: its boot loader
and its initramfs decide, so all that can be said is which firmware finds something to run.

Nothing is changed, and only what is told is read: the catalog, and of each EFI image its file system's directories.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from bootpath.block.targets.linear import Linear
from bootpath.core.device import SECTOR_BYTES, Device, Identity, checked, read_bytes
from bootpath.core.errors import Error, FileSystemError, FormatError
from bootpath.core.limits import spending
from bootpath.formats.iso9660.descriptors import read_descriptors
from bootpath.formats.iso9660.eltorito import BootImage, Platform, read_boot_catalog
from bootpath.formats.partitions.dps import Designator
from bootpath.formats.partitions.gpt import probe_gpt
from bootpath.formats.region import Region
from bootpath.formats.superblocks.fat import probe_fat
from bootpath.formats.superblocks.value import Superblock
from bootpath.fs.readers.fat.fat import open_fat
from bootpath.fs.readers.files import FileKind, Files
from bootpath.fs.readers.iso9660.tree import open_iso9660
from bootpath.image.contents.nodes import Contents, Node, NodeKind
from bootpath.image.contents.partitions import is_medium
from bootpath.image.contents.read import open_node

_PROGRAMS = "/EFI/BOOT"
_PROGRAM = re.compile(r"boot\w+\.efi", re.IGNORECASE)
_MAX_PROGRAMS = 16
_BOOT_SIGNATURE = b"\x55\xaa"
_CODE_BYTES = 440  # before the disk's signature
_APM_DRIVER, _APM_ENTRY = b"ER", b"PM\0\0"
USUAL_PATHS = (
    "/isolinux/isolinux.bin",
    "/boot/isolinux/isolinux.bin",
    "/boot/syslinux/isolinux.bin",
    "/syslinux/isolinux.bin",
    "/boot/grub/i386-pc/eltorito.img",
    "/boot/grub/bios.img",
    "/images/eltorito.img",
    "/boot/x86_64/loader/isolinux.bin",
    "/boot/grub/efi.img",
    "/EFI/boot/efiboot.img",
    "/efi.img",
    "/images/efiboot.img",
    "/boot/x86_64/efi",
    "/EFI/archiso/efiboot.img",
    "/boot/efi.img",
)
"""Where programs that make media put boot images: those are called by their names, others by their places."""


class FirmwareKind(Enum):
    """Which firmware; the values are those of JSON pages, and of ``--firmware``."""

    BIOS = "bios"
    UEFI = "uefi"


class MediumUse(Enum):
    """As what a medium stands in a machine; the values are those of JSON pages."""

    DISC = "disc"
    DISK = "disk"


@dataclass(frozen=True, slots=True)
class BootWay:
    """Something that firmware runs when the medium is used so."""

    firmware: FirmwareKind
    use: MediumUse


@dataclass(frozen=True, slots=True)
class FoundBootImage:
    """A boot image, as far as its catalog and what is in it say.

    `path` is the file that it is, where it is one of `USUAL_PATHS`; `superblock` and `programs` what is in an EFI
    image: a FAT, and what firmware would run of it. `fault` says what is wrong with it.
    """

    image: BootImage
    size_bytes: int
    path: str = ""
    superblock: Superblock | None = None
    programs: tuple[str, ...] = ()
    fault: Error | None = None


@dataclass(frozen=True, slots=True)
class LiveMedium:
    """An optical medium. `tables` are the partition tables before it, by their names: MBR, GPT, APM.

    `ways` are how it boots; `catalog_fault` is why there are no `boot_images` although there is a catalog.
    """

    superblock: Superblock
    tables: tuple[str, ...] = ()
    boot_images: tuple[FoundBootImage, ...] = ()
    ways: tuple[BootWay, ...] = ()
    catalog_fault: Error | None = None

    @property
    def hybrid(self) -> bool:
        """True when it can be used as a disk, too."""
        return bool(self.tables)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is wrong with it, and keeps nobody from what is sound."""
        faults = [found.fault for found in self.boot_images if found.fault is not None]
        return tuple(map(str, faults if self.catalog_fault is None else (self.catalog_fault, *faults)))

    def boots(self, firmware: FirmwareKind) -> tuple[MediumUse, ...]:
        """As what the firmware boots it."""
        return tuple(way.use for way in self.ways if way.firmware is firmware)


def read_live_medium(disk: Device, contents: Contents) -> LiveMedium | None:
    """The medium that the disk is, None when it is none. Raises DeviceError."""
    root = contents.root
    if not is_medium(root) or root.faults:
        return None
    region = Region(disk)
    images: tuple[FoundBootImage, ...] = ()
    fault: FormatError | None = None
    try:
        descriptors = read_descriptors(region)
        if descriptors is not None and descriptors.catalog_sector is not None:
            catalog = read_boot_catalog(region, descriptors.catalog_sector)
            with spending():
                paths = _paths_of(disk)
                images = tuple(_look_into(disk, image, paths) for image in catalog.images)
    except FormatError as error:
        fault = error.at(disk.identity.name)
    ways = (*_as_disc(images), *_as_disk(disk, contents))
    return LiveMedium(root.superblocks[0], tuple(_tables(region, root)), images, ways, fault)


def _paths_of(disk: Device) -> dict[int, str]:
    """The usual boot images by the bytes where they begin."""
    found: dict[int, str] = {}
    try:
        files = open_iso9660(disk)
        for path in USUAL_PATHS:
            if files.exists(path):
                extents = files.extents(path)
                found.update({extent.offset: path for extent in extents[:1]})
    except (FormatError, FileSystemError):
        pass  # whoever reads its files says what is wrong with them
    return found


def _look_into(disk: Device, image: BootImage, paths: dict[int, str]) -> FoundBootImage:
    path = paths.get(image.offset_bytes, "")
    end = image.end_bytes(disk.size_bytes)
    if image.offset_bytes >= disk.size_bytes:
        outside = FormatError("the boot image is outside the medium", found=f"sector {image.sector}")
        return FoundBootImage(image, end - image.offset_bytes, path, fault=outside)
    size = min(end, disk.size_bytes) - image.offset_bytes
    if image.platform is not Platform.EFI:
        return FoundBootImage(image, size, path)
    try:
        fat = probe_fat(Region(disk, image.offset_bytes, head_bytes=SECTOR_BYTES))
        if fat is None:
            return FoundBootImage(image, size, path, fault=FormatError("the EFI boot image is no FAT"))
        length = min(fat.size_bytes, disk.size_bytes - image.offset_bytes)
        length -= length % disk.block_bytes
        inside = checked(Linear(disk, image.offset_bytes, length, identity=Identity("the EFI boot image")))
        programs = tuple(_programs(open_fat(inside)))
        missing = None if programs else FormatError(f"the EFI boot image has no program in {_PROGRAMS}")
        return FoundBootImage(image, max(size, fat.size_bytes), path, fat, programs, missing)
    except (FormatError, FileSystemError) as error:
        return FoundBootImage(image, size, path, fault=error)


def _programs(files: Files) -> Iterator[str]:
    """What firmware would run of a FAT: a program for each architecture."""
    if not files.exists(_PROGRAMS):
        return
    names = [entry.name for entry in files.list(_PROGRAMS) if entry.kind is FileKind.FILE]
    fitting = [name for name in names if _PROGRAM.fullmatch(name)]
    yield from (f"{_PROGRAMS}/{name}" for name in fitting[:_MAX_PROGRAMS])


def _as_disc(images: tuple[FoundBootImage, ...]) -> Iterator[BootWay]:
    """By El Torito."""
    usable = [found for found in images if found.image.boots and found.fault is None]
    if any(found.image.platform is Platform.X86 for found in usable):
        yield BootWay(FirmwareKind.BIOS, MediumUse.DISC)
    if any(found.image.platform is Platform.EFI for found in usable):
        yield BootWay(FirmwareKind.UEFI, MediumUse.DISC)


def _as_disk(disk: Device, contents: Contents) -> Iterator[BootWay]:
    """By the code in the first sector, and by an EFI partition."""
    first = read_bytes(disk, 0, max(SECTOR_BYTES, disk.block_bytes))
    if first[510:512] == _BOOT_SIGNATURE and any(first[:_CODE_BYTES]):
        yield BootWay(FirmwareKind.BIOS, MediumUse.DISK)
    for node in contents.root.children:
        if node.kind is NodeKind.PARTITION and node.refusal is None and _has_programs(disk, contents, node):
            yield BootWay(FirmwareKind.UEFI, MediumUse.DISK)
            return


def _has_programs(disk: Device, contents: Contents, node: Node) -> bool:
    # "basic data" is how the EFI partition of a medium is typed, too, so that Windows shows it (isohybrid-gpt-basdat)
    if node.content is None or node.content.kind != "vfat":
        return False
    if node.designator is not Designator.ESP and node.partition is None:
        return False
    try:
        return any(_programs(open_fat(open_node(disk, contents, node.path))))
    except (FormatError, FileSystemError):
        return False


def _tables(region: Region, root: Node) -> Iterator[str]:
    """Which partition tables stand before the file system, whether or not they count."""
    first = region.peek(0, SECTOR_BYTES)
    if root.mbr is not None or first[510:512] == _BOOT_SIGNATURE:
        yield "MBR"
    if root.gpt is not None or probe_gpt(region.device):
        yield "GPT"
    if first[:2] == _APM_DRIVER and _APM_ENTRY in (region.peek(at, 4) for at in (512, 2048)):
        yield "APM"
