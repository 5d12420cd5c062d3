"""Files of an erofs image, without mounting.

Source: Linux Documentation/filesystems/erofs.rst and fs/erofs/erofs_fs.h. Little endian. The superblock is checked by
`formats.superblocks.erofs`; of it are used here: 14 root inode, u16; 40 first block of the inodes, u32; 88 number of
the packed inode, u64. An inode is at 32 bytes times its number::

    compact, 32   format, u16: bit 0: extended, bits 1 to 3: layout   xattr count, u16   mode, u16   links, u16
                  size, u32   mtime after the superblock's, u32   block or chunks, u32   number, u32   uid, gid, u16
    extended, 64  the same with size u64, then block, number, uid, gid, u32   mtime, u64   nanoseconds, u32   links, u32

    layout  0 plain: consecutive blocks               2 inline: the same, but the last part stands behind the inode
            1, 3 compressed, full and compact index   4 chunks: a block number, or 8 bytes with one, for each

A directory is blocks, each with its entries and then their names: inode u64, offset of the name u16, type u8, unused.

Not read: files on other devices, metadata that is compressed, addresses of 48 bits. The error names what it is.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bootpath.core.device import Device
from bootpath.core.errors import FileSystemError, FormatError
from bootpath.core.extents import Extent
from bootpath.formats.region import Region
from bootpath.formats.superblocks.erofs import EROFS_BYTES, EROFS_OFFSET, ErofsSuperblock, probe_erofs
from bootpath.fs.readers.codecs import Codec, decompress
from bootpath.fs.readers.erofs.index import CompressedExtent, CompressedIndex, ExtentStorage
from bootpath.fs.readers.files import FILE_TYPES, FileKind, FileNode
from bootpath.fs.readers.recent import Recent
from bootpath.fs.readers.source import Source
from bootpath.fs.readers.treefiles import Child, TreeFiles, check_directory, checked_name

_KNOWN = 0x7F
_UNREADABLE = {0x80: "48bit", 0x100: "metabox"}
_ZERO_PADDING = 0x1
_SLOT_BYTES = 32
_DIRENT = struct.Struct("<QHBx")
_PLAIN, _FULL, _INLINE, _COMPACT, _CHUNKS = range(5)
_NO_BLOCK = 0xFFFFFFFF
_CHUNK_INDEXES = 0x20
_CODECS = (Codec.LZ4, Codec.MICRO_LZMA, Codec.DEFLATE, Codec.ZSTD)
_CACHED_INODES = 64
_CACHED_EXTENTS = 8
_CACHED_EXTENT_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class _Inode:
    """`start` is the first block of a flat file or the format of chunks; `end` the byte behind inode and attributes."""

    node: FileNode
    layout: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Piece:
    """`length` bytes of a file from `start`: at `place` of the device, None for zeros."""

    start: int
    length: int
    place: int | None


class ErofsTree:
    """`treefiles.Tree` of an erofs image; references are inode numbers."""

    warnings: Sequence[str] = ()

    def __init__(self, source: Source, superblock: ErofsSuperblock) -> None:
        self.source = source
        self.superblock = superblock
        self.block_bytes = superblock.block_bytes
        self._block_bits = superblock.block_bytes.bit_length() - 1
        data = source.read(EROFS_OFFSET, EROFS_BYTES)
        (root,) = struct.unpack_from("<H", data, 14)
        self.root: int = root
        self._epoch, self._epoch_ns, _, meta_block = struct.unpack_from("<QIII", data, 24)
        self._inodes_start = meta_block * self.block_bytes
        (self._packed,) = struct.unpack_from("<Q", data, 96)
        self._inodes: Recent[int, _Inode] = Recent(_CACHED_INODES)
        self._indexes: Recent[int, CompressedIndex] = Recent(_CACHED_INODES)
        self._extents: Recent[tuple[int, int], bytes] = Recent(_CACHED_EXTENTS)
        self._large_extents: Recent[tuple[int, int], bytes] = Recent(1)

    def fold(self, name: str) -> str:
        """See `Tree.fold`: case matters."""
        return name

    def node(self, ref: int) -> FileNode:
        """See `Tree.node`."""
        return self._inode(ref).node

    def children(self, ref: int) -> Iterator[Child[int]]:
        """See `Tree.children`."""
        node = self.node(ref)
        check_directory(self.source, node, str(ref))
        for offset in range(0, node.size_bytes, self.block_bytes):
            self.source.spend_directory(self.block_bytes)
            yield from self._entries(self.read(ref, offset, min(self.block_bytes, node.size_bytes - offset)))

    def read(self, ref: int, offset: int, length: int) -> bytes:
        """See `Tree.read`."""
        inode = self._inode(ref)
        if inode.layout in (_FULL, _COMPACT):
            return self._read_compressed(ref, inode, offset, length)
        parts = []
        for piece in self._pieces(inode, offset, length):
            parts.append(
                bytes(piece.length) if piece.place is None else self.source.read_data(piece.place, piece.length)
            )
        return b"".join(parts)

    def doubts(self, ref: int) -> Iterator[str]:
        """See `Tree.doubts`: what is wrong here is found when it is read."""
        return iter(())

    def extents(self, ref: int) -> Iterator[Extent]:
        """See `Tree.extents`. What is in the packed inode is left out."""
        inode = self._inode(ref)
        size = inode.node.size_bytes
        if inode.layout not in (_FULL, _COMPACT):
            for piece in self._pieces(inode, 0, size):
                if piece.place is not None:
                    yield Extent(piece.place, piece.length)
            return
        offset = 0
        while offset < size:
            extent = self._index(ref, inode).extent_at(offset)
            if extent.storage is not ExtentStorage.FRAGMENT:
                yield Extent(extent.place, extent.size)
            offset = extent.start + extent.length

    def _inode(self, number: int) -> _Inode:
        return self._inodes.get(number, self._parse_inode)

    def _parse_inode(self, number: int) -> _Inode:
        place = self._inodes_start + number * _SLOT_BYTES
        data = self.source.read(place, 32)
        form, xattrs, mode = struct.unpack_from("<HHH", data)
        if form & 1:
            data += self.source.read(place + 32, 32)
            size, start, _, uid, gid, mtime, nanoseconds, links = struct.unpack_from("<QIIIIQII", data, 8)
        else:
            links, size, mtime, start, _, uid, gid = struct.unpack_from("<HIIIIHH", data, 6)
            mtime, nanoseconds = mtime + self._epoch, self._epoch_ns
        kind = FileKind.of_mode(mode)
        layout = form >> 1 & 7
        if form & ~0x1F or layout > _CHUNKS or kind is None or size >= 1 << 63:
            raise self.source.fault(
                f"corrupt: inode {number} is not valid", found=f"format {form:#x}, mode {mode:#o}, {size} bytes"
            )
        # "1 header + n-1 * 4 bytes inline xattr"
        end = place + len(data) + (12 + (xattrs - 1) * 4 if xattrs else 0)
        node = FileNode(number, kind, mode, size, uid, gid, links, mtime * 10**9 + nanoseconds)
        return _Inode(node, layout, start, end)

    # Flat files and chunks

    def _pieces(self, inode: _Inode, offset: int, length: int) -> Iterator[_Piece]:
        if inode.layout == _CHUNKS:
            yield from self._chunks(inode, offset, length)
            return
        whole = -(-inode.node.size_bytes // self.block_bytes) * self.block_bytes
        if inode.layout == _INLINE and whole:
            whole -= self.block_bytes
        in_blocks = min(offset + length, whole) - offset
        if in_blocks > 0:
            place = None if inode.start == _NO_BLOCK else inode.start * self.block_bytes + offset
            yield _Piece(offset, in_blocks, place)
            offset, length = offset + in_blocks, length - in_blocks
        if length > 0:
            place = inode.end + offset - whole
            if inode.end % self.block_bytes + inode.node.size_bytes - whole > self.block_bytes:
                raise self.source.fault(f"corrupt: the inline data of inode {inode.node.id} crosses a block")
            yield _Piece(offset, length, place)

    def _chunks(self, inode: _Inode, offset: int, length: int) -> Iterator[_Piece]:
        form = inode.start & 0xFFFF
        if form & ~0x3F:
            raise self.source.fault(f"corrupt: inode {inode.node.id} has chunks of an unknown format", found=hex(form))
        chunk_bytes = self.block_bytes << (form & 0x1F)
        unit = 8 if form & _CHUNK_INDEXES else 4
        table = inode.end + -inode.end % unit
        end = offset + length
        while offset < end:
            number = offset // chunk_bytes
            raw = self.source.read(table + number * unit, unit)
            device, block = struct.unpack("<2xHI", raw) if unit == 8 else (0, int.from_bytes(raw, "little"))
            inside = offset - number * chunk_bytes
            count = min(chunk_bytes - inside, end - offset)
            if block != _NO_BLOCK and device:
                raise FileSystemError(
                    f"inode {inode.node.id} has data on another device, number {device}",
                    errno=errno.EOPNOTSUPP,
                    where=f"{self.source.device.identity.name}: erofs",
                )
            yield _Piece(offset, count, None if block == _NO_BLOCK else block * self.block_bytes + inside)
            offset += count

    # Compressed files

    def _index(self, number: int, inode: _Inode) -> CompressedIndex:
        start = inode.end + -inode.end % 8
        return self._indexes.get(
            number,
            lambda _: CompressedIndex(
                self.source, start, inode.node.size_bytes, self._block_bits, compact=inode.layout == _COMPACT
            ),
        )

    def _read_compressed(self, number: int, inode: _Inode, offset: int, length: int) -> bytes:
        index = self._index(number, inode)
        parts = []
        end = offset + length
        while offset < end:
            extent = index.extent_at(offset)
            skip = offset - extent.start
            count = min(extent.length - skip, end - offset)
            if extent.storage is ExtentStorage.FRAGMENT:
                if number == self._packed:
                    raise self.source.fault("corrupt: the packed inode has a fragment")
                parts.append(self._read_packed(extent.place + skip, count))
            else:
                parts.append(self._decoded(extent)[skip : skip + count])
            offset += count
        return b"".join(parts)

    def _read_packed(self, offset: int, length: int) -> bytes:
        node = self.node(self._packed)
        if offset + length > node.size_bytes or node.kind is not FileKind.FILE:
            raise self.source.fault(
                "corrupt: a fragment is outside the packed inode",
                found=f"an end at byte {offset + length}",
                expected=f"at most byte {node.size_bytes} of a file",
            )
        return self.read(self._packed, offset, length)

    def _decoded(self, extent: CompressedExtent) -> bytes:
        kept = self._extents if extent.length <= _CACHED_EXTENT_BYTES else self._large_extents
        return kept.get((extent.place, extent.length), lambda _: self._decode(extent))

    def _decode(self, extent: CompressedExtent) -> bytes:
        self.source.spend_unpacked(extent.length)
        raw = self.source.read_data(extent.place, extent.size)
        if extent.algorithm is None:
            # Interlaced: each byte stands in its block where it would stand in the file, so it can be in two parts.
            turn = extent.start % self.block_bytes if extent.rotated else 0
            data = (raw[turn : turn + extent.length] + raw[:turn])[: extent.length]
        else:
            data = self._decompress(extent, raw)
        if len(data) != extent.length:
            raise self.source.fault(
                f"corrupt: the extent at {extent.place} has the wrong length",
                found=f"{len(data)} bytes",
                expected=extent.length,
            )
        return data

    def _decompress(self, extent: CompressedExtent, raw: bytes) -> bytes:
        assert extent.algorithm is not None
        if extent.algorithm >= len(_CODECS):
            raise self.source.fault(
                "corrupt: the compression algorithm is unknown", found=extent.algorithm, expected="0 to 3"
            )
        codec = _CODECS[extent.algorithm]
        # "0padding": what is compressed ends where its blocks end.
        if codec is not Codec.LZ4 or self.superblock.feature_incompat & _ZERO_PADDING:
            raw = raw.lstrip(b"\0")
        try:
            return decompress(codec, raw, extent.length)
        except FormatError as error:
            raise error.at(f"{self.source.device.identity.name}: erofs: extent at {extent.place}") from None

    # Directories

    def _entries(self, block: bytes) -> Iterator[Child[int]]:
        if len(block) < _DIRENT.size:
            raise self.source.fault("corrupt: the directory block has the wrong length", found=f"{len(block)} bytes")
        (first,) = struct.unpack_from("<H", block, 8)
        count, rest = divmod(first, _DIRENT.size)
        if rest or count == 0 or first > len(block):
            raise self.source.fault(
                "corrupt: the place of the names in a directory block is wrong", found=f"byte {first}"
            )
        entries = [_DIRENT.unpack_from(block, index * _DIRENT.size) for index in range(count)]
        ends = [start for _, start, _ in entries[1:]] + [len(block)]
        for (number, start, code), end in zip(entries, ends, strict=True):
            raw = block[start:end].split(b"\0")[0] if start < end <= len(block) else b""
            if raw not in (b".", b".."):
                name, kind = checked_name(self.source, os.fsdecode(raw)), FILE_TYPES.get(code)
                yield Child(name, kind or self.node(number).kind, number)


def open_erofs(device: Device) -> TreeFiles[int]:
    """The files of the erofs that fills `device`. Raises FormatError, DeviceError."""
    source = Source(device, "erofs")
    superblock = probe_erofs(Region(device, head_bytes=EROFS_OFFSET + EROFS_BYTES))
    if superblock is None:
        raise source.fault("there is no superblock at byte 1024")
    unknown = superblock.feature_incompat & ~_KNOWN
    if unknown:
        names = [name for flag, name in _UNREADABLE.items() if unknown & flag]
        rest = unknown & ~sum(_UNREADABLE)
        names += [hex(rest)] if rest else []
        raise source.fault(f"cannot be read: it has features that are not known here ({', '.join(names)})")
    return TreeFiles(ErofsTree(source, superblock))
