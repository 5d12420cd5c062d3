"""Optical media: which firmware finds something to run, and what is wrong with boot images."""

from __future__ import annotations

import pytest

from bootpath.core.limits import limits_raised
from bootpath.formats.iso9660.eltorito import Emulation
from bootpath.image.contents.read import read_contents
from bootpath.image.kind import DiskKind, disk_kind
from bootpath.image.livemedia import BootWay, FirmwareKind, LiveMedium, MediumUse, read_live_medium
from tests.support.filetrees import fat_image
from tests.support.gptdisk import gpt_image
from tests.support.isofiles import (
    SECTOR,
    boot_entry,
    boot_record,
    boot_section,
    catalog,
    device,
    directory,
    disc,
    record,
)

BIOS_DISC = BootWay(FirmwareKind.BIOS, MediumUse.DISC)
UEFI_DISC = BootWay(FirmwareKind.UEFI, MediumUse.DISC)
BIOS_DISK = BootWay(FirmwareKind.BIOS, MediumUse.DISK)
EFI = fat_image(64 << 10, {"EFI/BOOT/BOOTX64.EFI": b"program", "EFI/BOOT/readme.txt": b"text"})
LOADER = 26  # the sector behind the root and the catalog


def medium(*entries: bytes, files: bytes = b"x" * SECTOR, root: bytes | None = None) -> bytes:
    """The root, a boot catalog with these entries, and what is from sector `LOADER` on."""
    return disc(directory(24) if root is None else root, catalog(*entries), files, extra=[boot_record(25)])


def read(image: bytes) -> LiveMedium:
    disk = device(image)
    found = read_live_medium(disk, read_contents(disk))
    assert found is not None
    return found


def test_a_boot_image_for_each_firmware() -> None:
    found = read(medium(boot_entry(LOADER), boot_section(0xEF, boot_entry(LOADER, 0)), files=EFI))
    assert found.ways == (BIOS_DISC, UEFI_DISC)
    assert (found.hybrid, found.warnings, found.catalog_fault) == (False, (), None)
    assert found.boots(FirmwareKind.UEFI) == (MediumUse.DISC,)
    bios, efi = found.boot_images
    assert (bios.size_bytes, bios.image.emulation, bios.superblock) == (2048, Emulation.NONE, None)
    assert efi.superblock is not None
    assert (efi.superblock.kind, efi.programs) == ("vfat", ("/EFI/BOOT/BOOTX64.EFI",))


def test_a_boot_image_is_called_by_its_file() -> None:
    image = disc(
        directory(24, record(b"ISOLINUX", 26, SECTOR, 2)),
        catalog(boot_entry(27)),
        directory(26, record(b"ISOLINUX.BIN;1", 27, SECTOR)),
        b"loader",
        extra=[boot_record(25)],
    )
    assert [each.path for each in read(image).boot_images] == ["/isolinux/isolinux.bin"]


@pytest.mark.parametrize(
    ("entry", "files", "message"),
    [
        (boot_entry(LOADER), b"no file system", "the EFI boot image is no FAT"),
        (
            boot_entry(LOADER),
            fat_image(64 << 10, {"readme": b"text"}),
            "the EFI boot image has no program in /EFI/BOOT",
        ),
        (boot_entry(9999), b"x", "the boot image is outside the medium"),
        (boot_entry(LOADER), EFI[:4096], "the EFI boot image"),
    ],
)
def test_an_efi_image_that_firmware_cannot_use(entry: bytes, files: bytes, message: str) -> None:
    found = read(medium(boot_entry(LOADER), boot_section(0xEF, entry), files=files))
    assert found.ways == (BIOS_DISC,)
    assert any(message in each for each in found.warnings)


def test_an_image_that_is_not_bootable() -> None:
    found = read(medium(boot_entry(LOADER, boots=False)))
    assert (found.ways, len(found.boot_images)) == ((), 1)


def test_a_catalog_that_is_damaged() -> None:
    image = bytearray(medium(boot_entry(LOADER)))
    image[25 * SECTOR + 8] ^= 1
    found = read(bytes(image))
    assert (found.boot_images, found.ways) == ((), ())
    assert "disc: El Torito: the checksum of the boot catalog does not match" in found.warnings[0]


def test_boot_code_in_the_first_sector() -> None:
    image = bytearray(medium(boot_entry(LOADER)))
    image[:3], image[510:512] = b"\xfa\xeb\x3c", b"\x55\xaa"
    found = read(bytes(image))
    assert found.ways == (BIOS_DISC, BIOS_DISK)
    assert found.tables == ("MBR",)


def test_a_medium_with_files_that_are_damaged_still_boots() -> None:
    assert read(medium(boot_entry(LOADER), root=b"no directory")).ways == (BIOS_DISC,)


def test_directories_cost_no_more_than_is_allowed() -> None:
    """All of the medium and its boot images together."""
    sections = boot_section(0xEF, *[boot_entry(LOADER, 0)] * 9)
    with limits_raised(directory_bytes=60_000):
        found = read(medium(boot_entry(LOADER), sections, files=EFI))
    assert found.ways == (BIOS_DISC, UEFI_DISC)
    assert "the directories are too large" in found.warnings[-1]


def test_what_is_no_medium() -> None:
    for image in (bytes(64 << 10), gpt_image()):
        disk = device(bytes(image))
        assert read_live_medium(disk, read_contents(disk)) is None
    whole = medium(boot_entry(LOADER))
    disk = device(whole[:-SECTOR])
    assert read_live_medium(disk, read_contents(disk)) is None, "cut short"


def test_the_kind_of_a_medium() -> None:
    judged = disk_kind(read_contents(device(medium(boot_entry(LOADER)))))
    assert judged.kind is DiskKind.MEDIUM
    assert "an optical medium with iso9660" in str(judged.why)
