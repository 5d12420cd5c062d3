"""ext4 in its corners: features, checksums, extents that lie. What mke2fs writes is in tests/golden."""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.core.errors import FileSystemError, FormatError
from bootpath.formats.crc32c import crc32c_update
from bootpath.fs.readers.ext.blocks import BlockTree, Run
from bootpath.fs.readers.ext.ext4 import Ext4Tree, open_ext4
from bootpath.fs.readers.ext.superblock import inode_place, read_ext4_super
from bootpath.fs.readers.source import Source
from bootpath.fs.readers.treefiles import TreeFiles
from tests.support.filetrees import as_device, contents, golden_image

SUPER = 1024
INCOMPAT = SUPER + 96
FLAGS, I_BLOCK, SIZE_LOW, SIZE_HIGH, MODE, LINKS = 32, 40, 4, 108, 0, 26


class Patient:
    """A golden image to be changed; inodes are found by path."""

    def __init__(self, name: str) -> None:
        self.image = golden_image(name)
        self._tree = self.files().tree
        assert isinstance(self._tree, Ext4Tree)
        self.superblock = self._tree.superblock

    def files(self) -> TreeFiles[int]:
        return open_ext4(as_device(self.image))

    def inode(self, path: str) -> int:
        """The byte of an inode."""
        number = self.files().lookup(path, follow=False).id
        return inode_place(Source(as_device(self.image), "ext4"), self.superblock, number)

    def put(self, place: int, form: str, *values: int) -> None:
        struct.pack_into("<" + form, self.image, place, *values)

    def get(self, place: int, form: str) -> int:
        value = struct.unpack_from("<" + form, self.image, place)[0]
        assert isinstance(value, int)
        return value

    def seal(self) -> None:
        """The superblock's checksum."""
        self.put(SUPER + 1020, "I", crc32c_update(0xFFFFFFFF, bytes(self.image[SUPER : SUPER + 1020])))


@pytest.mark.parametrize(
    ("flag", "name"),
    [
        (0x1, "compression"),
        (0x8, "journal_dev"),
        (0x1000, "dirdata"),
        (0x100000, "0x100000"),
        (0x80000001, "compression, 0x80000000"),
    ],
)
@pytest.mark.parametrize("image", ["ext4-4k", "ext4-1k"])
def test_features_that_are_not_known_are_named(image: str, flag: int, name: str) -> None:
    patient = Patient(image)
    patient.put(INCOMPAT, "I", patient.get(INCOMPAT, "I") | flag)
    if patient.superblock.checksums:
        patient.seal()
    with pytest.raises(FormatError, match=rf"image: ext4: cannot be read: .* not known here \({name}\)"):
        patient.files()


def test_warnings() -> None:
    patient = Patient("ext4-1k")
    assert patient.files().warnings == ()
    patient.put(INCOMPAT, "I", patient.get(INCOMPAT, "I") | 0x4)
    patient.put(SUPER + 58, "H", 2)
    patient.seal()
    recovery, errors = patient.files().warnings
    assert "needs_recovery: the journal was not replayed" in recovery
    assert "e2fsck" in errors
    assert patient.files().read_file("vmlinuz", 100_000) == contents()["vmlinuz"]


@pytest.mark.parametrize("image", ["ext4-1k", "ext4-metabg", "ext4-inline"])
def test_a_flipped_bit_in_checksummed_metadata(image: str) -> None:
    """Superblock, group descriptor, inode, directory block, extent block: each is a FormatError that names it."""
    patient = Patient(image)
    sb = patient.superblock
    root = inode_place(Source(as_device(patient.image), "ext4"), sb, 2)
    places = {
        "the checksum does not match": SUPER + 300,
        "group descriptor 0": sb.descriptor_place(0) + 16,
        "inode 2": root + 60,
    }
    first_block = patient.get(root + I_BLOCK + 20, "I")
    if not patient.get(root + FLAGS, "I") & 0x10000000:
        places[f"directory block {first_block}"] = first_block * sb.block_bytes + 30
    for what, place in places.items():
        patient.image[place] ^= 1
        with pytest.raises(FormatError, match=what):
            patient.files().list("/")
        patient.image[place] ^= 1
    assert patient.files().list("/")


def test_encrypted_and_without_case() -> None:
    patient = Patient("ext4-4k")
    patient.put(patient.inode("vmlinuz") + FLAGS, "I", 0x800 | 0x80000)
    patient.put(patient.inode("deep") + FLAGS, "I", 0x40000000 | 0x80000)
    files = patient.files()
    for call in (lambda: files.read("vmlinuz", 0, 10), lambda: files.list("deep"), lambda: files.lookup("deep/a")):
        with pytest.raises(
            FileSystemError, match=r"image: ext4: inode \d+ is (encrypted|a directory that ignores)"
        ) as caught:
            call()
        assert caught.value.errno == errno.EOPNOTSUPP
    assert files.lookup("vmlinuz").size_bytes == len(contents()["vmlinuz"])
    assert files.read_file("text", 200_000) == contents()["text"]


def test_extents_that_are_not_written_read_as_zeros() -> None:
    patient = Patient("ext4-4k")
    place = patient.inode("vmlinuz") + I_BLOCK
    assert patient.get(place + 2, "H") == 1
    patient.put(place + 16, "H", patient.get(place + 16, "H") | 0x8000)
    assert patient.files().read_file("vmlinuz", 100_000) == bytes(len(contents()["vmlinuz"]))
    assert patient.files().extents("vmlinuz") == []


@pytest.mark.parametrize(
    ("offset", "form", "value", "match"),
    [
        (0, "H", 0xF30B, "extents have the wrong magic"),
        (2, "H", 5, "there are too many extents"),
        (4, "H", 5, "there are too many extents; expected at most 4, found 1 of 5"),
        (6, "H", 6, "wrong depth; .* found 6"),
        (6, "H", 1, "blocks are|magic of extents|not on the device|extents are"),
        (16, "H", 0, "the extent at block 0 has a wrong length"),
        (16, "H", 32768, "blocks are outside the file system"),
        (20, "I", 0xFFFFFFFF, "blocks are"),
        (20, "I", 0, "blocks are"),
        (18, "H", 1, "blocks are"),
    ],
)
def test_extents_that_lie(offset: int, form: str, value: int, match: str) -> None:
    patient = Patient("ext4-4k")
    patient.put(patient.inode("vmlinuz") + I_BLOCK + offset, form, value)
    with pytest.raises(FormatError, match=match):
        patient.files().read_file("vmlinuz", 100_000)


@pytest.mark.parametrize(
    ("offset", "form", "value", "match"),
    [
        (MODE, "H", 0, "is not in use"),
        (LINKS, "H", 0, "is not in use"),
        (SIZE_HIGH, "I", 1 << 16, "bytes"),
        (128, "H", 200, "inode 142 has the wrong extra size"),
    ],
)
def test_inodes_that_lie(offset: int, form: str, value: int, match: str) -> None:
    patient = Patient("ext4-4k")
    patient.put(patient.inode("vmlinuz") + offset, form, value)
    with pytest.raises(FormatError, match=match):
        patient.files().lookup("vmlinuz")


def test_a_file_of_holes_has_no_bytes_to_read() -> None:
    """A size of terabytes costs nothing until somebody asks for so much."""
    patient = Patient("ext4-4k")
    place = patient.inode("empty")
    patient.put(place + SIZE_HIGH, "I", 1 << 12)
    files = patient.files()
    assert files.lookup("empty").size_bytes == 1 << 44
    assert files.read("empty", 1 << 43, 10_000) == bytes(10_000)
    with pytest.raises(FileSystemError, match="are allowed"):
        files.read_file("empty", 1 << 20)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda patient, root: patient.put(root, "I", 1 << 30), "the inode number is out of range"),
        (lambda patient, root: patient.put(root + 4, "H", 0), "a directory entry has a wrong length"),
        (lambda patient, root: patient.put(root + 4, "H", 8), "directory entry has"),
        (lambda patient, root: patient.put(root + 4, "H", 5000), "directory entry has"),
        (lambda patient, root: patient.put(root + 12 + 12 + 8, "B", ord("/")), "entry with a wrong name"),
    ],
)
def test_directories_that_lie(change: Callable[[Patient, int], None], match: str) -> None:
    patient = Patient("ext4-4k")
    root = patient.get(patient.inode("/") + I_BLOCK + 20, "I") * 4096
    assert patient.image[root + 8 : root + 9] == b"."
    patient.put(root + 8, "B", ord("x"))  # no longer left out
    change(patient, root)
    with pytest.raises(FormatError, match=match):
        list(patient.files().walk())


def test_a_link_that_is_no_link() -> None:
    patient = Patient("ext4-4k")
    patient.put(patient.inode("link") + MODE, "H", 0o100644)
    with pytest.raises(FormatError, match="the entry of a symbolic link leads to a file"):
        patient.files().read("link", 0, 1)


def test_a_directory_that_is_no_directory() -> None:
    patient = Patient("ext4-4k")
    place = patient.inode("deep")
    patient.put(place + MODE, "H", 0o100644)
    with pytest.raises(FormatError, match=r"corrupt: inode \d+ is a file; expected a directory"):
        patient.files().lookup("deep/a")


@pytest.mark.parametrize(
    ("offset", "form", "value", "match"),
    [
        (32, "I", 0, "the number of blocks per group is out of range"),
        (40, "I", 0, "the number of inodes per group is out of range"),
        (40, "I", 1 << 20, "the number of inodes per group is out of range"),
        (4, "I", 1 << 30, "number of blocks is"),
        (254, "H", 48, "the size of the group descriptors is out of range"),
        (254, "H", 32, "the size of the group descriptors is out of range"),
    ],
)
def test_superblocks_that_lie(offset: int, form: str, value: int, match: str) -> None:
    patient = Patient("ext4-4k")
    patient.put(SUPER + offset, form, value)
    with pytest.raises(FormatError, match=match):
        patient.files().list("/")


def test_an_inode_table_that_is_nowhere() -> None:
    patient = Patient("ext4-4k")
    patient.put(patient.superblock.descriptor_place(0) + 8, "I", 0)
    with pytest.raises(FormatError, match="the inode table of group 0 is outside the file system; found block 0"):
        patient.files().list("/")


def tree(i_block: bytes, blocks: dict[int, bytes] | None = None, *, extents: bool = True) -> BlockTree:
    """A block map over a device of 200 blocks of 4096 bytes, all of it zeros but `blocks` and a superblock."""
    image = golden_image("ext4-4k")
    for number, data in (blocks or {}).items():
        image[number * 4096 : number * 4096 + len(data)] = data
    source = Source(as_device(image), "ext4")
    return BlockTree(source, read_ext4_super(source), i_block.ljust(60, b"\0"), extents=extents, seed=None)


def header(entries: int, depth: int, most: int = 4) -> bytes:
    return struct.pack("<HHHHI", 0xF30A, entries, most, depth, 0)


def leaf(first: int, count: int, block: int) -> bytes:
    return struct.pack("<IHHI", first, count, 0, block)


def index(first: int, block: int) -> bytes:
    return struct.pack("<IIHH", first, block, 0, 0)


def test_extents_holes_and_depth() -> None:
    child = header(2, 0, 340) + leaf(10, 2, 100) + leaf(20, 5, 200)
    other = header(1, 0, 340) + leaf(50, 1, 300)
    found = tree(header(2, 1) + index(5, 900) + index(40, 901), {900: child, 901: other})
    assert list(found.runs(0, 60)) == [
        Run(0, 5, None),
        Run(5, 5, None),
        Run(10, 2, 100),
        Run(12, 8, None),
        Run(20, 5, 200),
        Run(25, 15, None),
        Run(40, 10, None),
        Run(50, 1, 300),
        Run(51, 9, None),
    ]
    assert list(found.runs(21, 2)) == [Run(21, 2, 201)]
    assert list(tree(header(0, 0)).runs(3, 4)) == [Run(3, 4, None)]


def test_an_extent_block_that_is_its_own_child() -> None:
    found = tree(header(1, 3) + index(0, 900), {900: header(1, 2, 340) + index(0, 900)})
    with pytest.raises(FormatError, match="wrong depth; expected 1, found 2"):
        list(found.runs(0, 1))


def test_a_child_that_is_no_level_lower() -> None:
    found = tree(header(1, 2) + index(0, 900), {900: header(1, 0, 340) + leaf(0, 1, 100)})
    with pytest.raises(FormatError, match="wrong depth; expected 1, found 0"):
        list(found.runs(0, 1))


@pytest.mark.parametrize(
    ("seconds", "extra", "expected_ns"),
    [(1_700_000_002, 0, 1_700_000_002 * 10**9), (0xFFFFFFFF, 0, -(10**9)), (0, 1 | 5 << 2, (1 << 32) * 10**9 + 5)],
)
def test_times(seconds: int, extra: int, expected_ns: int) -> None:
    """32 bits with a sign, two more above them, and nanoseconds: from 1901 to 2446."""
    patient = Patient("ext4-4k")
    place = patient.inode("vmlinuz")
    patient.put(place + 16, "I", seconds)
    patient.put(place + 136, "I", extra)
    assert patient.files().lookup("vmlinuz").mtime_ns == expected_ns


@pytest.mark.parametrize(
    "entries",
    [leaf(5, 1, 100) + leaf(5, 1, 200), leaf(6, 1, 100) + leaf(5, 1, 200), leaf(1, 9, 100) + leaf(5, 1, 200)],
)
def test_extents_in_disorder(entries: bytes) -> None:
    with pytest.raises(FormatError, match=r"not in order|wrong length; found 9 blocks"):
        list(tree(header(2, 0) + entries).runs(0, 10))


def test_a_child_outside_its_parent() -> None:
    found = tree(header(2, 1) + index(5, 900) + index(9, 901), {900: header(1, 0, 340) + leaf(9, 1, 100)})
    with pytest.raises(FormatError, match="not in order"):
        list(found.runs(5, 1))


def test_block_maps() -> None:
    """Direct, single, double and triple pointers, and holes of each size."""
    per_block = 1024
    words = [100, 101, 0, 103, *[0] * 8, 900, 901, 902]
    blocks = {
        900: struct.pack("<3I", 200, 201, 0).ljust(4096, b"\0"),
        901: struct.pack("<2I", 0, 903).ljust(4096, b"\0"),
        902: struct.pack("<1I", 904).ljust(4096, b"\0"),
        903: struct.pack("<1I", 300).ljust(4096, b"\0"),
        904: struct.pack("<1I", 905).ljust(4096, b"\0"),
        905: struct.pack("<1I", 301).ljust(4096, b"\0"),
    }
    found = tree(struct.pack("<15I", *words), blocks, extents=False)
    assert list(found.runs(0, 4)) == [Run(0, 2, 100), Run(2, 1, None), Run(3, 1, 103)]
    assert list(found.runs(10, 6)) == [Run(10, 2, None), Run(12, 2, 200), Run(14, 2, None)]
    double = 12 + per_block
    assert list(found.runs(double, per_block + 2)) == [
        Run(double, per_block, None),
        Run(double + per_block, 1, 300),
        Run(double + per_block + 1, 1, None),
    ]
    triple = double + per_block**2
    assert list(found.runs(triple, 2)) == [Run(triple, 1, 301), Run(triple + 1, 1, None)]
    end = triple + per_block**3
    with pytest.raises(FormatError, match=f"longer than its block map; found block {end}"):
        list(found.runs(end, 1))
    hole = tree(bytes(60), extents=False)
    assert len(list(hole.runs(0, end))) == 4, "a hole is as large as the pointer that is missing"


@pytest.mark.parametrize("block", [1 << 31, 0xFFFFFFFF])
def test_pointers_to_nowhere(block: int) -> None:
    for words in ([block], [0] * 12 + [block]):
        with pytest.raises(FormatError, match="blocks are outside the file system"):
            list(tree(struct.pack(f"<{len(words)}I", *words), extents=False).runs(len(words) - 1, 1))


def test_no_superblock() -> None:
    with pytest.raises(FormatError, match="memory: ext4: there is no superblock at byte 1024"):
        open_ext4(MemoryDevice(4096))
