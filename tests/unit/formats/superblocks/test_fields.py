"""Fields of superblocks that are sound to their checksum and make no sense."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.core.errors import FormatError
from bootpath.formats.superblocks.ext import ExtSuperblock
from bootpath.formats.superblocks.fat import FatSuperblock
from bootpath.formats.superblocks.registry import probe_superblocks, scan_superblocks
from tests.support.superblocks import SEALS, device, head


def changed(name: str, offset: int, code: str, value: int | bytes) -> MemoryDevice:
    image = head(name)
    struct.pack_into(code, image, offset, value)
    if name in SEALS:
        SEALS[name](image)
    return device(name, image)


@pytest.mark.parametrize(
    ("name", "offset", "code", "value", "message"),
    [
        ("ext4", 1024 + 24, "<I", 7, r"ext: the block size is out of range; expected 2\^10 to 2\^16, found 2\^17"),
        ("ext4", 1024 + 4, "<I", 0, "ext: the number of blocks is out of range"),
        ("ext4", 1024 + 336, "<I", 2**32 - 1, "ext: the number of blocks is out of range"),
        ("ext4", 1024 + 76, "<I", 2, "ext: the revision is not supported; expected 1, or 0 and no features, found 2"),
        ("ext4", 1024 + 88, "<H", 100, "ext: the inode size is not valid; expected a power of two from 128 to 1024"),
        ("ext4", 1024 + 373, "<B", 2, "ext: the checksum type is unknown; expected 1, crc32c, found 2"),
        ("ext2", 1024 + 88, "<H", 0, "ext: the inode size is not valid"),
        ("erofs", 1024 + 36, "<I", 0, "erofs: the number of blocks is zero; expected at least one, found 0"),
        ("erofs", 1024 + 12, "<B", 20, "erofs: the block size is out of range"),
        ("squashfs", 28, "<H", 3, "squashfs: the version is not supported; expected 4.0, found 3.0"),
        ("squashfs", 12, "<I", 12345, "squashfs: the block size is not valid"),
        ("squashfs", 22, "<H", 65535, "squashfs: log2 of the block size does not match the block size; expected 16"),
        ("squashfs", 20, "<H", 9, "squashfs: the compressor is unknown"),
        ("squashfs", 40, "<Q", 2**63, "squashfs: the number of bytes used is out of range"),
        ("squashfs", 64, "<Q", 2**40, "squashfs: the inode table is outside the file system; expected byte 96 to 1841"),
        ("squashfs", 80, "<Q", 2**40, "squashfs: the fragment table is outside the file system"),
        ("btrfs-crc32c", 65536 + 48, "<Q", 0, "btrfs: the superblock's own offset is wrong; expected 65536, found 0"),
        ("btrfs-crc32c", 65536 + 144, "<I", 1, "btrfs: the sector size is not valid"),
        ("btrfs-crc32c", 65536 + 148, "<I", 0, "btrfs: the node size is not valid"),
        ("btrfs-crc32c", 65536 + 196, "<H", 4, "btrfs: the checksum type is unknown; expected 0 to 3, found 4"),
        ("btrfs-crc32c", 65536 + 209, "<Q", 2**63, "btrfs: the size of this device is out of range"),
        ("btrfs-crc32c", 65536 + 136, "<Q", 0, "btrfs: the file system is smaller than this device"),
        ("xfs", 100, ">H", 0xB4A6, "xfs: the version is not supported; expected 4 or 5, found 6"),
        ("xfs4", 102, ">H", 0, "xfs: the sector size is not valid"),
        ("xfs", 4, ">I", 5, "xfs: the block size is not valid"),
        ("xfs", 104, ">H", 0, "xfs: the inode size is not valid"),
        ("xfs", 120, ">B", 13, "xfs: log2 of the block size does not match the block size; expected 12, found 13"),
        ("xfs", 8, ">Q", 2**60, "xfs: the number of blocks does not match the groups"),
        ("xfs", 88, ">I", 0, "xfs: the number of blocks does not match the groups"),
        ("fat12", 11, "<H", 500, "vfat: the sector size is not valid"),
        ("fat12", 13, "<B", 3, "vfat: the number of sectors per cluster is not valid"),
        ("fat12", 14, "<H", 0, "vfat: the number of reserved sectors is zero"),
        ("fat12", 16, "<B", 0, "vfat: the number of FATs is out of range"),
        ("fat12", 21, "<B", 1, "vfat: the media byte is not valid"),
        ("fat12", 19, "<H", 3, "vfat: the number of sectors is too small"),
        ("fat12", 17, "<H", 0, "vfat: the root directory is in both places, or in none"),
        ("fat16", 22, "<H", 1, "vfat: the number of sectors per FAT is too small; expected enough for 8182 clusters"),
        ("fat32", 36, "<I", 0, "vfat: the number of sectors per FAT is zero"),
        ("fat32", 44, "<I", 1, "vfat: the root directory is in both places, or in none"),
        ("exfat", 108, "<B", 200, "exfat: the sector size is out of range"),
        ("exfat", 109, "<B", 200, "exfat: the cluster size is out of range"),
        ("exfat", 104, "<H", 0x0200, "exfat: the revision is not supported; expected 1.xx, found 2.00"),
        ("exfat", 72, "<Q", 2**60, "exfat: the clusters do not fit into the volume"),
        ("exfat", 92, "<I", 0, "exfat: the clusters do not fit into the volume"),
        ("exfat", 96, "<I", 1, "exfat: the root directory's first cluster is out of range"),
        ("swap", 1024, "<I", 2, "swap: the version is not supported; expected 1, found 2"),
        ("swap", 1028, "<I", 0, "swap: the number of the last page is zero"),
        ("swap", 1032, "<I", 1000, "swap: the number of bad pages is too large"),
        ("swap", 4086, "10s", b"SWAP-SPACE", "swap: the version is not supported; expected 1, found 0"),
    ],
)
def test_a_field_out_of_range(name: str, offset: int, code: str, value: int | bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        probe_superblocks(changed(name, offset, code, value))


@pytest.mark.parametrize(
    ("name", "offset", "code", "value"),
    [
        ("ext4", 1080, "<H", 0),
        ("fat12", 510, "<H", 0),
        ("fat12", 0, "<B", 0),
        ("fat12", 3, "8s", b"NTFS    "),
        ("exfat", 3, "8s", b"EXFAT\0\0\0"),
        ("swap", 4086, "10s", b"SWAPSPACE3"),
    ],
)
def test_what_is_not_there(name: str, offset: int, code: str, value: int | bytes) -> None:
    assert scan_superblocks(changed(name, offset, code, value)).found == ()


def test_boot_code_is_no_damaged_fat() -> None:
    """A boot sector with jump and signature, and no word of FAT in it."""
    sector = bytearray(b"\xeb\x63\x90" + b"code" * 200)[:510] + b"\x55\xaa"
    assert scan_superblocks(MemoryDevice(bytes(sector) + bytes(4096 - 512))).faults == ()


def test_fat_without_the_word_is_found_by_its_fields() -> None:
    image = head("fat12")
    image[38] = 0  # no extended boot signature: neither serial, label nor word
    image[54:62] = bytes(8)
    (found,) = probe_superblocks(device("fat12", image))
    assert isinstance(found, FatSuperblock)
    assert (found.bits, found.uuid, found.boot_label, found.label) == (12, None, "", "TWELVE")


def test_the_root_directory_has_the_label() -> None:
    """Deleted entries and parts of long names are passed over; 0x05 stands for 0xe5."""
    image = head("fat12")
    (found,) = probe_superblocks(device("fat12", image))
    root = image.index(b"TWELVE     \x08")
    entry = image[root : root + 32]
    gone = b"\xe5" + entry[1:]
    long_name = entry[:11] + b"\x0f" + entry[12:]
    label = b"\x05LABEL     \x08" + entry[12:]
    image[root : root + 96] = gone + long_name + label
    (found,) = probe_superblocks(device("fat12", image))
    assert found.label == "σLABEL"  # 0xe5 in code page 437
    image[root : root + 32] = bytes(32)
    (found,) = probe_superblocks(device("fat12", image))
    assert isinstance(found, FatSuperblock)
    assert (found.label, found.boot_label) == ("", "TWELVE")  # as for libblkid, and so for udev


def exfat_with_label_behind(links: Sequence[int]) -> MemoryDevice:
    """An exFAT whose label is in the last of these clusters of the root directory, which the first of them begins."""
    image = head("exfat")
    fat, _, heap, clusters, root = struct.unpack_from("<5I", image, 80)
    sector, cluster = 1 << image[108], 1 << (image[108] + image[109])
    assert max(links) < clusters + 2
    places = [heap * sector + (number - 2) * cluster for number in (root, *links)]
    image.extend(bytes(max(0, max(places) + cluster - len(image))))
    label = image[places[0] : places[0] + 32]
    assert label[0] == 0x83
    for number, then, place in zip((root, *links), (*links, 0xFFFFFFFF), places, strict=True):
        struct.pack_into("<I", image, fat * sector + 4 * number, then)
        image[place : place + cluster] = b"\x05".ljust(32, b"\0") * (cluster // 32)  # an entry that is not in use
    image[places[-1] + 64 : places[-1] + 96] = label
    return device("exfat", image)


def test_the_label_of_an_exfat_in_another_cluster() -> None:
    (plain,) = probe_superblocks(device("exfat", head("exfat")))
    assert plain.label
    for links in ((9,), (9, 7, 8)):
        (found,) = probe_superblocks(exfat_with_label_behind(links))
        assert found.label == plain.label
    (found,) = probe_superblocks(exfat_with_label_behind((9, 9)))  # a chain that does not end
    assert found.label in ("", plain.label)


def test_kinds_of_ext() -> None:
    for compat, incompat, ro_compat, kind in (
        (0, 0x2, 0x3, "ext2"),
        (0x4, 0x16, 0x7, "ext3"),
        (0, 0x42, 0x3, "ext4"),
        (0x4, 0x2, 0x8, "ext4"),
        (0, 0x8, 0, "jbd"),
    ):
        image = head("ext2")
        struct.pack_into("<III", image, 1024 + 92, compat, incompat, ro_compat)
        (found,) = probe_superblocks(device("ext2", image))
        assert isinstance(found, ExtSuperblock)
        assert (found.kind, found.needs_recovery) == (kind, bool(incompat & 4))


def test_the_oldest_ext2_has_neither_uuid_nor_features() -> None:
    image = head("ext2")
    image[1024 + 76 : 1024 + 136] = bytes(60)
    (found,) = probe_superblocks(device("ext2", image))
    assert isinstance(found, ExtSuperblock)
    assert (found.kind, found.uuid, found.label, found.inode_bytes) == ("ext2", None, "", 128)


def test_a_hibernated_system() -> None:
    (found,) = probe_superblocks(changed("swap", 4086, "10s", b"S1SUSPEND\0"))
    assert found.kind == "swsuspend"


def test_swap_of_the_other_byte_order() -> None:
    image = head("swap")
    numbers = struct.unpack_from("<III", image, 1024)
    struct.pack_into(">III", image, 1024, *numbers)
    (found,) = probe_superblocks(device("swap", image))
    assert found.size_bytes == 1 << 20


def test_erofs_of_48_bits() -> None:
    image = head("erofs")
    struct.pack_into("<H", image, 1024 + 14, 1)
    struct.pack_into("<I", image, 1024 + 80, 0x80)
    SEALS["erofs"](image)
    (found,) = probe_superblocks(device("erofs", image))
    assert found.size_bytes == 20480 + (4096 << 32)


def test_text_that_is_not_utf8() -> None:
    (found,) = probe_superblocks(changed("ext2", 1024 + 120, "4s", b"\xff\xfe\0x"))
    assert found.label == "\ufffd\ufffd"
