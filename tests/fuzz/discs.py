"""The entries of optical media: descriptors with the root's records, boot catalogs, system use areas, grub.cfg."""

from __future__ import annotations

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.core.errors import FormatError
from bootpath.formats.entries.entry import grub_entry
from bootpath.formats.entries.grub import parse_grub
from bootpath.formats.iso9660.descriptors import DESCRIPTORS_OFFSET, SECTOR_BYTES, read_descriptors
from bootpath.formats.iso9660.eltorito import MAX_CATALOG_BYTES, parse_boot_catalog, read_boot_catalog
from bootpath.formats.iso9660.records import iter_records, parse_record
from bootpath.formats.iso9660.rockridge import (
    MAX_NAME_BYTES,
    MAX_TARGET_BYTES,
    parse_continuation,
    parse_entries,
    parse_rock_ridge,
    parse_skip,
)
from bootpath.formats.region import Region
from tests.fuzz.entry import Entry
from tests.support.isofiles import ER, SP, boot_entry, boot_record, boot_section, both, catalog, descriptor, record


def _disc(data: bytes) -> None:
    """Descriptors from sector 16 on, each given by its first bytes; the sectors behind them repeat."""
    pieces = [data[at : at + SECTOR_BYTES // 8] for at in range(0, len(data), SECTOR_BYTES // 8)]
    image = bytes(DESCRIPTORS_OFFSET) + b"".join(piece.ljust(SECTOR_BYTES, b"\0") for piece in pieces)
    region = Region(MemoryDevice(image.ljust(SECTOR_BYTES * 32, b"\0")))
    found = read_descriptors(region)
    if found is None:
        raise FormatError("none")
    assert found.size_bytes > 0
    f"{found.primary.volume}{found.primary.preparer}{found.boot_system}".encode()
    root = parse_record(found.primary.root_record)
    assert root.block >= 0
    if found.catalog_sector is not None:
        read_boot_catalog(region, found.catalog_sector)


def _records(data: bytes) -> None:
    for place, each in iter_records(data):
        assert place + len(each.name) + len(each.system_use) < len(data)


def _el_torito(data: bytes) -> None:
    """A checksum would stop every mutant, so each is also tried with a good one."""
    sealed = bytearray(data.ljust(64, b"\0"))
    sealed[0], sealed[28:32] = 1, b"\0\0\x55\xaa"
    total = sum(int.from_bytes(sealed[at : at + 2], "little") for at in range(0, 32, 2))
    sealed[28:30] = (-total & 0xFFFF).to_bytes(2, "little")
    for each in (bytes(sealed), data):
        try:
            found = parse_boot_catalog(each)
        except FormatError as error:
            str(error).encode()
            if each is data:
                raise
            continue
        assert 1 <= len(found.images) <= MAX_CATALOG_BYTES // 32 + len(data) // 32
        assert all(image.end_bytes(1 << 30) >= image.offset_bytes for image in found.images)


def _rock_ridge(data: bytes) -> None:
    entries = list(parse_entries(data))
    assert sum(len(each.data) + 4 for each in entries) <= len(data)
    for each in entries:
        parse_skip(each)
        if each.tag == b"CE":
            parse_continuation(each)
    found = parse_rock_ridge(entries)
    assert found.name is None or 0 < len(found.name) <= MAX_NAME_BYTES
    assert found.target is None or len(found.target) <= MAX_TARGET_BYTES


def _discs() -> list[bytes]:
    root = record(b"\0", 24, SECTOR_BYTES, 2)
    cut = SECTOR_BYTES // 8
    joliet = descriptor(2, root, 30, volume="Disc".encode("utf-16-be"), escapes=b"%/E")
    return [descriptor(1, root, 30)[:cut] + joliet[:cut] + boot_record(19)[:cut] + catalog(boot_entry(9))[:cut]]


def _entry_areas() -> list[bytes]:
    modes = b"PX\x24\x01" + both(0o100644) + both(1) + both(0) + both(0)
    link = b"SL\x0e\x01\0" + b"\x08\0" + b"\0\3etc" + b"\4\0"
    continuation = b"CE\x1c\x01" + both(30) + both(0) + both(100)
    packed = b"ZF\x10\x01pz\4\x0f" + both(9000)
    return [SP + ER, b"NM\x09\x01\0name" + modes + b"TF\x0c\x01\x02" + bytes(7) + continuation, link + packed]


def _grub(data: bytes) -> None:
    menu = parse_grub(data)
    assert menu.default is None or menu.default in menu.entries
    for number, entry in enumerate(menu.entries):
        f"{entry.name}{entry.undecided}".encode()
        if entry.undecided:
            continue
        try:
            grub_entry(menu, number)
        except FormatError as error:
            str(error).encode()


DISCS = (
    Entry("grub", _grub),
    Entry("disc", _disc, made=_discs, rounds=1000),
    Entry("disc_records", _records, made=lambda: [record(b"A.;1", 9, 5) + record(b"D", 8, 2048, 2, SP)]),
    Entry("el_torito", _el_torito, made=lambda: [catalog(boot_entry(9), boot_section(0xEF, boot_entry(8, 0)))[:256]]),
    Entry("rock_ridge", _rock_ridge, made=_entry_areas),
)
