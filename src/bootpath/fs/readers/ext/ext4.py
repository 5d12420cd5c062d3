"""Files of ext2, ext3 and ext4, without mounting.

Source: Linux Documentation/filesystems/ext4 (inodes.rst, directory.rst, inlinedata.rst, attributes.rst).
Little endian. An inode, 128 bytes and more::

      0 mode, u16     2 uid, u16      4 size, low u32   16 mtime, u32     24 gid, u16      26 links, u16
     32 flags, u32   40 i_block, 60 100 generation, u32 108 size, high u32 120 uid, gid, high u16 each
    124 checksum, low u16           128 extra size, u16 130 checksum, high u16             136 mtime, extra u32

A directory is a file of entries: inode u32, length u16, name length u8, type u8, name; no entry crosses a block. Blocks
of an index (htree) look like unused entries, so a directory is read from one end to the other. With metadata_csum the
last 12 bytes of a block are an entry of type 0xDE with the checksum, but not in the blocks of the index.

inline_data: what fits is kept in i_block and in the value of the attribute "system.data" in the inode itself.

Encrypted inodes and directories that ignore case are refused (EOPNOTSUPP).
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bootpath.core.device import Device
from bootpath.core.errors import FileSystemError
from bootpath.core.extents import Extent
from bootpath.formats.crc32c import crc32c_update
from bootpath.formats.superblocks.ext import Incompat
from bootpath.fs.readers.ext.blocks import BlockTree
from bootpath.fs.readers.ext.superblock import ROOT_INODE, Ext4Super, check, inode_place, read_ext4_super
from bootpath.fs.readers.files import FILE_TYPES, FileKind, FileNode
from bootpath.fs.readers.recent import Recent
from bootpath.fs.readers.source import Source
from bootpath.fs.readers.treefiles import Child, TreeFiles, check_directory, checked_name

_CACHED_INODES = 64
_I_BLOCK_BYTES = 60
_ENCRYPTED, _INDEXED, _EXTENTS, _INLINE, _CASEFOLD = 0x800, 0x1000, 0x80000, 0x10000000, 0x40000000
_XATTR_MAGIC = 0xEA020000
_XATTR_SYSTEM = 7
_TAIL = struct.Struct("<IHBB")
_TAIL_BYTES = 12


@dataclass(frozen=True, slots=True)
class _Inode:
    node: FileNode
    flags: int
    i_block: bytes
    body: bytes
    seed: int | None
    blocks: BlockTree

    @property
    def in_i_block(self) -> bool:
        """True for a short link, whose target is where other inodes have their block map."""
        return (
            self.node.kind is FileKind.SYMLINK and self.node.size_bytes < _I_BLOCK_BYTES and not self.flags & _EXTENTS
        )


class Ext4Tree:
    """`treefiles.Tree` of an ext file system; references are inode numbers."""

    root = ROOT_INODE

    def __init__(self, source: Source, superblock: Ext4Super) -> None:
        self.source = source
        self.superblock = superblock
        self._inodes: Recent[int, _Inode] = Recent(_CACHED_INODES)
        self._has_types = bool(superblock.incompat & Incompat.FILETYPE)

    @property
    def warnings(self) -> Sequence[str]:
        """See `Tree.warnings`."""
        return self.superblock.warnings

    def fold(self, name: str) -> str:
        """See `Tree.fold`: case matters."""
        return name

    def node(self, ref: int) -> FileNode:
        """See `Tree.node`."""
        return self._inode(ref).node

    def children(self, ref: int) -> Iterator[Child[int]]:
        """See `Tree.children`."""
        inode = self._inode(ref)
        check_directory(self.source, inode.node, str(ref))
        self._refuse(inode, _ENCRYPTED | _CASEFOLD)
        for block in self._directory_blocks(inode):
            self.source.spend_directory(len(block))
            yield from self._entries(block)

    def read(self, ref: int, offset: int, length: int) -> bytes:
        """See `Tree.read`."""
        inode = self._inode(ref)
        self._refuse(inode, _ENCRYPTED)
        if inode.flags & _INLINE:
            # mke2fs leaves files of zeros so: what is not in the inode is a hole, and Linux reads it as one.
            return self._inline(inode)[offset : offset + length].ljust(length, b"\0")
        if inode.in_i_block:
            return inode.i_block[offset : offset + length]
        parts = []
        for extent, size in self._mapped(inode, offset, length):
            parts.append(bytes(size) if extent is None else self.source.read_data(extent.offset, extent.length))
        return b"".join(parts)

    def doubts(self, ref: int) -> Iterator[str]:
        """See `Tree.doubts`: what is wrong here is found when it is read."""
        return iter(())

    def extents(self, ref: int) -> Iterator[Extent]:
        """See `Tree.extents`; what is in the inode itself has none."""
        inode = self._inode(ref)
        if not inode.flags & _INLINE and not inode.in_i_block:
            for extent, _ in self._mapped(inode, 0, inode.node.size_bytes):
                if extent is not None:
                    yield extent

    def _mapped(self, inode: _Inode, offset: int, length: int) -> Iterator[tuple[Extent | None, int]]:
        """Where each piece of a range is (None: zeros), and how long it is."""
        block_bytes = self.superblock.block_bytes
        first = offset // block_bytes
        count = -(-(offset + length) // block_bytes) - first
        for run in inode.blocks.runs(first, count):
            start = max(run.logical * block_bytes, offset)
            end = min((run.logical + run.count) * block_bytes, offset + length)
            if run.block is None:
                yield None, end - start
            else:
                place = run.block * block_bytes + start - run.logical * block_bytes
                yield Extent(place, end - start), end - start

    def _inode(self, number: int) -> _Inode:
        return self._inodes.get(number, self._parse_inode)

    def _parse_inode(self, number: int) -> _Inode:
        sb = self.superblock
        data = self.source.read(inode_place(self.source, sb, number), sb.inode_bytes)
        mode, uid, size, mtime, gid, links, flags = struct.unpack_from("<HHI8xI4xHH4xI", data)
        generation, size_high, uid_high, gid_high = struct.unpack_from("<I4xI8xHH", data, 100)
        extra = int.from_bytes(data[128:130], "little") if len(data) > 128 else 0
        if 128 + extra > len(data):
            raise self.source.fault(f"corrupt: inode {number} has the wrong extra size", found=f"{extra} bytes")
        seed = None
        if sb.checksums:
            seed = crc32c_update(sb.seed, struct.pack("<II", number, generation))
            covered, stored, mask = bytearray(data), int.from_bytes(data[124:126], "little"), 0xFFFF
            covered[124:126] = b"\0\0"
            if extra >= 4:
                stored |= int.from_bytes(data[130:132], "little") << 16
                covered[130:132], mask = b"\0\0", 0xFFFFFFFF
            check(self.source, f"inode {number}", crc32c_update(seed, covered) & mask, stored)
        kind = FileKind.of_mode(mode)
        if kind is None or links == 0:
            raise self.source.fault(f"corrupt: inode {number} is not in use", found=f"mode {mode:#o}")
        size |= size_high << 32 if kind in (FileKind.FILE, FileKind.DIRECTORY) else 0
        if size >= 1 << 48:  # 2^32 blocks of 64 KiB
            raise self.source.fault(f"corrupt: inode {number} has a wrong size", found=f"{size} bytes")
        mtime -= (mtime & 0x80000000) << 1  # "The lower 32 bits are signed", and the extra ones count from there
        nanoseconds = 0
        if extra >= 12:
            more = int.from_bytes(data[136:140], "little")
            mtime, nanoseconds = mtime + ((more & 3) << 32), more >> 2
        node = FileNode(
            id=number,
            kind=kind,
            mode=mode,
            size_bytes=size,
            uid=uid | uid_high << 16,
            gid=gid | gid_high << 16,
            links=links,
            mtime_ns=mtime * 10**9 + nanoseconds,
        )
        blocks = BlockTree(self.source, sb, data[40:100], extents=bool(flags & _EXTENTS), seed=seed)
        return _Inode(node, flags, data[40:100], data[128 + extra :] if extra else b"", seed, blocks)

    def _refuse(self, inode: _Inode, flags: int) -> None:
        for flag, name in ((_ENCRYPTED, "encrypted"), (_CASEFOLD, "a directory that ignores case")):
            if inode.flags & flags & flag:
                where = f"{self.source.device.identity.name}: {self.source.format}"
                raise FileSystemError(
                    f"inode {inode.node.id} is {name}, which is not supported", errno=errno.EOPNOTSUPP, where=where
                )

    # Directories

    def _directory_blocks(self, inode: _Inode) -> Iterator[bytes]:
        size, block_bytes = inode.node.size_bytes, self.superblock.block_bytes
        if inode.flags & _INLINE:
            data = self._inline(inode)
            yield data[4:_I_BLOCK_BYTES]  # the first four bytes are the parent's number
            yield data[_I_BLOCK_BYTES:]
            return
        if size % block_bytes:
            raise self.source.fault(
                "corrupt: a directory has a wrong size", found=f"{size} bytes", expected=f"blocks of {block_bytes}"
            )
        for run in inode.blocks.runs(0, size // block_bytes):
            if run.block is None:
                continue
            for index in range(run.count):
                block = self.source.read((run.block + index) * block_bytes, block_bytes)
                if inode.seed is not None and not self._is_index(inode, run.logical + index, block):
                    self._check_tail(inode.seed, block, run.block + index)
                yield block

    def _is_index(self, inode: _Inode, logical: int, block: bytes) -> bool:
        """True for a block of the htree: the first one, and those that are one unused entry."""
        if not inode.flags & _INDEXED:
            return False
        return logical == 0 or struct.unpack_from("<IH", block) == (0, _stored_length(len(block)))

    def _check_tail(self, seed: int, block: bytes, place: int) -> None:
        *fields, kind = _TAIL.unpack_from(block, len(block) - _TAIL_BYTES)
        if (fields, kind) != ([0, _TAIL_BYTES, 0], 0xDE):
            raise self.source.fault(f"corrupt: the directory block {place} has no checksum")
        computed = crc32c_update(seed, block[:-_TAIL_BYTES])
        check(self.source, f"directory block {place}", computed, int.from_bytes(block[-4:], "little"))

    def _entries(self, block: bytes) -> Iterator[Child[int]]:
        place = 0
        while place + 8 <= len(block):
            number, length, name_bytes, kind_code = struct.unpack_from("<IHBB", block, place)
            if len(block) >= 1 << 16:
                length = len(block) if length in (0, 0xFFFF) else (length & 0xFFFC) | (length & 3) << 16
            if not self._has_types:
                name_bytes |= kind_code << 8
            if length < 8 + name_bytes or length % 4 or place + length > len(block):
                raise self.source.fault(
                    "corrupt: a directory entry has a wrong length", found=f"{length} bytes at {place}"
                )
            raw = block[place + 8 : place + 8 + name_bytes]
            place += length
            if number == 0 or raw in (b".", b".."):
                continue
            name = checked_name(self.source, os.fsdecode(raw))
            kind = FILE_TYPES.get(kind_code) if self._has_types else None
            yield Child(name, kind or self.node(number).kind, number)

    # Inline data

    def _inline(self, inode: _Inode) -> bytes:
        """i_block, and the value of system.data behind it when there is one."""
        body = inode.body
        if len(body) < 4 or int.from_bytes(body[:4], "little") != _XATTR_MAGIC:
            return inode.i_block[: inode.node.size_bytes]
        place = 4
        while place + 16 <= len(body) and body[place : place + 4] != bytes(4):
            name_bytes, index, value, value_inode, size = struct.unpack_from("<BBHII", body, place)
            name = body[place + 16 : place + 16 + name_bytes]
            if index == _XATTR_SYSTEM and name == b"data":
                # Values are counted from the first entry.
                if value_inode or 4 + value + size > len(body):
                    raise self.source.fault(
                        f"corrupt: the inline data of inode {inode.node.id} has a wrong size", found=f"{size} bytes"
                    )
                return (inode.i_block + body[4 + value : 4 + value + size])[: inode.node.size_bytes]
            place += 16 + name_bytes + -name_bytes % 4
        return inode.i_block[: inode.node.size_bytes]


def _stored_length(size: int) -> int:
    """The length of an entry that fills a block, as it is stored: 64 KiB do not fit."""
    return size if size < 1 << 16 else 0xFFFF


def open_ext4(device: Device) -> TreeFiles[int]:
    """The files of the ext2, ext3 or ext4 that fills `device`. Raises FormatError, DeviceError."""
    source = Source(device, "ext4")
    superblock = read_ext4_super(source)
    source.format = superblock.superblock.kind
    return TreeFiles(Ext4Tree(source, superblock))
