"""FAT in its corners: what is in no image that mkfs.vfat and mtools wrote. Those are in tests/golden."""

from __future__ import annotations

import struct

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.core.errors import FileSystemError, FormatError, LimitError
from bootpath.core.extents import Extent
from bootpath.core.limits import limits_raised, spending
from bootpath.fs.readers.fat.fat import open_fat
from bootpath.fs.readers.fat.volume import parse_fat_boot_sector
from bootpath.fs.readers.files import DirectoryEntry, FileKind
from bootpath.fs.readers.open import open_files
from tests.support.filetrees import as_device, contents, fat_image, golden_image

SECTOR = 512
CONTENT = bytes(range(256)) * 10


class Volume:
    """A FAT16 volume that the project's own writer made, to be patched: 1 sector a cluster, no gaps."""

    def __init__(self) -> None:
        self.image = bytearray(fat_image(8 << 20, {"EFI/BOOT/BOOTX64.EFI": CONTENT, "A.TXT": b"a"}))
        self.geometry = parse_fat_boot_sector(bytes(self.image[:SECTOR]))
        assert (self.geometry.bits, self.geometry.cluster_bytes) == (16, SECTOR)

    def entry(self, short: bytes) -> int:
        """Where the directory entry with a padded short name is."""
        place = self.image.find(short, self.geometry.root.offset)
        assert place > 0
        return place

    def link(self, cluster: int, following: int) -> None:
        struct.pack_into("<H", self.image, self.geometry.fat.offset + 2 * cluster, following)

    def first_cluster(self, short: bytes) -> int:
        return int.from_bytes(self.image[self.entry(short) + 26 : self.entry(short) + 28], "little")

    def add(self, entries: bytes) -> None:
        """Put entries where the root directory ends."""
        root = self.geometry.root
        place = next(at for at in range(root.offset, root.end, 32) if self.image[at] == 0)
        self.image[place : place + len(entries)] = entries

    def device(self) -> MemoryDevice:
        return MemoryDevice(bytes(self.image))


def short_entry(name: bytes, *, nt: int = 0, attributes: int = 0x20, size: int = 0, cluster: int = 0) -> bytes:
    return struct.pack("<11sBBxHHHHHHHI", name, attributes, nt, 0, 0, 0, 0, 0x8000, 0x21, cluster, size)


def long_entries(name: str, short: bytes) -> bytes:
    checksum = 0
    for byte in short:
        checksum = ((checksum >> 1 | (checksum & 1) << 7) + byte) & 0xFF
    units = (name + "\0").encode("utf-16-le")
    units += b"\xff" * (-len(units) % 26)
    parts = [units[at : at + 26] for at in range(0, len(units), 26)]
    out = b""
    for number in range(len(parts), 0, -1):
        part, flag = parts[number - 1], 0x40 if number == len(parts) else 0
        out += bytes([number | flag]) + part[:10] + b"\x0f\0" + bytes([checksum]) + part[10:22] + b"\0\0" + part[22:]
    return out


def test_our_own_writer() -> None:
    files = open_files(Volume().device())
    assert files.list("/") == [DirectoryEntry("A.TXT", FileKind.FILE), DirectoryEntry("EFI", FileKind.DIRECTORY)]
    assert files.read_file("/efi/boot/bootx64.efi", 10_000) == CONTENT
    assert files.read("EFI/Boot/BOOTX64.EFI", 1000, 1000) == CONTENT[1000:2000]
    assert [extent.length for extent in files.extents("EFI/BOOT/BOOTX64.EFI")] == [len(CONTENT)]
    node = files.lookup("A.TXT")
    assert (node.kind, node.mode, node.mtime_ns) == (FileKind.FILE, 0o100644, 315532800 * 10**9)
    assert files.warnings == ()


def test_names_without_case() -> None:
    files = open_files(as_device(golden_image("fat16")))
    for name in ("Ünïcode näme with ß and 日本.txt", "üNÏCODE NÄME WITH ß AND 日本.TXT"):
        assert files.read_file(name, 100) == "grüße\n".encode()
    assert files.read_file("DEEP/A/b/C/d/E/f/G/FILE", 10) == b"deep\n"
    assert files.exists("MANY/ENTRYN~1"), "the short name of one of them"


def test_names() -> None:
    volume = Volume()
    good = b"LONGNA~1TXT"
    volume.add(
        short_entry(b"LOWER   TXT", nt=0x08)
        + short_entry(b"NAME    EXT", nt=0x10)
        + short_entry(b"\x05MLAUT     ")
        + b"\xe5"
        + short_entry(b"XELETED    ")[1:]
        + short_entry(b"MY VOLUME  ", attributes=0x08)
        + long_entries("Long name.text", good)
        + short_entry(good)
        + long_entries("wrong checksum", b"OTHER   TXT")
        + short_entry(b"ALONE      ")
        + long_entries("a name of more than thirteen units", b"CUT        ")[32:]
        + short_entry(b"CUT        ")
        + short_entry(b"READONLY   ", attributes=0x01)
    )
    files = open_fat(volume.device())
    names = [entry.name for entry in files.list("/")]
    assert set(names) == {
        "A.TXT",
        "EFI",
        "lower.TXT",
        "NAME.ext",
        "σMLAUT",
        "Long name.text",
        "ALONE",
        "CUT",
        "READONLY",
    }
    assert files.lookup("longna~1.txt") == files.lookup("LONG NAME.TEXT")
    assert files.lookup("readonly").permissions == 0o444
    assert not files.exists("wrong checksum")


@pytest.mark.parametrize("name", ["a/b", "..", "."])
def test_names_that_are_paths(name: str) -> None:
    volume = Volume()
    volume.add(long_entries(name, b"X          ") + short_entry(b"X          "))
    with pytest.raises(FormatError, match="entry with a wrong name"):
        open_fat(volume.device()).list("/")


def test_a_loop_in_a_chain() -> None:
    volume = Volume()
    first = volume.first_cluster(b"BOOTX64 EFI")
    volume.link(first + 2, first + 1)
    files = open_fat(volume.device())
    assert files.read("EFI/BOOT/BOOTX64.EFI", 0, 3 * SECTOR) == CONTENT[: 3 * SECTOR], "what is before the loop"
    with pytest.raises(FormatError, match=rf"vfat: corrupt: the chain through cluster {first + 1} is a loop"):
        files.read_file("EFI/BOOT/BOOTX64.EFI", 10_000)


@pytest.mark.parametrize(
    ("following", "match"),
    [
        (0, "which the FAT has as free; expected as many as the file has, found 2 clusters"),
        (1, "which the FAT has as reserved"),
        (0xFFF7, "which the FAT has as bad"),
        (0xFFF0, "which the FAT has as reserved"),
        (0x8000, "a chain leads to a cluster outside the volume"),
        (0xFFFF, "at least 5"),
    ],
)
def test_chains_that_break_off(following: int, match: str) -> None:
    """The file cannot be read, not here and not elsewhere; what stands before the break can."""
    volume = Volume()
    volume.link(volume.first_cluster(b"BOOTX64 EFI") + 1, following)
    files = open_fat(volume.device())
    with pytest.raises(FormatError, match=match):
        files.read_file("EFI/BOOT/BOOTX64.EFI", 10_000)
    with pytest.raises(FormatError, match=match):
        files.doubts("EFI/BOOT/BOOTX64.EFI")
    assert files.read("EFI/BOOT/BOOTX64.EFI", 0, 2 * SECTOR) == CONTENT[: 2 * SECTOR]


@pytest.mark.parametrize(
    ("following", "doubt"),
    [
        (0xFFF8, ""),
        (0xFFFF, ""),
        (0, "which the FAT has as free: loaders and Linux read it all the same"),
        (1, "which the FAT has as reserved"),
        (0xFFF7, "which the FAT has as bad"),
        (0xFFF0, "which the FAT has as reserved"),
        (0x8000, "which the FAT has as one with a cluster behind it that is outside the volume"),
        (2, "has more clusters than its size needs"),
    ],
)
@pytest.mark.parametrize("name", ["A.TXT", "EFI/BOOT/BOOTX64.EFI"])
def test_what_the_last_cluster_leads_to_is_read_by_nobody(name: str, following: int, doubt: str) -> None:
    volume = Volume()
    first = volume.first_cluster(b"A       TXT" if name == "A.TXT" else b"BOOTX64 EFI")
    volume.link(first if name == "A.TXT" else first + 4, following)
    for asked_first in (True, False):
        files = open_fat(volume.device())
        if asked_first:
            said = files.doubts(name)
            assert [doubt in each for each in said] == ([True] if doubt else [])
        assert files.read_file(name, 10_000) == (b"a" if name == "A.TXT" else CONTENT)


def test_a_chain_that_is_longer_than_the_file() -> None:
    volume = Volume()
    struct.pack_into("<I", volume.image, volume.entry(b"BOOTX64 EFI") + 28, 2 * SECTOR)
    files = open_fat(volume.device())
    assert files.read_file("EFI/BOOT/BOOTX64.EFI", 10_000) == CONTENT[: 2 * SECTOR]
    assert files.doubts("EFI/BOOT/BOOTX64.EFI") == (
        "has more clusters than its size needs, which loaders and Linux do not read",
    )
    with limits_raised(file_clusters=1), spending(), pytest.raises(LimitError, match="too many clusters"):
        files.doubts("EFI/BOOT/BOOTX64.EFI")


def test_a_file_without_content_has_no_doubts() -> None:
    volume = Volume()
    struct.pack_into("<I", volume.image, volume.entry(b"A       TXT") + 28, 0)
    assert open_fat(volume.device()).doubts("A.TXT") == ()


def test_a_directory_that_is_its_own_child() -> None:
    volume = Volume()
    cluster = volume.first_cluster(b"EFI        ")
    place = volume.entry(b"BOOT       ")
    struct.pack_into("<H", volume.image, place + 26, cluster)
    files = open_fat(volume.device())
    assert files.lookup("EFI/BOOT/BOOT/BOOT").kind is FileKind.DIRECTORY
    with pytest.raises(FormatError, match="reached twice"):
        list(files.walk())


def test_a_directory_without_a_cluster_is_the_root() -> None:
    """As ".." of a directory in the root is written; a walk must not go round."""
    volume = Volume()
    struct.pack_into("<H", volume.image, volume.entry(b"EFI        ") + 26, 0)
    with pytest.raises(FormatError, match="reached twice"):
        list(open_fat(volume.device()).walk())


def test_a_directory_without_end() -> None:
    """A chain of the whole volume, full of entries that are not used."""
    volume = Volume()
    for cluster in range(2, volume.geometry.clusters + 1):
        volume.link(cluster, cluster + 1)
    start = volume.geometry.data_start
    volume.image[start:] = b"\xe5" * (len(volume.image) - start)
    with pytest.raises(
        FormatError, match=r"directory has 16777728 bytes, expected at most 16777216|which the FAT has as free"
    ):
        open_fat(volume.device()).list("EFI")


def test_a_file_larger_than_its_volume() -> None:
    volume = Volume()
    struct.pack_into("<I", volume.image, volume.entry(b"A       TXT") + 28, 0xFFFFFFFF)
    files = open_fat(volume.device())
    with pytest.raises(FormatError, match="the cluster chain of a file is too short"):
        files.read("A.TXT", 1 << 31, 10)
    with pytest.raises(FileSystemError):
        files.read_file("A.TXT", 100)


def test_fat32_reads_the_active_fat() -> None:
    image = golden_image("fat32")
    geometry = parse_fat_boot_sector(bytes(image[:SECTOR]))
    second = parse_fat_boot_sector(_patched(image, 40, struct.pack("<H", 0x81)))
    assert second.fat == Extent(geometry.fat.end, geometry.fat.length)
    image[geometry.fat.offset : geometry.fat.end] = bytes(geometry.fat.length)
    image[40:42] = struct.pack("<H", 0x81)
    assert open_files(as_device(image)).read_file("vmlinuz", 100_000) == contents()["vmlinuz"]


def test_a_small_volume_is_fat32_by_its_fields() -> None:
    image = golden_image("fat32")
    sector = _patched(image, 32, struct.pack("<I", 4000))
    assert parse_fat_boot_sector(sector).bits == 32


def _patched(image: bytearray, offset: int, data: bytes) -> bytes:
    sector = bytearray(image[:SECTOR])
    sector[offset : offset + len(data)] = data
    return bytes(sector)


@pytest.mark.parametrize(
    ("offset", "data", "match"),
    [
        (510, b"\0\0", "signature"),
        (11, b"\0\0", "the sector size is not valid"),
        (11, b"\1\2", "the sector size is not valid"),
        (13, b"\0", "the number of sectors per cluster is not valid"),
        (13, b"\3", "the number of sectors per cluster is not valid"),
        (14, b"\0\0", "the reserved sectors or the FATs are missing; expected at least one of each, found 0 and 2"),
        (16, b"\0", "the reserved sectors or the FATs are missing; expected at least one of each, found 1 and 0"),
        (17, b"\0\0", "the volume has no root entries"),
        (19, b"\1\0", "the volume has too few sectors"),
        (22, b"\1\0", "wrong number of clusters"),
        (22, b"\xff\xff", "room for"),
    ],
)
def test_boot_sectors(offset: int, data: bytes, match: str) -> None:
    with pytest.raises(FormatError, match=match):
        parse_fat_boot_sector(_patched(Volume().image, offset, data))


@pytest.mark.parametrize(
    ("offset", "data", "match"),
    [
        (42, b"\1\0", "the version of FAT32 is unknown"),
        (44, b"\0\0\0\0", "the active FAT or the root cluster is outside the volume"),
        (40, b"\x82\0", "active FAT"),
        (36, bytes(4), "too few sectors"),
    ],
)
def test_fat32_boot_sectors(offset: int, data: bytes, match: str) -> None:
    with pytest.raises(FormatError, match=match):
        parse_fat_boot_sector(_patched(golden_image("fat32"), offset, data))


def test_half_a_sector() -> None:
    with pytest.raises(FormatError):
        parse_fat_boot_sector(bytes(100))
