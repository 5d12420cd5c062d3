"""Boot catalogs: what firmware would load, and what is none."""

from __future__ import annotations

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.iso9660.eltorito import Emulation, Platform, parse_boot_catalog, read_boot_catalog
from bootpath.formats.region import Region
from tests.support.isofiles import boot_entry, boot_section, catalog, device


def test_the_default_entry_and_sections() -> None:
    data = catalog(
        boot_entry(100),
        boot_section(0xEF, boot_entry(200, 5760), boot_entry(300, 0, medium=0x20), last=False),
        boot_section(0x07, boot_entry(400, 1, boots=False, medium=4)),
        b"\x91" + bytes(31),  # behind the last header
    )
    found = parse_boot_catalog(data)
    assert found.maker == "maker"
    assert [(each.platform, each.boots, each.emulation, each.sector, each.load_bytes) for each in found.images] == [
        (Platform.X86, True, Emulation.NONE, 100, 2048),
        (Platform.EFI, True, Emulation.NONE, 200, 5760 * 512),
        (Platform.EFI, True, Emulation.NONE, 300, 0),
        (Platform.OTHER, False, Emulation.HARD_DISK, 400, 512),
    ]
    assert [each.end_bytes(1 << 20) for each in found.images] == [
        100 * 2048 + 2048,
        200 * 2048 + 5760 * 512,
        1 << 20,  # UEFI: 0 or 1 sectors reach to the end
        400 * 2048 + 512,
    ]
    assert found.images[3].platform_id == 7


@pytest.mark.parametrize(
    ("medium", "emulation", "size"),
    [
        (1, Emulation.FLOPPY_1200, 1_228_800),
        (2, Emulation.FLOPPY_1440, 1_474_560),
        (3, Emulation.FLOPPY_2880, 2_949_120),
    ],
)
def test_floppy_disks_have_their_size(medium: int, emulation: Emulation, size: int) -> None:
    (image,) = parse_boot_catalog(catalog(boot_entry(10, 1, medium=medium))).images
    assert (image.emulation, image.end_bytes(0)) == (emulation, 20480 + size)


def test_extensions_belong_to_their_entry() -> None:
    extensions = b"\x44\x20" + bytes(30) + b"\x44\0" + bytes(30)
    data = catalog(boot_entry(1), boot_section(0xEF, boot_entry(2, medium=0x20) + extensions, boot_entry(3)))
    assert [each.sector for each in parse_boot_catalog(data).images] == [1, 2, 3]


def test_the_platform_of_the_validation_entry_is_the_default_entrys() -> None:
    (image,) = parse_boot_catalog(catalog(boot_entry(5), platform=0xEF)).images
    assert image.platform is Platform.EFI


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x01" * 63, "the boot catalog is too short; expected at least 64 bytes, found 63 bytes"),
        (bytes(64), "does not begin with a validation entry; expected 01 and 55aa, found 00 and 0000"),
        (catalog(boot_entry(1))[:4] + b"X" + catalog(boot_entry(1))[5:], "the checksum of the boot catalog"),
        (
            catalog(b"\x77" + bytes(31)),
            "an entry of the boot catalog is none; expected 0x88 or 0x00, found 0x77 at byte 32",
        ),
        (catalog(boot_entry(1, medium=5)), "the emulation of a boot image is not known; expected 0 to 4, found 5"),
        (catalog(boot_entry(1), boot_section(0, count=9999)), "the boot catalog's entries go on beyond its end"),
    ],
)
def test_what_is_none(data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=f"El Torito: .*{message}"):
        parse_boot_catalog(data)


def test_it_is_read_where_the_boot_record_says() -> None:
    disk = device(bytes(4096) + catalog(boot_entry(9)) + bytes(2048))
    assert read_boot_catalog(Region(disk), 2).images[0].sector == 9
    with pytest.raises(FormatError, match="the boot catalog is outside the medium"):
        read_boot_catalog(Region(disk), 4)
    with pytest.raises(FormatError, match="the boot catalog is outside the medium"):
        read_boot_catalog(Region(disk), 0xFFFFFFFF)
