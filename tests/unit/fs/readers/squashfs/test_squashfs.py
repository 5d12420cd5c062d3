"""squashfs in its corners: what is refused, and images that lie. What mksquashfs writes is in tests/golden."""

from __future__ import annotations

import errno
import struct
import zlib

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.targets.fault import Fault, FaultKind, FaultRule
from bootpath.core.errors import DeviceError, FileSystemError, FormatError
from bootpath.core.extents import Extent
from bootpath.fs.readers.codecs import Codec
from bootpath.fs.readers.source import Source
from bootpath.fs.readers.squashfs.metadata import Cursor, Metadata
from bootpath.fs.readers.squashfs.squashfs import _BlockList, open_squashfs
from tests.support.filetrees import as_device, contents, golden_image

STORED = "squashfs-stored"  # metadata stands there as it is, to be patched


def test_a_compressor_that_is_not_read() -> None:
    image = golden_image("squashfs-gzip")
    image[20:22] = struct.pack("<H", 2)
    with pytest.raises(
        FileSystemError, match=r"image: squashfs: the file system is compressed with lzma, .*-comp zstd"
    ) as caught:
        open_squashfs(as_device(image))
    assert caught.value.errno == errno.EOPNOTSUPP


def test_no_superblock() -> None:
    with pytest.raises(FormatError, match="memory: squashfs: there is no superblock at byte 0"):
        open_squashfs(MemoryDevice(512))


def metadata(*blocks: bytes, end: int | None = None, codec: Codec = Codec.ZLIB) -> Metadata:
    data = b"".join(blocks)
    device = MemoryDevice(bytearray(data.ljust(-(-len(data) // 512) * 512 + 512, b"\0")))
    return Metadata(Source(device, "squashfs"), codec, len(data) if end is None else end)


def stored(data: bytes) -> bytes:
    return struct.pack("<H", len(data) | 0x8000) + data


def packed(data: bytes) -> bytes:
    raw = zlib.compress(data, 9)
    return struct.pack("<H", len(raw)) + raw


def test_metadata_goes_on_in_the_next_block() -> None:
    found = metadata(stored(b"abc"), packed(b"defgh" * 100), stored(b"z"))
    cursor = Cursor(0, 1)
    assert found.read(cursor, 4) == b"bcde"
    assert found.read(cursor, 499) == (b"defgh" * 100)[2:] + b"z"
    assert found.read(Cursor(0, 3), 1) == b"d", "the end of one is the beginning of the next"
    assert found.read(Cursor(0, 0), 0) == b""


@pytest.mark.parametrize(
    ("blocks", "match"),
    [
        ([b"\0\0"], "the metadata block at 0 has a wrong length; found 0 bytes"),
        ([b"\0\x80"], "the metadata block at 0 has a wrong length; found 0 bytes"),
        ([struct.pack("<H", 0x8000 | 8193) + bytes(8193)], "the metadata block at 0 has a wrong length"),
        ([stored(b"abc")[:4]], "the metadata block at 0 has a wrong length; found 3 bytes"),
        ([packed(bytes(8193))], "the block at 0 is too long"),
        ([packed(b"")], "metadata block at 0 is empty"),
        ([struct.pack("<H", 5) + b"noise"], "squashfs: block at 0: gzip: corrupt"),
        ([packed(bytes(50))], "the metadata block at 0 is too short; expected at least 60 bytes, found 50 bytes"),
    ],
)
def test_metadata_that_lies(blocks: list[bytes], match: str) -> None:
    found = metadata(*blocks)
    with pytest.raises(FormatError, match=match):
        found.read(Cursor(0, 60 if "60" in match else 0), 1)


def test_tables() -> None:
    first, second = stored(bytes(range(256)) * 32), stored(b"last")
    array = struct.pack("<QQ", 0, len(first))
    found = metadata(first, second, array)
    table = len(first) + len(second)
    assert found.entry(table, 1, 4) == bytes(range(4, 8))
    assert found.entry(table, 2048, 4) == b"last"
    with pytest.raises(FormatError):
        found.entry(table, 1 << 40, 4)


def test_a_metadata_block_is_unpacked_once() -> None:
    found = metadata(packed(b"x" * 100))
    found.read(Cursor(0, 0), 10)
    found.source.device.write(2, bytes(8))
    assert found.read(Cursor(0, 90), 10) == b"x" * 10


def test_a_list_of_blocks_goes_on_where_a_read_failed() -> None:
    """The sizes stand in two metadata blocks, and the second one cannot be read at first."""
    sizes = [100, 200, 300]
    first, second = stored(struct.pack("<I", sizes[0])), stored(struct.pack("<II", *sizes[1:]))
    image = stored(bytes(4086 - 2) + first[2:]) + second
    rule = FaultRule(FaultKind.ERROR, extent=Extent(4096, 1), count=1)
    device = Fault(MemoryDevice(image.ljust(8192, b"\0")), [rule])
    found = _BlockList(Metadata(Source(device, "squashfs"), Codec.ZLIB, len(image)), Cursor(0, 4084), 1000, 3)
    with pytest.raises(DeviceError):
        found.block(2)
    assert [found.block(index) for index in range(3)] == [(1000, 100), (1100, 200), (1300, 300)]


def directory_of(image: bytearray) -> int:
    """Where the root's first run of entries is in an image without compression."""
    (table,) = struct.unpack_from("<Q", image, 72)
    place = image.find(b"absolute", table)
    assert place > 0
    return place - 8 - 12


@pytest.mark.parametrize(
    ("offset", "form", "value", "match"),
    [
        (0, "I", 256, "a run of a directory has too many entries"),
        (0, "I", 200, "directory entry of type|entry with a wrong name"),
        (12 + 4, "H", 9, "directory entry of type 9"),
        (12 + 6, "H", 300, "a directory entry of type 3 has a wrong length; found 301 bytes"),
        (12 + 8, "B", ord("/"), "entry with a wrong name"),
    ],
)
def test_directories_that_lie(offset: int, form: str, value: int, match: str) -> None:
    image = golden_image(STORED)
    struct.pack_into("<" + form, image, directory_of(image) + offset, value)
    with pytest.raises(FormatError, match=match):
        open_squashfs(as_device(image)).list("/")


def inode_of(image: bytearray, path: str) -> int:
    """Where an inode is in an image without compression: each block of 8192 bytes has a header of 2."""
    (table,) = struct.unpack_from("<Q", image, 64)
    ref = open_squashfs(as_device(image)).lookup(path, follow=False).id
    return int(table) + (ref >> 16) + 2 + (ref & 0xFFFF)


@pytest.mark.parametrize(
    ("offset", "form", "value", "match"),
    [
        (0, "H", 15, "is unknown; expected 1 to 14, found 15"),
        (4, "H", 999, "an owner is out of range"),
        (16, "I", 0xFFFFFFF0, "block at 4294967280 has a wrong size"),
        (20, "I", 77, "the fragment does not exist"),
        (24, "I", 1 << 20, "has the wrong length; expected .* found 0 bytes"),
        (28, "I", 0xFFFFFFFF, "block at|size 0x|has no block|not on the device|metadata block"),
    ],
)
def test_inodes_that_lie(offset: int, form: str, value: int, match: str) -> None:
    image = golden_image(STORED)
    place = inode_of(image, "vmlinuz")
    size = len(contents()["vmlinuz"])
    assert struct.unpack_from("<H", image, place)[0] == 2
    if offset == 16:  # a file in one block of its own, whose place is wrong
        struct.pack_into("<II", image, place + 20, 0xFFFFFFFF, 0)
    struct.pack_into("<" + form, image, place + offset, value)
    with pytest.raises(FormatError, match=match):
        open_squashfs(as_device(image)).read("vmlinuz", 0, size)


def test_blocks_that_lie() -> None:
    image = golden_image("squashfs-xz")
    files = open_squashfs(as_device(image))
    (extent,) = files.extents("vmlinuz")
    image[extent.offset + 20] ^= 0xFF
    with pytest.raises(FormatError, match=rf"image: squashfs: block at {extent.offset}: xz: corrupt"):
        open_squashfs(as_device(image)).read_file("vmlinuz", 100_000)


def test_a_file_of_more_blocks_than_there_can_be() -> None:
    image = golden_image("squashfs-stored")
    place = inode_of(image, "sparse")
    assert struct.unpack_from("<H", image, place)[0] == 9, "an extended inode"
    struct.pack_into("<Q", image, place + 24, 1 << 61)
    files = open_squashfs(as_device(image))
    with pytest.raises(FormatError, match="file has too many blocks"):
        files.read("sparse", 1 << 60, 10)
    with pytest.raises(FileSystemError, match="are allowed"):
        files.read_file("sparse", 1 << 20)
    struct.pack_into("<Q", image, place + 24, 1 << 63)
    with pytest.raises(FormatError, match="bytes at"):
        open_squashfs(as_device(image)).lookup("sparse")
