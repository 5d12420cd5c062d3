"""erofs in its corners: what is refused by name, and images that lie. What mkfs.erofs writes is in tests/golden."""

from __future__ import annotations

import errno
import struct
from dataclasses import replace

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.core.errors import FileSystemError, FormatError
from bootpath.formats.crc32c import crc32c_update
from bootpath.fs.readers.erofs.erofs import ErofsTree, open_erofs
from bootpath.fs.readers.erofs.index import CompressedExtent, CompressedIndex, ExtentStorage, parse_index_header
from bootpath.fs.readers.source import Source
from bootpath.fs.readers.treefiles import TreeFiles
from tests.support.filetrees import as_device, contents, golden_image

SUPER = 1024


class Patient:
    """A golden image to be changed."""

    def __init__(self, name: str) -> None:
        self.image = golden_image(name)

    def files(self) -> TreeFiles[int]:
        return open_erofs(as_device(self.image))

    def tree(self) -> ErofsTree:
        found = self.files().tree
        assert isinstance(found, ErofsTree)
        return found

    def place(self, path: str) -> int:
        """The byte of an inode."""
        (meta,) = struct.unpack_from("<I", self.image, SUPER + 40)
        block = 1 << self.image[SUPER + 12]
        return int(meta) * block + self.files().lookup(path, follow=False).id * 32

    def end(self, path: str) -> int:
        """The byte behind an inode and its attributes."""
        place = self.place(path)
        form, xattrs = struct.unpack_from("<HH", self.image, place)
        return place + (64 if form & 1 else 32) + (12 + 4 * (xattrs - 1) if xattrs else 0)

    def put(self, place: int, form: str, *values: int) -> None:
        struct.pack_into("<" + form, self.image, place, *values)
        self.seal()

    def seal(self) -> None:
        """The checksum of the superblock's block, in which inodes and directories are too."""
        block = bytearray(self.image[SUPER : 1 << self.image[SUPER + 12]])
        block[4:8] = bytes(4)
        struct.pack_into("<I", self.image, SUPER + 4, crc32c_update(0xFFFFFFFF, bytes(block)))


@pytest.mark.parametrize(
    ("flag", "name"), [(0x80, "48bit"), (0x100, "metabox"), (0x200, "0x200"), (0x480, "48bit, 0x400")]
)
def test_features_that_are_not_known_are_named(flag: int, name: str) -> None:
    patient = Patient("erofs-lz4")
    patient.put(SUPER + 80, "I", flag)
    with pytest.raises(FormatError, match=rf"image: erofs: cannot be read: .* not known here \({name}\)"):
        patient.files()


def test_the_superblock_is_checked() -> None:
    patient = Patient("erofs-plain")
    patient.image[SUPER + 20] ^= 1
    with pytest.raises(FormatError, match="checksum"):
        patient.files()
    with pytest.raises(FormatError, match="memory: erofs: there is no superblock at byte 1024"):
        open_erofs(MemoryDevice(4096))


def test_data_on_another_device() -> None:
    patient = Patient("erofs-chunkindex")
    place = patient.end("vmlinuz")
    place += -place % 8
    patient.put(place + 2, "H", 1)
    with pytest.raises(FileSystemError, match="data on another device, number 1") as caught:
        patient.files().read_file("vmlinuz", 100_000)
    assert caught.value.errno == errno.EOPNOTSUPP


def test_chunks_that_are_holes() -> None:
    patient = Patient("erofs-chunkindex")
    place = patient.end("vmlinuz")
    place += -place % 8
    patient.put(place + 4, "I", 0xFFFFFFFF)
    chunk_bytes = 4096 << (struct.unpack_from("<H", patient.image, patient.place("vmlinuz") + 16)[0] & 0x1F)
    data = patient.files().read_file("vmlinuz", 100_000)
    assert data == bytes(chunk_bytes) + contents()["vmlinuz"][chunk_bytes:]
    assert data != contents()["vmlinuz"]


@pytest.mark.parametrize(
    ("offset", "form", "value", "match"),
    [
        (0, "H", 0x20, "is not valid; found format 0x20"),
        (0, "H", 5 << 1, "is not valid; found format 0xa"),
        (4, "H", 0, "mode 0o0"),
        (8, "Q", 1 << 63, "bytes"),
    ],
)
def test_inodes_that_lie(offset: int, form: str, value: int, match: str) -> None:
    patient = Patient("erofs-plain")
    place = patient.place("vmlinuz")
    assert patient.image[place] & 1 or form != "Q", "an extended inode"
    patient.put(place + offset, form, value)
    with pytest.raises(FormatError, match=match):
        patient.files().lookup("vmlinuz")


def test_a_size_that_is_not_on_the_device() -> None:
    patient = Patient("erofs-plain")
    patient.put(patient.place("vmlinuz") + 8, "Q", 1 << 60)
    with pytest.raises(FormatError, match=r"are not on the device|cross a block"):
        patient.files().read("vmlinuz", 0, 1 << 50)
    with pytest.raises(FileSystemError, match="are allowed"):
        patient.files().read_file("vmlinuz", 1 << 20)


@pytest.mark.parametrize(
    ("offset", "form", "value", "match"),
    [
        (8, "H", 0, "the place of the names in a directory block is wrong"),
        (8, "H", 13, "the place of the names in a directory block is wrong"),
        (8, "H", 0xFFFC, "the place of the names in a directory block is wrong; found byte 65532"),
        (20, "H", 0xFFFF, "entry with a wrong name"),
        (20, "H", 0, "entry with a wrong name"),
    ],
)
def test_directories_that_lie(offset: int, form: str, value: int, match: str) -> None:
    patient = Patient("erofs-plain")
    tree = patient.tree()
    place = patient.image.find(tree.read(tree.root, 0, 24))
    patient.put(place + offset, form, value)
    with pytest.raises(FormatError, match=match):
        patient.files().list("/")


def test_a_directory_inside_itself() -> None:
    patient = Patient("erofs-plain")
    tree = patient.tree()
    data = tree.read(tree.root, 0, 4096)
    (child,) = (entry for entry in tree.children(tree.root) if entry.name == "deep")
    place = patient.image.find(data[:24]) + data.find(struct.pack("<Q", child.ref))
    patient.put(place, "Q", tree.root)
    with pytest.raises(FormatError, match="reached twice"):
        list(patient.files().walk())


def test_a_fragment_in_the_packed_inode() -> None:
    """The packed inode's own tail cannot be in the packed inode."""
    patient = Patient("erofs-dedupe")
    (packed,) = struct.unpack_from("<Q", patient.image, SUPER + 96)
    (meta,) = struct.unpack_from("<I", patient.image, SUPER + 40)
    place = meta * 4096 + packed * 32
    end = place + (64 if patient.image[place] & 1 else 32)
    patient.put(end + -end % 8 + 7, "B", 0x80)
    files = patient.files()
    refused = 0
    for name in ("text", "mixed", "vmlinuz", "loader/entries/linux.conf"):
        try:
            assert files.read_file(name, 1 << 20) == contents()[name]
        except FormatError as error:
            assert "the packed inode has a fragment" in str(error)  # noqa: PT017 - not every file is there
            refused += 1
    assert refused


@pytest.mark.parametrize("name", ["erofs-lz4", "erofs-legacy", "erofs-lzma", "erofs-zstd", "erofs-two"])
def test_compressed_data_that_is_damaged(name: str) -> None:
    """Flip every 97th byte of what a file is compressed to: never an answer of another length."""
    patient = Patient(name)
    right = contents()["text"]
    refused = 0
    for extent in patient.files().extents("text")[:2]:
        for place in range(extent.offset, extent.end, 97):
            patient.image[place] ^= 0x55
            try:
                assert len(patient.files().read_file("text", 1 << 20)) == len(right)
            except FormatError as error:
                assert error.where is not None  # noqa: PT017 - not every flip is noticed
                refused += 1
            patient.image[place] ^= 0x55
    assert refused
    assert patient.files().read_file("text", 1 << 20) == right


def compressed(entries: bytes, size: int, *, advise: int = 0, compact: bool = False) -> CompressedIndex:
    """An index at byte 0: its header, and behind it (full: after 8 bytes) its entries."""
    head = struct.pack("<IHBB", 0, advise, 0x10, 0)
    image = head + (b"" if compact else bytes(8)) + entries
    source = Source(MemoryDevice(image.ljust(65536, b"\0")), "erofs")
    return CompressedIndex(source, 0, size, 12, compact=compact)


def head(kind: int, offset: int, block: int) -> bytes:
    return struct.pack("<HHI", kind, offset, block)


def nonhead(back: int) -> bytes:
    return struct.pack("<HHHH", 2, 0, back, 1)


def test_full_index() -> None:
    found = compressed(head(1, 0, 5) + nonhead(1) + nonhead(2) + head(0, 100, 6) + head(3, 50, 7), 20_000)
    first = found.extent_at(0)
    assert (first.start, first.length, first.place, first.size, first.algorithm) == (0, 12_388, 5 << 12, 4096, 0)
    assert found.extent_at(12_387) == first
    plain = found.extent_at(12_388)
    assert (plain.start, plain.length, plain.algorithm, plain.storage) == (12_388, 4046, None, ExtentStorage.BLOCKS)
    last = found.extent_at(19_999)
    assert (last.start, last.length, last.algorithm) == (16_434, 3566, 1)


@pytest.mark.parametrize(
    ("entries", "size", "match"),
    [
        (nonhead(0), 4096, "no extent has byte 0"),
        (nonhead(1), 4096, "no extent has byte 0; found cluster -1"),
        (head(1, 50, 5), 4096, "no extent has byte 0"),
        (head(1, 4096, 5), 4096, "begins at byte 4096"),
        (head(0, 0, 5) + nonhead(1), 8192, "plain extent at 0 has the wrong length.*8192 of 4096 bytes"),
        (head(1, 0, 5) + nonhead(1) * 3200, 4096 * 3201, "has no end|has 13111296 bytes"),
    ],
)
def test_indexes_that_lie(entries: bytes, size: int, match: str) -> None:
    with pytest.raises(FormatError, match=match):
        compressed(entries, size).extent_at(0)


def test_pclusters_that_are_too_big() -> None:
    entries = head(1, 0, 5) + struct.pack("<HHHH", 2, 0, 0x800 | 300, 1)
    with pytest.raises(FormatError, match="the extent at 0 has the wrong compressed length; found 1228800 bytes"):
        compressed(entries, 8192, advise=2).extent_at(0)
    entries = head(1, 0, 5) + struct.pack("<HHHH", 2, 0, 0x800 | 3, 1)
    assert compressed(entries, 8192, advise=2).extent_at(8191).size == 3 * 4096


def test_interlaced_bytes_stand_where_they_would_without_compression() -> None:
    """An extent that begins at byte 100 of a block has its end at the beginning of that block."""
    patient = Patient("erofs-dedupe")
    tree = patient.tree()
    place = 8192
    block = bytes(patient.image[place : place + 4096])
    whole = CompressedExtent(4196, 4096, ExtentStorage.BLOCKS, place, 4096, None, True)
    assert tree._decode(whole) == block[100:] + block[:100]
    assert tree._decode(replace(whole, length=50)) == block[100:150]
    assert tree._decode(replace(whole, rotated=False, length=50)) == block[:50]


def test_index_headers() -> None:
    source = Source(MemoryDevice(512), "erofs")
    whole = parse_index_header(source, struct.pack("<Q", 1 << 63 | 12345), 12)
    assert whole.whole_file == 12345
    inline = parse_index_header(source, struct.pack("<HHHBB", 0, 99, 0x8, 0x21, 0), 12)
    assert (inline.inline_bytes, inline.algorithms, inline.cluster_bits) == (99, (1, 2), 12)
    for data in (struct.pack("<IHBB", 0, 0x40, 0, 0), struct.pack("<IHBB", 0, 0, 0, 3)):
        with pytest.raises(FormatError, match="the compressed inode has an unknown layout"):
            parse_index_header(source, data, 12)
