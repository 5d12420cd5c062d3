"""Files of a squashfs 4.0 image, without mounting.

Source: Linux Documentation/filesystems/squashfs.rst. Little endian; the superblock is `formats.superblocks.squashfs`'s.
An inode is a place in the inode table: 16 bits of offset below the place of its metadata block in the table. All begin
with type, mode, uid and gid index, u16; mtime and number, u32; then::

    1 directory  block, u32   links, u32   size, u16   offset, u16   parent, u32
    2 file       first block, fragment, offset in it, size, u32; a size for each block, u32
    3 link       links, u32   size, u32   target
    8 directory  links, size, block, parent, u32   index count, u16   offset, u16   xattr, u32
    9 file       first block, size, sparse bytes, u64   links, fragment, offset in it, xattr, u32; sizes
    4 to 7 and 10 to 14: devices, fifos, sockets, and the same with attributes (10: as 3)

A block's size: bit 24 says that it is stored as it is; 0 is a block of zeros. What is left at the end of a file may be
part of a fragment, a block that files share. A directory is runs: count - 1, block and number of the inodes, u32; then
that many entries: offset u16, number's difference i16, type u16, size of the name - 1 u16, name. Its size has 3 more.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from array import array
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass

from bootpath.core.device import Device
from bootpath.core.errors import FileSystemError
from bootpath.core.extents import Extent
from bootpath.formats.region import Region
from bootpath.formats.superblocks.squashfs import SQUASHFS_BYTES, SquashfsSuperblock, probe_squashfs
from bootpath.fs.readers.codecs import Codec
from bootpath.fs.readers.files import FileKind, FileNode
from bootpath.fs.readers.recent import Recent
from bootpath.fs.readers.source import Source
from bootpath.fs.readers.squashfs.metadata import Cursor, Metadata
from bootpath.fs.readers.treefiles import Child, TreeFiles, check_directory, checked_name

_CODECS = {"gzip": Codec.ZLIB, "xz": Codec.XZ, "lz4": Codec.LZ4, "lzo": Codec.LZO, "zstd": Codec.ZSTD}
_STORED = 1 << 24
_NO_FRAGMENT = 0xFFFFFFFF
_EXTRA_DIRECTORY_BYTES = 3  # for "." and "..", which are not there
_MAX_RUN = 256
_CACHED_INODES = 64
_CACHED_DATA_BLOCKS = 4
_LIST_ENTRIES = 2048
_MAX_BLOCKS = 1 << 22  # 512 GiB in blocks of 128 KiB
_KINDS = {
    1: FileKind.DIRECTORY,
    2: FileKind.FILE,
    3: FileKind.SYMLINK,
    4: FileKind.BLOCK_DEVICE,
    5: FileKind.CHARACTER_DEVICE,
    6: FileKind.FIFO,
    7: FileKind.SOCKET,
}
_TYPE_BITS = {
    FileKind.DIRECTORY: stat.S_IFDIR,
    FileKind.FILE: stat.S_IFREG,
    FileKind.SYMLINK: stat.S_IFLNK,
    FileKind.BLOCK_DEVICE: stat.S_IFBLK,
    FileKind.CHARACTER_DEVICE: stat.S_IFCHR,
    FileKind.FIFO: stat.S_IFIFO,
    FileKind.SOCKET: stat.S_IFSOCK,
}


class _BlockList:
    """The sizes of a file's blocks, read as far as they are needed, and where each block is."""

    def __init__(self, metadata: Metadata, cursor: Cursor, start: int, count: int) -> None:
        self._metadata = metadata
        self._cursor = cursor
        self._count = count
        self._sizes = array("I")
        self._places = array("Q", [start])

    def block(self, index: int) -> tuple[int, int]:
        """The place and the size, as it is written, of a block of the file."""
        if index >= _MAX_BLOCKS:
            raise self._metadata.source.fault(
                "corrupt: the file has too many blocks", found=index, expected=f"at most {_MAX_BLOCKS}"
            )
        while len(self._sizes) <= index:
            more = min(_LIST_ENTRIES, self._count - len(self._sizes))
            if more <= 0:
                raise self._metadata.source.fault("corrupt: the file has too few blocks", found=index)
            # The place moves on when the read is done, and not when it fails.
            cursor = copy(self._cursor)
            data = self._metadata.read(cursor, more * 4)
            self._cursor = cursor
            for (size,) in struct.iter_unpack("<I", data):
                self._sizes.append(size)
                self._places.append(self._places[-1] + (size & _STORED - 1))
        return self._places[index], self._sizes[index]


@dataclass(frozen=True, slots=True)
class _Inode:
    node: FileNode
    content: Cursor  # where a directory or a link's target is; only to be copied
    blocks: _BlockList | None = None
    fragment: int = _NO_FRAGMENT
    fragment_offset: int = 0


class SquashfsTree:
    """`treefiles.Tree` of a squashfs image; references are inodes' places."""

    warnings: Sequence[str] = ()

    def __init__(self, source: Source, superblock: SquashfsSuperblock, codec: Codec) -> None:
        self.source = source
        self.superblock = superblock
        data = source.read(0, SQUASHFS_BYTES)
        (self._fragment_count,) = struct.unpack_from("<I", data, 16)
        (self._ids,) = struct.unpack_from("<H", data, 26)
        root, _, self._id_table, _, self._inode_table, self._directory_table, self._fragment_table = struct.unpack_from(
            "<7Q", data, 32
        )
        self.root: int = root
        self.block_bytes = superblock.block_bytes
        self._metadata = Metadata(source, codec, min(superblock.size_bytes, source.size_bytes))
        self._inodes: Recent[int, _Inode] = Recent(_CACHED_INODES)
        self._data: Recent[tuple[int, int], bytes] = Recent(_CACHED_DATA_BLOCKS)

    def fold(self, name: str) -> str:
        """See `Tree.fold`: case matters."""
        return name

    def node(self, ref: int) -> FileNode:
        """See `Tree.node`."""
        return self._inode(ref).node

    def children(self, ref: int) -> Iterator[Child[int]]:
        """See `Tree.children`."""
        inode = self._inode(ref)
        check_directory(self.source, inode.node, f"{ref:#x}")
        left = inode.node.size_bytes - _EXTRA_DIRECTORY_BYTES
        cursor = copy(inode.content)
        while left >= 12:
            count, block, _ = struct.unpack("<III", self._metadata.read(cursor, 12))
            left -= 12
            if count >= _MAX_RUN:
                raise self.source.fault(
                    "corrupt: a run of a directory has too many entries", found=count + 1, expected="at most 256"
                )
            for _ in range(count + 1):
                offset, _, code, size = struct.unpack("<HhHH", self._metadata.read(cursor, 8))
                left -= 8 + size + 1
                kind = _KINDS.get(code)
                if left < 0 or kind is None or size >= 256:
                    raise self.source.fault(
                        f"corrupt: a directory entry of type {code} has a wrong length", found=f"{size + 1} bytes"
                    )
                name = checked_name(self.source, os.fsdecode(self._metadata.read(cursor, size + 1)))
                yield Child(name, kind, block << 16 | offset)

    def read(self, ref: int, offset: int, length: int) -> bytes:
        """See `Tree.read`."""
        inode = self._inode(ref)
        if inode.blocks is None:
            target = self._metadata.read(copy(inode.content), inode.node.size_bytes)
            return target[offset : offset + length]
        parts = []
        end = offset + length
        while offset < end:
            index, skip = divmod(offset, self.block_bytes)
            count = min(self.block_bytes - skip, end - offset)
            parts.append(self._block(inode, index)[skip : skip + count])
            offset += count
        return b"".join(parts)

    def doubts(self, ref: int) -> Iterator[str]:
        """See `Tree.doubts`: what is wrong here is found when it is read."""
        return iter(())

    def extents(self, ref: int) -> Iterator[Extent]:
        """See `Tree.extents`. A fragment is told with the other files' data in it."""
        inode = self._inode(ref)
        size = inode.node.size_bytes
        for index in range(-(-size // self.block_bytes)):
            place, written = self._where(inode, index)
            if written & _STORED - 1:
                yield Extent(place, written & _STORED - 1)

    def _inode(self, ref: int) -> _Inode:
        return self._inodes.get(ref, self._parse_inode)

    def _parse_inode(self, ref: int) -> _Inode:
        cursor = Cursor(self._inode_table + (ref >> 16), ref & 0xFFFF)
        read = self._metadata.read
        code, mode, uid, gid, mtime, _ = struct.unpack("<HHHHII", read(cursor, 16))
        kind = _KINDS.get(code if code <= 7 else code - 7)
        if kind is None:
            raise self.source.fault(f"corrupt: the type of inode {ref:#x} is unknown", found=code, expected="1 to 14")
        links, size = 1, 0
        content = cursor
        blocks = None
        fragment = fragment_offset = 0
        match code:
            case 1:
                block, links, size, offset, _ = struct.unpack("<IIHHI", read(cursor, 16))
                content = Cursor(self._directory_table + block, offset)
            case 8:
                links, size, block, _, _, offset, _ = struct.unpack("<IIIIHHI", read(cursor, 24))
                content = Cursor(self._directory_table + block, offset)
            case 2:
                start, fragment, fragment_offset, size = struct.unpack("<IIII", read(cursor, 16))
            case 9:
                start, size, _, links, fragment, fragment_offset, _ = struct.unpack("<QQQIIII", read(cursor, 40))
            case 3 | 10:
                links, size = struct.unpack("<II", read(cursor, 8))
        if kind is FileKind.FILE:
            count = size // self.block_bytes
            if fragment == _NO_FRAGMENT and size % self.block_bytes:
                count += 1
            if start >= 1 << 62 or size >= 1 << 62:
                raise self.source.fault(
                    f"corrupt: inode {ref:#x} has data past the end", found=f"{size} bytes at {start}"
                )
            blocks = _BlockList(self._metadata, cursor, start, count)
        node = FileNode(
            id=ref,
            kind=kind,
            mode=_TYPE_BITS[kind] | mode & 0o7777,
            size_bytes=size,
            uid=self._owner(uid),
            gid=self._owner(gid),
            links=links,
            mtime_ns=mtime * 10**9,
        )
        return _Inode(node, content, blocks, fragment, fragment_offset)

    def _owner(self, index: int) -> int:
        if index >= self._ids:
            raise self.source.fault("corrupt: an owner is out of range", found=index, expected=f"less than {self._ids}")
        return int.from_bytes(self._metadata.entry(self._id_table, index, 4), "little")

    # Data

    def _where(self, inode: _Inode, index: int) -> tuple[int, int]:
        """The place and the written size of a block of a file, or of the fragment with the end of it."""
        assert inode.blocks is not None
        whole = inode.node.size_bytes // self.block_bytes
        if index < whole or inode.fragment == _NO_FRAGMENT:
            return inode.blocks.block(index)
        if inode.fragment >= self._fragment_count:
            raise self.source.fault(
                "corrupt: the fragment does not exist",
                found=inode.fragment,
                expected=f"less than {self._fragment_count}",
            )
        place, written = struct.unpack("<QI4x", self._metadata.entry(self._fragment_table, inode.fragment, 16))
        return place, written

    def _block(self, inode: _Inode, index: int) -> bytes:
        """A block of a file, as long as the file says."""
        place, written = self._where(inode, index)
        left = inode.node.size_bytes - index * self.block_bytes
        if left < self.block_bytes and inode.fragment != _NO_FRAGMENT:
            data = self._unpacked(place, written)[inode.fragment_offset : inode.fragment_offset + left]
        elif written & _STORED - 1 == 0:
            return bytes(min(left, self.block_bytes))
        else:
            data = self._unpacked(place, written)
        expected = min(left, self.block_bytes)
        if len(data) != expected:
            raise self.source.fault(
                f"corrupt: the block at {place} has the wrong length", found=f"{len(data)} bytes", expected=expected
            )
        return data

    def _unpacked(self, place: int, written: int) -> bytes:
        return self._data.get((place, written), lambda _: self._unpack(place, written))

    def _unpack(self, place: int, written: int) -> bytes:
        size = written & _STORED - 1
        if not 0 < size <= self.block_bytes or written >= _STORED << 1:
            raise self.source.fault(f"corrupt: the block at {place} has a wrong size", found=f"{written:#x}")
        data = self.source.read_data(place, size)
        if not written & _STORED:
            data = self._metadata.unpack(data, self.block_bytes, place)
        return data


def open_squashfs(device: Device) -> TreeFiles[int]:
    """The files of the squashfs that begins at byte 0 of `device`.

    Raises FormatError; FileSystemError (EOPNOTSUPP) when it is compressed with the old lzma; DeviceError.
    """
    source = Source(device, "squashfs")
    superblock = probe_squashfs(Region(device, head_bytes=SQUASHFS_BYTES))
    if superblock is None:
        raise source.fault("there is no superblock at byte 0")
    codec = _CODECS.get(superblock.compressor)
    if codec is None:
        raise FileSystemError(
            f"the file system is compressed with {superblock.compressor}, which is not supported",
            errno=errno.EOPNOTSUPP,
            where=f"{device.identity.name}: squashfs",
            hint="make it again with -comp zstd, xz, lz4 or gzip",
        )
    return TreeFiles(SquashfsTree(source, superblock, codec))
