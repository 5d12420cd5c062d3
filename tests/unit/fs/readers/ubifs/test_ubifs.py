"""UBIFS in its corners: what is refused, and images that lie. What mkfs.ubifs and Linux write is in tests/golden."""

from __future__ import annotations

import errno
import os
import stat
import struct
import zlib

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.core.device import Device
from bootpath.core.errors import FileSystemError, FormatError
from bootpath.core.extents import Extent
from bootpath.fs.readers.files import FileKind, Files
from bootpath.fs.readers.open import open_files
from bootpath.fs.readers.ubifs.nodes import NodeType
from bootpath.fs.readers.ubifs.ubifs import open_ubifs
from tests.support.filetrees import as_device, golden_image
from tests.support.ubifsimage import LEB_BYTES, LEBS, Image, data, directory, entry, inode, sealed, small, superblock


def files(image: Image, **more: int) -> Files:
    return open_files(image.finish(**more).device())


def read_all(device: Device) -> None:
    found = open_files(device)
    for path, node in found.walk():
        if node.kind is FileKind.FILE:
            found.read_file(path, 5000)


def test_a_small_one() -> None:
    found = files(small())
    assert (found.format, found.warnings) == ("ubifs", ())
    assert [path for path, _ in found.walk()] == ["/", "/dir", "/dir/link", "/file"]
    assert found.read_file("dir/link", 9999) == b"a" * 4096 + b"b" * 904
    assert found.readlink("dir/link") == "../file"
    node = found.lookup("file")
    assert (node.id, node.kind, node.mode, node.uid, node.gid) == (70, FileKind.FILE, 0o100644, 5, 6)
    assert (node.links, node.mtime_ns) == (1, 3 * 10**9 + 4)


def test_holes_are_zeros() -> None:
    image = small()
    image.commit(entry(1, "sparse", 80), inode(80, size=20_000), data(80, 2, b"x" * 10))
    found = files(image)
    assert found.read_file("sparse", 20_000) == bytes(8192) + b"x" * 10 + bytes(20_000 - 8202)
    assert found.read("sparse", 8190, 5) == b"\0\0xxx"
    assert len(found.extents("sparse")) == 1


def test_extents_are_where_the_data_is() -> None:
    image = small()
    device = image.finish().device()
    (first, second) = open_files(device).extents("file")
    assert isinstance(first, Extent)
    whole = b"".join(image.lebs)
    assert whole[first.offset : first.end] + whole[second.offset : second.end] == b"a" * 4096 + b"b" * 904


def test_names_with_one_hash() -> None:
    image = small()
    for number in range(30):
        image.commit(entry(71, f"name {number}", 100 + number, hashed=5), inode(100 + number, size=number))
    found = files(image)
    assert [found.lookup(f"dir/name {number}").size_bytes for number in range(30)] == list(range(30))


def test_compressed_blocks() -> None:
    text = b"words " * 600
    deflated = zlib.compressobj(9, zlib.DEFLATED, -15)
    raw = deflated.compress(text) + deflated.flush()
    image = small()
    image.commit(entry(1, "zlib", 80), inode(80, size=3600), data(80, 0, raw, compression=2, size=3600))
    image.commit(entry(1, "short", 81), inode(81, size=3600), data(81, 0, raw, compression=2, size=3599))
    image.commit(entry(1, "long", 82), inode(82, size=3600), data(82, 0, raw, compression=2, size=3601))
    image.commit(entry(1, "broken", 83), inode(83, size=9), data(83, 0, b"\xff" * 9, compression=2, size=9))
    image.commit(entry(1, "unknown", 84), inode(84, size=9), data(84, 0, b"\xff" * 9, compression=4, size=9))
    image.commit(entry(1, "empty", 85), inode(85, size=9), data(85, 0, b"", size=0))
    found = files(image)
    assert found.read_file("zlib", 3600) == text
    for name, why in (
        ("short", "has the wrong length; expected 3599 bytes, found 3600 bytes"),
        ("long", "has the wrong length; expected 3601 bytes, found 3600 bytes"),
        ("broken", "image: ubifs: LEB 8: .*deflate"),
        ("unknown", "the compression of a file is unknown"),
        ("empty", "is another one"),
    ):
        with pytest.raises(FormatError, match=why):
            found.read_file(name, 3600)


def test_special_files() -> None:
    image = small()
    for number, (kind, mode) in enumerate(
        [(3, stat.S_IFBLK), (4, stat.S_IFCHR), (5, stat.S_IFIFO), (6, stat.S_IFSOCK)]
    ):
        image.commit(entry(1, f"special{kind}", 80 + number, code=kind), inode(80 + number, mode=mode | 0o600))
    found = files(image)
    kinds = [found.lookup(f"special{kind}").kind for kind in (3, 4, 5, 6)]
    assert kinds == [FileKind.BLOCK_DEVICE, FileKind.CHARACTER_DEVICE, FileKind.FIFO, FileKind.SOCKET]


def test_what_is_encrypted_is_refused_and_nothing_else() -> None:
    image = small()
    image.commit(
        entry(1, "secret", 80), inode(80, size=9, flags=0x40), data(80, 0, b"encrypted"),
        entry(1, "secrets", 81, code=1), directory(81, flags=0x40), entry(81, "\x01\x02", 82), inode(82, flags=0x40),
    )  # fmt: skip
    found = files(image, flags=0x18, version=5)
    assert found.read_file("file", 5000)[:1] == b"a"
    for call in (lambda: found.read_file("secret", 9), lambda: found.list("secrets")):
        with pytest.raises(FileSystemError, match=r"image: ubifs: inode 8. is encrypted") as caught:
            call()
        assert caught.value.errno == errno.EOPNOTSUPP


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"version": 6, "read_only": 1}, "the version w6r1 is not supported"),
        ({"flags": 0x80}, "the flags 0x80 are not all known"),
        ({"flags": 0x20, "b256": 99}, "hash algorithm, number 99, is not supported"),
    ],
)
def test_what_is_not_known(more: dict[str, int], why: str) -> None:
    with pytest.raises(FileSystemError, match=f"image: ubifs: .*{why}") as caught:
        files(small(), **more)
    assert caught.value.errno == errno.EOPNOTSUPP


def test_a_newer_version_that_may_be_read() -> None:
    assert files(small(), version=6).exists("file")


def test_a_file_system_that_was_cut() -> None:
    image = small().finish()
    cut = MemoryDevice(b"".join(image.lebs[:-1]))
    with pytest.raises(FormatError, match="the file system is larger than the device"):
        open_ubifs(cut)


def test_it_grows_with_its_volume() -> None:
    """Linux takes more eraseblocks when it mounts; read-only, it does not say so in the superblock."""
    image = small()
    image.bud(LEBS + 1 - 2, entry(1, "new", 80, sequence=2000), inode(80, sequence=2001))
    assert files(image, lebs=LEBS - 2).exists("new")


def test_no_superblock() -> None:
    with pytest.raises(FormatError, match="memory: ubifs: there is no superblock at byte 0"):
        open_ubifs(MemoryDevice(LEB_BYTES * 16))


@pytest.mark.parametrize(
    ("nodes", "why"),
    [
        ([entry(1, "x", 99)], "there is no inode 99"),
        ([entry(1, "x", 0)], "an entry of directory 1 is wrong; found type 0, inode 0"),
        ([entry(1, "x", 70, code=9)], "an entry of directory 1 is wrong"),
        ([entry(1, "a/b", 70)], "an entry with a wrong name"),
        ([entry(1, "x" * 300, 70)], "its length is 357"),
        ([entry(1, "x", 1 << 33)], "a directory entry is wrong"),
        ([entry(1, "x", 80), inode(80, links=0)], "inode 80 is not in use"),
        ([entry(1, "x", 80), inode(80, mode=0)], "inode 80 is not in use"),
        ([entry(1, "x", 80), inode(80, size=1 << 63)], "inode 80 has a wrong size"),
        ([entry(1, "x", 80, code=2), inode(80, mode=stat.S_IFLNK, size=5, data=b"abc")], "inode 80 has a wrong size"),
        ([entry(1, "x", 80, code=1), inode(80)], "inode 80 is a file; expected a directory"),
    ],
)
def test_damage_is_told(nodes: list[bytes], why: str) -> None:
    image = small()
    image.commit(*nodes)
    found = files(image)
    with pytest.raises(FormatError, match=why):
        assert found.lookup("x").id != found.exists("x/y")


def test_a_node_that_is_another_one() -> None:
    """The index leads to a sound node, of another key."""
    for replaced in range(3):
        image = small()
        file, wrong = (
            image.branches[1:4][replaced],
            [entry(1, "fi1e", 70, hashed=1), inode(71, size=5000), data(70, 9, b"a" * 4096)],
        )
        image.put(file[1].leb, file[1].offset, wrong[replaced])
        with pytest.raises(FormatError, match="another one"):
            files(image).read_file("file", 5000)


def test_a_flipped_bit_anywhere_in_a_node_is_found() -> None:
    image = small()
    places = [place for _, place in image.branches]
    clean = image.finish()
    for place in places:
        for offset in range(0, place.length, 37):
            lebs = [bytearray(leb) for leb in clean.lebs]
            lebs[place.leb][place.offset + offset] ^= 4
            with pytest.raises(FormatError, match="damaged"):
                read_all(MemoryDevice(b"".join(lebs)))


def test_the_layout_of_the_superblock() -> None:
    node = superblock()
    assert (len(node), node[20], sealed(node)) == (4096, NodeType.SUPERBLOCK, node)
    assert struct.unpack_from("<I", node, 36) == (LEB_BYTES,)


def test_names_that_are_not_utf8() -> None:
    image = small()
    node = bytearray(entry(1, "axa", 70))
    node[-3] = 0xFF
    image.commit(sealed(bytes(node)))
    assert os.fsdecode(b"a\xffa") in {each.name for each in files(image).list("/")}


def test_reads_are_joined() -> None:
    """Blocks that stand beside each other are read at once."""
    device = as_device(golden_image("ubifs-lzo"))
    found = open_files(device)
    found.lookup("vmlinuz")
    reads = []
    read = device.read

    def counting(offset: int, length: int):  # type: ignore[no-untyped-def]
        reads.append(length)
        return read(offset, length)

    found.tree.source.device = type("Counting", (), {"read": staticmethod(counting), "identity": device.identity})()  # type: ignore[attr-defined]
    assert len(found.read_file("vmlinuz", 1 << 20)) == 33_500
    assert len(reads) < 20
