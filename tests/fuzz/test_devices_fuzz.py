"""The rule of test_formats_fuzz for what is read from devices: superblocks, LVM2, UBI.

A checksum would stop nearly every mutant, so that each is tried twice: as it is, and with its checksums made right.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from bootpath.block import MemoryDevice
from bootpath.core import FormatError, TableError
from bootpath.formats import lvm2, lvmgroup, lvmtext, superblocks, ubi, ubiheaders
from bootpath.formats.lvm2 import lvm_crc, read_lvm2
from bootpath.formats.lvmgroup import parse_volume_group
from bootpath.formats.lvmvolumes import VolumeGroup
from bootpath.formats.superblocks import parse_luks_metadata, scan_superblocks
from bootpath.formats.ubi import check_ubi_volume, read_ubi
from bootpath.formats.ubiheaders import RECORD_BYTES, ubi_crc
from bootpath.formats.ubitable import ubi_table
from tests.fuzz.mutation import mutate, mutations
from tests.support.lvmdisk import AREA_OFFSET, disk, group, logical, physical, segment
from tests.support.superblocks import NAMES, SEALS, blkid_says, device, head
from tests.support.ubiimage import DATA, PEB, VID, Flash, content_of, copied_header, record, static_header, vid_header

CORPUS = Path(__file__).parent / "corpus"
UBI_GOLDEN = Path(__file__).parents[1] / "golden" / "ubi"
ROUNDS = 3000

# What of an image is worth mutating: the superblock, in bytes.
PLACES = {
    **dict.fromkeys(("ext2", "ext3", "ext4", "jbd", "erofs"), (1024, 1024)),
    **dict.fromkeys(("fat12", "fat16", "fat32", "xfs", "xfs4"), (0, 512)),
    **dict.fromkeys(("btrfs-crc32c", "btrfs-sha256", "btrfs-blake2", "btrfs-xxhash"), (65536, 600)),
    "squashfs": (0, 96),
    "exfat": (0, 512),
    "swap": (1024, 64),
    "swap64k": (1024, 64),
    "luks1": (0, 600),
    "luks2": (0, 5000),
    "stale": (0, 96),
}


def whole_groups(found: VolumeGroup) -> None:
    """Every volume has a table of its size, or a refusal."""
    for volume in found.logical_volumes:
        if found.refusal(volume) is None:
            assert found.table(volume).size_bytes == found.size_bytes(volume)
        else:
            with pytest.raises(TableError):
                found.table(volume)


def _lvm_group(data: bytes) -> None:
    whole_groups(parse_volume_group(data.decode("utf-8", "replace")))


def _luks_metadata(data: bytes) -> None:
    found = parse_luks_metadata(data)
    assert found.segments
    assert found.sector_bytes in (512, 1024, 2048, 4096)


TEXTS: dict[str, Callable[[bytes], None]] = {"lvm_group": _lvm_group, "luks_metadata": _luks_metadata}
TEXT = pytest.mark.parametrize("name", TEXTS)


def value_or_format_error(parse: Callable[[bytes], None], data: bytes) -> bool:
    """True for a value. Any other exception is the bug that fuzzing looks for."""
    try:
        parse(data)
    except FormatError as error:
        str(error).encode()
        return False
    return True


@TEXT
def test_corpus(name: str) -> None:
    paths = sorted((CORPUS / name).iterdir())
    verdicts = {path.name: value_or_format_error(TEXTS[name], path.read_bytes()) for path in paths}
    assert verdicts == {file: file.startswith("good") for file in verdicts}
    assert set(verdicts.values()) == {True, False}


@TEXT
def test_mutants(name: str) -> None:
    for data in mutations([path.read_bytes() for path in sorted((CORPUS / name).iterdir())], seed=1, count=ROUNDS):
        value_or_format_error(TEXTS[name], data)


def check_scan(disk: MemoryDevice) -> None:
    """Only values and FormatErrors, all of which can be shown."""
    result = scan_superblocks(disk)
    for found in result.found:
        assert 0 <= found.size_bytes < 1 << 64
        assert found.block_bytes > 0
        f"{found.label}{found.uuid}{found.version}".encode()
    for fault in result.faults:
        str(fault).encode()


@pytest.mark.parametrize("name", NAMES)
def test_mutants_of_superblocks(name: str) -> None:
    random = Random(name)
    sound = head(name)
    place, length = PLACES[name]
    small = min(int(blkid_says(name)["SIZE"]), 1 << 21)
    for _ in range(ROUNDS // 20):
        image = sound.copy()
        image[place : place + length] = mutate(bytes(image[place : place + length]), random)[:length].ljust(
            length, b"\0"
        )
        check_scan(MemoryDevice(bytes(image[:small]).ljust(-(-small // 512) * 512, b"\0")))
        if name in SEALS:
            try:
                SEALS[name](image)
            except struct.error:  # a sector size that leaves no room for the checksum
                continue
            check_scan(device(name, image))


def test_noise() -> None:
    random = Random(2)
    for _ in range(100):
        check_scan(MemoryDevice(random.randbytes(512 * random.randrange(1, 40))))


def lvm_text(data: bytes) -> bytearray:
    """A disk whose metadata text is `data`, its checksums right."""
    image = disk(1, "x", size=1 << 16)
    raw = data[:8000] + b"\0"
    image[AREA_OFFSET + 512 : AREA_OFFSET + 512 + len(raw)] = raw
    struct.pack_into("<QQII", image, AREA_OFFSET + 40, 512, len(raw), lvm_crc(raw), 0)
    struct.pack_into("<I", image, AREA_OFFSET, lvm_crc(bytes(image[AREA_OFFSET + 4 : AREA_OFFSET + 512])))
    return image


def seal_lvm(image: bytearray) -> None:
    struct.pack_into("<I", image, 512 + 16, lvm_crc(bytes(image[512 + 20 : 1024])))
    struct.pack_into("<I", image, AREA_OFFSET, lvm_crc(bytes(image[AREA_OFFSET + 4 : AREA_OFFSET + 512])))


def check_lvm(image: bytearray) -> None:
    try:
        member = read_lvm2(MemoryDevice(bytes(image)))
    except FormatError as error:
        str(error).encode()
        return
    for found in member.groups:
        whole_groups(found)
    for fault in member.faults:
        str(fault).encode()


def test_mutants_of_lvm2_disks() -> None:
    random = Random(5)
    text = group(
        {"pv0": physical(1, 100), "pv1": physical(2, 100)},
        {"a": logical(10, segment(0, 4, "pv0", 0, "pv1", 0, size=8), segment(4, 2, "pv0", 20))},
    )
    sound = disk(1, text, size=1 << 16)
    for _ in range(ROUNDS // 3):
        image = sound.copy()
        for place, length in ((512, 512), (AREA_OFFSET, 80)):
            if random.randrange(2):
                part = mutate(bytes(image[place : place + length]), random)[:length].ljust(length, b"\0")
                image[place : place + length] = part
        check_lvm(image)
        seal_lvm(image)
        check_lvm(image)
        check_lvm(lvm_text(mutate(text.encode(), random)))


def ubi_image() -> Flash:
    image = Flash({0: record("data", 4), 5: record("static", 4, kind=2)}).layout()
    image.peb(vid_header(0, 1, sqnum=5), content_of(1))
    image.peb(copied_header(0, 1, content_of(2, 900), sqnum=6), content_of(2, 900))
    image.peb(static_header(5, 0, content_of(3, 1000), 1, sqnum=7), content_of(3, 1000))
    for _ in range(4):
        image.peb()
    return image


def check_ubi(image: MemoryDevice, peb_bytes: int | None) -> None:
    try:
        found = read_ubi(image, peb_bytes)
        for volume in found.volumes:
            if volume.refusal is None:
                assert ubi_table(found, volume, "dev").size_bytes == volume.size_bytes // 512 * 512
            else:
                str(volume.refusal).encode()
        for volume in found.volumes:
            check_ubi_volume(image, found, volume)
    except FormatError as error:
        str(error).encode()


def test_mutants_of_ubi_images() -> None:
    """Headers and records, of some eraseblocks at a time, with their checksums right three times of four."""
    random = Random(6)
    sound = ubi_image().pebs
    for _ in range(ROUNDS // 3):
        pebs = [bytearray(peb) for peb in sound]
        for peb in random.sample(pebs, random.randint(1, 3)):
            place, length = random.choice(
                ((0, 64), (VID, 64), (DATA, RECORD_BYTES), (DATA + 5 * RECORD_BYTES, RECORD_BYTES))
            )
            peb[place : place + length] = mutate(bytes(peb[place : place + length]), random)[:length].ljust(
                length, b"\0"
            )
            if random.randrange(4):
                struct.pack_into(">I", peb, place + length - 4, ubi_crc(bytes(peb[place : place + length - 4])))
        image = MemoryDevice(b"".join(bytes(peb) for peb in pebs))
        check_ubi(image, random.choice((None, PEB, PEB // 2, PEB * 2)))


def test_mutants_of_what_ubinize_wrote() -> None:
    random = Random(7)
    sound = gzip.decompress((UBI_GOLDEN / "nand.img.gz").read_bytes())
    for _ in range(ROUNDS // 10):
        image = bytearray(sound)
        for _ in range(random.randint(1, 4)):
            image[random.randrange(len(image))] ^= 1 << random.randrange(8)
        end = random.choice((len(image), len(image), random.randrange(1, len(image) // 512) * 512))
        check_ubi(MemoryDevice(bytes(image[:end])), random.choice((None, 16384)))


def test_every_parser_is_fuzzed() -> None:
    """Those that take bytes are reached through these, which is what the mutants above are given to."""
    modules = (lvm2, lvmgroup, lvmtext, ubi, ubiheaders, superblocks)
    parsers = {name for module in modules for name in vars(module) if name.startswith(("parse_", "read_"))}
    reached = {
        "read_lvm2": {"read_label", "parse_volume_group", "parse_lvm_text"},
        "read_ubi": {"parse_ec_header", "parse_vid_header", "parse_volume_table"},
        "check_ubi_volume": {"read_leb"},
        "scan_superblocks": {"parse_luks_metadata"},
    }
    assert parsers == {*reached, *(name for names in reached.values() for name in names)} - {
        "check_ubi_volume",
        "scan_superblocks",
    }
