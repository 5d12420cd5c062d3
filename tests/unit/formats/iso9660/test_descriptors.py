"""Volume descriptors: the first of each kind counts, and what cannot be true is refused."""

from __future__ import annotations

import struct

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.iso9660.descriptors import SECTOR_BYTES, parse_descriptor, read_descriptors
from bootpath.formats.region import Region
from tests.support.isofiles import TERMINATOR, boot_record, descriptor, device, disc, record

ROOT = record(b"\0", 24, SECTOR_BYTES, 2)
JOLIET = descriptor(2, ROOT, 30, volume="Disc".encode("utf-16-be"), escapes=b"%/E")


def test_the_first_of_each_kind_counts() -> None:
    others = (
        boot_record(77),
        boot_record(78),
        descriptor(2, ROOT, 30, escapes=b"%/X"),  # some other character set
        JOLIET,
        descriptor(1, ROOT, 99, volume=b"ANOTHER"),
    )
    found = read_descriptors(Region(device(disc(b"x", extra=others))))
    assert found is not None
    assert (found.primary.volume, found.primary.blocks, found.size_bytes) == ("DISC", 25, 25 * 2048)
    assert found.joliet is not None
    assert found.joliet.volume == "Disc"
    assert (found.boot_system, found.catalog_sector) == ("EL TORITO SPECIFICATION", 77)
    assert (found.primary.created, found.primary.root_record) == ("2023111422132000", ROOT)


def test_a_disk_without_any() -> None:
    assert read_descriptors(Region(device(bytes(64 << 10)))) is None
    assert read_descriptors(Region(device(bytes(512)))) is None


def test_none_that_is_primary() -> None:
    image = bytes(16 * SECTOR_BYTES) + JOLIET + TERMINATOR
    with pytest.raises(FormatError, match="iso9660: there is no primary volume descriptor"):
        read_descriptors(Region(device(image)))


def test_they_end_with_the_medium() -> None:
    assert read_descriptors(Region(device(bytes(16 * SECTOR_BYTES) + descriptor(1, ROOT, 30)))) is not None


def changed(offset: int, code: str, value: int) -> bytes:
    data = bytearray(descriptor(1, ROOT, 30))
    struct.pack_into(code, data, offset, value)
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the volume descriptor is too short; expected 2048 bytes, found 0 bytes"),
        (changed(128, "<H", 4096), "the block size is not valid; expected 512, 1024 or 2048, found 4096"),
        (changed(80, "<I", 16), "the number of blocks is too small"),
    ],
)
def test_what_cannot_be(data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        parse_descriptor(data)


def test_a_time_that_is_not_said() -> None:
    data = bytearray(descriptor(1, ROOT, 30))
    data[813:847] = b"0" * 16 + b"\0" + b"x" * 17
    found = parse_descriptor(bytes(data))
    assert (found.created, found.modified) == ("", "")
