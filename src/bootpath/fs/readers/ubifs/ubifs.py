"""Files of a UBIFS, without mounting: as Linux shows them when it mounts the volume read-only.

Source: Linux fs/ubifs/ubifs-media.h, super.c and file.c. Little endian; `formats.superblocks.ubifs` has the superblock.
Behind the header and the key (`nodes`) there are::

    inode   48 size, u64   72 mtime, s64   88 its nanoseconds, u32   92 links   96 uid   100 gid   104 mode   108 flags
            112 bytes of data, u32         160 data: the target of a link
    data    40 size of the block, u32      44 compression, u16       48 data, of at most a block of 4096 bytes

A block without data is zeros. Names are read from the directory, and never looked up by their hash: so it does not
matter with which hash they are there, nor how many have the same.

Files that are encrypted are refused one by one; that what is read was signed is not checked, and said in a warning.
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
from bootpath.formats.superblocks.ubifs import UbifsFlag, UbifsSuperblock, probe_ubifs
from bootpath.fs.readers.codecs import Codec, decompress
from bootpath.fs.readers.files import FileKind, FileNode
from bootpath.fs.readers.recent import Recent
from bootpath.fs.readers.source import Source
from bootpath.fs.readers.treefiles import Child, TreeFiles, check_directory, checked_name
from bootpath.fs.readers.ubifs.index import Index, IndexBranch
from bootpath.fs.readers.ubifs.journal import UbifsEntry, parse_entry, read_journal
from bootpath.fs.readers.ubifs.master import Master, read_master
from bootpath.fs.readers.ubifs.nodes import (
    BLOCK_BYTES,
    MAX_WORD,
    WORD_BITS,
    KeyType,
    Lebs,
    NodeType,
    Place,
    key_of,
    make_key,
)
from bootpath.fs.readers.ubifs.replay import InodeChanges, recover_sizes, replay

ROOT_INODE = 1
FORMAT_VERSION = 5
_INODE = struct.Struct("<Q16xq8xIIIIIII")  # from byte 48
_INODE_PLACE, _INODE_BYTES = 48, 160
_DATA = struct.Struct("<IH")
_DATA_PLACE, _DATA_BYTES = 40, 48
_ENCRYPTED = 0x40
_CACHED_INODES = 64
_JOINED_BYTES = 1 << 20  # so much of a file is read at once
_CODECS = {1: Codec.LZO, 2: Codec.DEFLATE, 3: Codec.ZSTD}
_KINDS = {
    0: FileKind.FILE,
    1: FileKind.DIRECTORY,
    2: FileKind.SYMLINK,
    3: FileKind.BLOCK_DEVICE,
    4: FileKind.CHARACTER_DEVICE,
    5: FileKind.FIFO,
    6: FileKind.SOCKET,
}
_HASH_BYTES = {1: 16, 2: 20, 4: 32, 5: 48, 6: 64, 7: 28}  # Linux uapi/linux/hash_info.h: MD5, SHA-1 and -2
_UNCLEAN = "the file system was not unmounted: its journal was read up to the last whole write"
_UNSIGNED = "the file system is authenticated: that it is unchanged was not checked, since that needs its key"


@dataclass(frozen=True, slots=True)
class _Inode:
    node: FileNode
    flags: int
    data: bytes


class UbifsTree:
    """`treefiles.Tree` of a UBIFS; references are the numbers of inodes."""

    root = ROOT_INODE

    def __init__(self, lebs: Lebs, master: Master, hash_bytes: int, warnings: Sequence[str]) -> None:
        self.source = lebs.source
        self.warnings = warnings
        self._lebs = lebs
        self._index = Index(lebs, master.root, hash_bytes)
        self._inodes: Recent[int, _Inode] = Recent(_CACHED_INODES)
        changes = read_journal(lebs, master)
        self._changes: dict[int, InodeChanges] = replay(changes)
        if not master.clean:
            recover_sizes(changes, self._changes, self._size_of)

    def fold(self, name: str) -> str:
        """See `Tree.fold`: case matters."""
        return name

    def node(self, ref: int) -> FileNode:
        """See `Tree.node`."""
        return self._inode(ref).node

    def children(self, ref: int) -> Iterator[Child[int]]:
        """See `Tree.children`."""
        inode = self._inode(ref)
        if inode.node.kind is not FileKind.DIRECTORY:
            check_directory(self.source, inode.node, str(ref))
        self._refuse(inode)
        for entry in self._entries(ref):
            kind = _KINDS.get(entry.type)
            if kind is None or not entry.inode:
                raise self.source.fault(
                    f"corrupt: an entry of directory {ref} is wrong", found=f"type {entry.type}, inode {entry.inode}"
                )
            yield Child(checked_name(self.source, os.fsdecode(entry.name)), kind, entry.inode)

    def read(self, ref: int, offset: int, length: int) -> bytes:
        """See `Tree.read`."""
        inode = self._inode(ref)
        self._refuse(inode)
        if inode.node.kind is FileKind.SYMLINK:
            return inode.data[offset : offset + length]
        first, last = offset // BLOCK_BYTES, (offset + length - 1) // BLOCK_BYTES
        out = bytearray((last - first + 1) * BLOCK_BYTES)
        for block, data in self._blocks(ref, first, last):
            at = (block - first) * BLOCK_BYTES
            out[at : at + len(data)] = data
        return bytes(out[offset - first * BLOCK_BYTES :][:length])

    def doubts(self, ref: int) -> Iterator[str]:
        """See `Tree.doubts`: what is wrong here is found when it is read."""
        return iter(())

    def extents(self, ref: int) -> Iterator[Extent]:
        """See `Tree.extents`."""
        inode = self._inode(ref)
        blocks = -(-inode.node.size_bytes // BLOCK_BYTES)
        for _, place in self._data_places(ref, 0, blocks - 1) if blocks else ():
            if place.length > _DATA_BYTES:
                yield Extent(self._lebs.position(place) + _DATA_BYTES, place.length - _DATA_BYTES)

    # Inodes

    def _find(self, number: int) -> Place | None:
        changes = self._changes.get(number)
        key = make_key(number, KeyType.INODE)
        if changes is not None:
            word = key & MAX_WORD
            if word in changes.places:
                return changes.places[word]
            if changes.hides(word):
                return None
        return self._index.find(key)

    def _size_of(self, number: int) -> int | None:
        place = self._find(number)
        return None if place is None else self._parse_inode(number, place).node.size_bytes

    def _inode(self, number: int) -> _Inode:
        return self._inodes.get(number, self._read_inode)

    def _read_inode(self, number: int) -> _Inode:
        place = self._find(number)
        if place is None:
            raise self.source.fault(f"corrupt: there is no inode {number}")
        return self._parse_inode(number, place)

    def _parse_inode(self, number: int, place: Place) -> _Inode:
        data = self._lebs.node(place, NodeType.INODE)
        if key_of(data) != make_key(number, KeyType.INODE):
            raise self.source.fault(f"corrupt: the node of inode {number} is another one", found=f"{key_of(data):#x}")
        size, seconds, nanoseconds, links, uid, gid, mode, flags, length = _INODE.unpack_from(data, _INODE_PLACE)
        kind = FileKind.of_mode(mode)
        if kind is None or links == 0:
            raise self.source.fault(f"corrupt: inode {number} is not in use", found=f"mode {mode:#o}, {links} links")
        content = data[_INODE_BYTES : _INODE_BYTES + length]
        if len(content) != length or (kind is FileKind.SYMLINK and length != size) or size > 1 << 62:
            raise self.source.fault(f"corrupt: inode {number} has a wrong size", found=f"{size} and {length} bytes")
        changes = self._changes.get(number)
        if changes is not None and changes.size is not None and kind is FileKind.FILE:
            size = max(size, changes.size)
        node = FileNode(
            id=number,
            kind=kind,
            mode=mode,
            size_bytes=size,
            uid=uid,
            gid=gid,
            links=links,
            mtime_ns=seconds * 10**9 + nanoseconds,
        )
        return _Inode(node, flags, content)

    def _refuse(self, inode: _Inode) -> None:
        if inode.flags & _ENCRYPTED:
            raise FileSystemError(
                f"inode {inode.node.id} is encrypted, which is not supported",
                errno=errno.EOPNOTSUPP,
                where=f"{self.source.device.identity.name}: {self.source.format}",
            )

    # Directories

    def _entries(self, number: int) -> Iterator[UbifsEntry]:
        """The entries of the index that count, and those of the journal."""
        changes = self._changes.get(number)
        low = make_key(number, KeyType.ENTRY)
        for branch in self._index.range(low, low | (1 << WORD_BITS) - 1):
            self.source.spend_directory(branch.place.length)
            word = branch.key & MAX_WORD
            newer = None
            if changes is not None:
                if word in changes.removed:
                    continue
                newer = changes.names.get(word)
            entry = self._entry(branch, may_be_gone=newer is not None)
            if entry is not None and (newer is None or entry.name not in newer):
                yield entry
        for names in () if changes is None else changes.names.values():
            for place in names.values():
                if place is not None:
                    self.source.spend_directory(place.length)
                    yield parse_entry(self._lebs, self._lebs.node(place, NodeType.ENTRY))

    def _entry(self, branch: IndexBranch, *, may_be_gone: bool) -> UbifsEntry | None:
        try:
            data = self._lebs.node(branch.place, NodeType.ENTRY)
            if key_of(data) != branch.key:
                raise self.source.fault("corrupt: a directory entry is another one", found=f"{key_of(data):#x}")
            return parse_entry(self._lebs, data)
        except FormatError:
            if may_be_gone:
                return None
            raise

    # Data

    def _data_places(self, number: int, first: int, last: int) -> list[tuple[int, Place]]:
        """Where the blocks from `first` to `last` are, in order, by their keys; those of zeros are not there."""
        changes = self._changes.get(number)
        low, high = (make_key(number, KeyType.DATA, min(block, (1 << WORD_BITS) - 1)) for block in (first, last))
        found = []
        for branch in self._index.range(low, high):
            if changes is None or not changes.hides(branch.key & MAX_WORD):
                found.append((branch.key, branch.place))
        if changes is not None:
            above = number << 32
            newer = changes.data(low & MAX_WORD, high & MAX_WORD)
            found = sorted([*found, *((above | word, place) for word, place in newer)], key=lambda pair: pair[0])
        return found

    def _blocks(self, number: int, first: int, last: int) -> Iterator[tuple[int, bytes]]:
        """The blocks that have data, as (block, data). Nodes that stand beside each other are read together."""
        found = self._data_places(number, first, last)
        index = 0
        while index < len(found):
            start = self._lebs.position(found[index][1])
            end = start + found[index][1].length
            until = index + 1
            while until < len(found):
                place = found[until][1]
                position = self._lebs.position(place)
                if not 0 <= position - end < 8 or position + place.length - start > _JOINED_BYTES:
                    break
                end = position + place.length
                until += 1
            data = self.source.read_data(start, end - start)
            for key, place in found[index:until]:
                at = self._lebs.position(place) - start
                yield key & (1 << WORD_BITS) - 1, self._block(key, place, data[at : at + place.length])
            index = until

    def _block(self, key: int, place: Place, raw: bytes) -> bytes:
        data = self._lebs.checked(raw, place, NodeType.DATA)
        size, compression = _DATA.unpack_from(data, _DATA_PLACE)
        if key_of(data) != key or not 0 < size <= BLOCK_BYTES:
            raise self.source.fault(
                f"corrupt: the data at {place.offset} of LEB {place.leb} is another one", found=f"{size} bytes"
            )
        content = data[_DATA_BYTES:]
        if compression:
            codec = _CODECS.get(compression)
            if codec is None:
                raise self.source.fault("the compression of a file is unknown", found=compression, expected="0 to 3")
            self.source.spend_unpacked(size)
            try:
                content = decompress(codec, content, size + 1)
            except FormatError as error:
                raise error.at(f"{self.source.device.identity.name}: ubifs: LEB {place.leb}: {place.offset}") from None
        if len(content) != size:
            raise self.source.fault(
                f"corrupt: the data at {place.offset} of LEB {place.leb} has the wrong length",
                found=f"{len(content)} bytes",
                expected=f"{size} bytes",
            )
        return content


def open_ubifs(device: Device) -> TreeFiles[int]:
    """The files of the UBIFS that fills `device`, a volume of UBI, or begins there.

    Raises FormatError; FileSystemError (EOPNOTSUPP) for a version, or for features, that are not known; DeviceError.
    """
    source = Source(device, "ubifs")
    superblock = probe_ubifs(Region(device, head_bytes=BLOCK_BYTES))
    if superblock is None:
        raise source.fault("there is no superblock at byte 0")
    warnings = []
    _check_features(source, superblock)
    hash_bytes = 0
    if superblock.flags & UbifsFlag.AUTHENTICATION:
        hash_bytes = _HASH_BYTES.get(superblock.hash_algorithm, 0)
        if not hash_bytes:
            raise _unsupported(source, f"its hash algorithm, number {superblock.hash_algorithm}, is not supported")
        warnings.append(_UNSIGNED)
    if superblock.size_bytes > source.size_bytes:
        raise source.fault(
            "the file system is larger than the device",
            found=f"{superblock.size_bytes} bytes",
            expected=f"at most {source.size_bytes}, which the device has",
        )
    lebs = Lebs(source, superblock)
    master = read_master(lebs)
    if not master.clean:
        warnings.append(_UNCLEAN)
    return TreeFiles(UbifsTree(lebs, master, hash_bytes, tuple(warnings)))


def _check_features(source: Source, superblock: UbifsSuperblock) -> None:
    if superblock.format_version > FORMAT_VERSION and superblock.read_only_version > 0:
        raise _unsupported(source, f"the version {superblock.version} is not supported")
    if superblock.flags & ~int(sum(UbifsFlag)):
        raise _unsupported(source, f"the flags {superblock.flags:#x} are not all known")


def _unsupported(source: Source, what: str) -> FileSystemError:
    return FileSystemError(what, errno=errno.EOPNOTSUPP, where=f"{source.device.identity.name}: {source.format}")
