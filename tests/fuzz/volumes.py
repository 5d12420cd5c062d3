"""The entries of what is read from devices: superblocks, LUKS2, LVM2, UBI.

An input is the part of an image that says something, put into an image that is sound. A checksum would stop nearly
every one, so that each is tried twice: as it is, and with its checksums made right.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.core.errors import FormatError, TableError
from bootpath.formats.lvm2.group import parse_volume_group
from bootpath.formats.lvm2.label import lvm_crc, read_lvm2
from bootpath.formats.lvm2.volumes import VolumeGroup
from bootpath.formats.superblocks.lukssegments import parse_luks_metadata
from bootpath.formats.superblocks.registry import scan_superblocks
from bootpath.formats.ubi.attach import check_ubi_volume, read_ubi
from bootpath.formats.ubi.headers import RECORD_BYTES, ubi_crc
from bootpath.formats.ubi.table import ubi_table
from tests.fuzz.entry import Entry
from tests.support.lvmdisk import AREA_OFFSET, disk, group, logical, physical, segment
from tests.support.superblocks import NAMES, SEALS, blkid_says, device, head
from tests.support.ubiimage import DATA, PEB, VID, Flash, content_of, copied_header, record, static_header, vid_header

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
    "ubifs": (0, 260),
    "stale": (0, 96),
    "iso9660": (32768, 2048),
    "iso9660joliet": (32768, 3 * 2048),
    "bridge": (256 * 2048, 512),
    "udf": (256 * 512, 512),
}
SMALL_BYTES = 1 << 21
LVM_LABEL, LVM_AREA = (512, 512), (AREA_OFFSET, 80)


def _put(image: bytearray, place: int, length: int, data: bytes) -> None:
    """The data in its place, cut or filled up."""
    image[place : place + length] = data[:length].ljust(length, b"\0")


def _whole_groups(found: VolumeGroup) -> None:
    """Every volume has a table of its size, or a refusal."""
    for volume in found.logical_volumes:
        if found.refusal(volume) is None:
            assert found.table(volume).size_bytes == found.size_bytes(volume)
        else:
            with pytest.raises(TableError):
                found.table(volume)


def _lvm_group(data: bytes) -> None:
    _whole_groups(parse_volume_group(data.decode("utf-8", "replace")))


def _luks_metadata(data: bytes) -> None:
    found = parse_luks_metadata(data)
    assert found.segments
    assert found.sector_bytes in (512, 1024, 2048, 4096)


def _scan(disk: MemoryDevice) -> None:
    """Only values and FormatErrors, all of which can be shown."""
    result = scan_superblocks(disk)
    for found in result.found:
        assert 0 <= found.size_bytes < 1 << 64
        assert found.block_bytes > 0
        f"{found.label}{found.uuid}{found.version}".encode()
    for fault in result.faults:
        str(fault).encode()


def _first_sectors(data: bytes) -> None:
    """A disk that is nothing but its beginning."""
    _scan(MemoryDevice(data.ljust(-(-max(len(data), 1) // 512) * 512, b"\0")))


def superblock_samples() -> Sequence[bytes]:
    """The number of an image, and its superblock."""
    parts = ((number, head(name), *PLACES[name]) for number, name in enumerate(NAMES))
    return [bytes([number]) + image[place : place + length] for number, image, place, length in parts]


def _superblock(data: bytes) -> None:
    """In a device that is cut where the memory would be large, and sealed in one of its full size."""
    name = NAMES[data[0] % len(NAMES) if data else 0]
    image = head(name)
    _put(image, *PLACES[name], data[1:])
    small = min(int(blkid_says(name)["SIZE"]), SMALL_BYTES)
    _scan(MemoryDevice(bytes(image[:small]).ljust(-(-small // 512) * 512, b"\0")))
    if name in SEALS:
        try:
            SEALS[name](image)
        except struct.error:  # a sector size that leaves no room for the checksum
            return
        _scan(device(name, image))


def lvm_text() -> str:
    return group(
        {"pv0": physical(1, 100), "pv1": physical(2, 100)},
        {"a": logical(10, segment(0, 4, "pv0", 0, "pv1", 0, size=8), segment(4, 2, "pv0", 20))},
    )


def lvm_sample() -> bytes:
    """Label, header of the area, text."""
    image = disk(1, lvm_text(), size=1 << 16)
    parts = (bytes(image[place : place + length]) for place, length in (LVM_LABEL, LVM_AREA))
    return b"".join(parts) + lvm_text().encode()


def _seal_lvm(image: bytearray) -> None:
    struct.pack_into("<I", image, 512 + 16, lvm_crc(bytes(image[512 + 20 : 1024])))
    struct.pack_into("<I", image, AREA_OFFSET, lvm_crc(bytes(image[AREA_OFFSET + 4 : AREA_OFFSET + 512])))


def _read_lvm(image: bytearray) -> None:
    try:
        member = read_lvm2(MemoryDevice(bytes(image)))
    except FormatError as error:
        str(error).encode()
        return
    for found in member.groups:
        _whole_groups(found)
    for fault in member.faults:
        str(fault).encode()


def _lvm2(data: bytes) -> None:
    """The headers over a sound text, also sealed; and the text below headers that say so."""
    image = disk(1, lvm_text(), size=1 << 16)
    _put(image, *LVM_LABEL, data)
    _put(image, *LVM_AREA, data[LVM_LABEL[1] :])
    _read_lvm(image)
    _seal_lvm(image)
    _read_lvm(image)
    image = disk(1, "x", size=1 << 16)
    text = data[LVM_LABEL[1] + LVM_AREA[1] :][:8000] + b"\0"
    _put(image, AREA_OFFSET + 512, len(text), text)
    struct.pack_into("<QQII", image, AREA_OFFSET + 40, 512, len(text), lvm_crc(text), 0)
    _seal_lvm(image)
    _read_lvm(image)


UBI_HEADERS = ((0, 64), (VID, 64))
UBI_RECORDS = ((DATA, RECORD_BYTES), (DATA + 5 * RECORD_BYTES, RECORD_BYTES))
UBI_PARTS = [(peb, *part) for peb in range(5) for part in UBI_HEADERS + (UBI_RECORDS if peb < 2 else ())]
"""Which eraseblock, where in it, how long: the headers of all that are not free, and two records of both tables."""


def ubi_image() -> Flash:
    image = Flash({0: record("data", 4), 5: record("static", 4, kind=2)}).layout()
    image.peb(vid_header(0, 1, sqnum=5), content_of(1))
    image.peb(copied_header(0, 1, content_of(2, 900), sqnum=6), content_of(2, 900))
    image.peb(static_header(5, 0, content_of(3, 1000), 1, sqnum=7), content_of(3, 1000))
    for _ in range(4):
        image.peb()
    return image


def check_ubi(image: MemoryDevice, peb_bytes: int | None) -> None:
    """Each volume has a table of its size, or a refusal; its content is there or said not to be."""
    found = read_ubi(image, peb_bytes)
    for volume in found.volumes:
        if volume.refusal is None:
            assert ubi_table(found, volume, "dev").size_bytes == volume.size_bytes // 512 * 512
        else:
            str(volume.refusal).encode()
    for volume in found.volumes:
        check_ubi_volume(image, found, volume)


def ubi_sample() -> bytes:
    """How to read it, and its parts."""
    pebs = ubi_image().pebs
    return b"\0" + b"".join(pebs[peb][place : place + length] for peb, place, length in UBI_PARTS)


def _ubi(data: bytes) -> None:
    """The first byte says how large an eraseblock is said to be, and in which ones checksums are left as they are."""
    how, rest = (data[0], data[1:]) if data else (0, b"")
    pebs = [bytearray(peb) for peb in ubi_image().pebs]
    for peb, place, length in UBI_PARTS:
        part, rest = rest[:length], rest[length:]
        _put(pebs[peb], place, length, part)
        if not how >> 2 + peb & 1:
            struct.pack_into(">I", pebs[peb], place + length - 4, ubi_crc(bytes(pebs[peb][place : place + length - 4])))
    check_ubi(MemoryDevice(b"".join(pebs)), (None, PEB, PEB // 2, PEB * 2)[how & 3])


TEXTS = (Entry("lvm_group", _lvm_group), Entry("luks_metadata", _luks_metadata))
SCANNED = (
    Entry("first_sectors", _first_sectors, made=lambda: [bytes(512)], refuses=False, max_bytes=8192, rounds=1000),
    Entry("superblock", _superblock, made=superblock_samples, refuses=False, max_bytes=5001, rounds=1000),
    Entry("lvm2", _lvm2, made=lambda: [lvm_sample()], refuses=False, rounds=1000),
    Entry("ubi", _ubi, made=lambda: [ubi_sample()], rounds=1000),
)
