"""The nodes of a UBIFS, and the logical eraseblocks (LEBs) that they are in.

Source: Linux fs/ubifs/ubifs-media.h and io.c. Little endian. Everything is a node, at a multiple of 8 in a LEB::

    0 magic 0x06101831   4 CRC-32 of what follows it, not inverted at its end   8 sequence number, u64
    16 length, u32       20 type, u8     21 group, u8 (1: more of it follows, 2: the last of it)

A node that belongs to a file has its key behind that, of which 8 bytes are used: the inode's number, u32; and the type
of the key in the upper 3 bits of a u32, with a block of the file, or the hash of a name, in the other 29. Keys are
compared as one number of 64 bits, and are such numbers here.

Invariant: what `Lebs.node` gives has been checked: magic, length, type and CRC.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from zlib import crc32

from bootpath.formats.superblocks.ubifs import UBIFS_MAGIC, UbifsSuperblock
from bootpath.fs.readers.source import Source

HEADER_BYTES = 24
NODE_MAGIC = UBIFS_MAGIC.to_bytes(4, "little")
BLOCK_BYTES = 4096
WORD_BITS = 29
MAX_WORD = 0xFFFFFFFF

_HEADER = struct.Struct("<4sIQIBB2x")
_KEY = struct.Struct("<II")
_KEY_PLACE = 24


class NodeType(IntEnum):
    """What a node is."""

    INODE = 0
    DATA = 1
    ENTRY = 2  # of a directory
    ATTRIBUTE = 3  # an extended attribute's name
    TRUNCATION = 4
    PADDING = 5
    SUPERBLOCK = 6
    MASTER = 7
    REFERENCE = 8
    INDEX = 9
    COMMIT_START = 10
    ORPHANS = 11
    AUTHENTICATION = 12


class Group(IntEnum):
    """Whether a node is only valid together with others."""

    NONE = 0
    CONTINUED = 1
    LAST = 2


class KeyType(IntEnum):
    """What a key is of. Entries and attributes have the hash of their name in it, so that some may have one key."""

    INODE = 0
    DATA = 1
    ENTRY = 2
    ATTRIBUTE = 3


_LEAST_BYTES = {
    NodeType.INODE: 160,
    NodeType.DATA: 48,
    NodeType.ENTRY: 56,
    NodeType.ATTRIBUTE: 56,
    NodeType.TRUNCATION: 56,
    NodeType.PADDING: 28,
    NodeType.SUPERBLOCK: 4096,
    NodeType.MASTER: 512,
    NodeType.REFERENCE: 64,
    NodeType.INDEX: 28,
    NodeType.COMMIT_START: 32,
    NodeType.ORPHANS: 32,
    NodeType.AUTHENTICATION: 24,
}
_MOST_BYTES = {
    NodeType.INODE: 160 + BLOCK_BYTES,
    NodeType.DATA: 48 + BLOCK_BYTES,
    NodeType.ENTRY: 56 + 256,
    NodeType.ATTRIBUTE: 56 + 256,
    NodeType.TRUNCATION: 56,
    NodeType.MASTER: 512,
    NodeType.REFERENCE: 64,
    NodeType.COMMIT_START: 32,
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node is, and its length."""

    leb: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class FlashNode:
    """A node that is sound: its header, and all its bytes, with the header."""

    leb: int
    offset: int
    type: NodeType
    sequence: int
    group: int
    data: bytes

    @property
    def key(self) -> int:
        """The key of a node that has one."""
        return key_of(self.data)

    @property
    def place(self) -> Place:
        """Where it is."""
        return Place(self.leb, self.offset, len(self.data))


def make_key(inode: int, kind: KeyType, value: int = 0) -> int:
    """The key of a part of an inode."""
    return inode << 32 | kind << WORD_BITS | value


def key_of(data: bytes, place: int = _KEY_PLACE) -> int:
    """The key at a byte of a node."""
    inode, word = _KEY.unpack_from(data, place)
    return int(inode << 32 | word)


def key_type(key: int) -> int:
    """A `KeyType`, or a number that is none."""
    return (key & MAX_WORD) >> WORD_BITS


def is_hashed(key: int) -> bool:
    """True for a key that several nodes may have."""
    return key_type(key) in (KeyType.ENTRY, KeyType.ATTRIBUTE)


def read_header(data: bytes, leb: int, offset: int, room: int) -> FlashNode | str:
    """The node at a byte of `data`, where a LEB's other `room` bytes are; or what is wrong with it."""
    if len(data) - offset < HEADER_BYTES:
        return "it is cut short"
    magic, checksum, sequence, length, code, group = _HEADER.unpack_from(data, offset)
    if magic != NODE_MAGIC:
        return "there is no node"
    if code > NodeType.AUTHENTICATION:
        return f"its type is {code}"
    kind = NodeType(code)
    if not _LEAST_BYTES[kind] <= length <= min(_MOST_BYTES.get(kind, room), room):
        return f"its length is {length}"
    content = data[offset : offset + length]
    if len(content) < length or crc32(content[8:]) ^ 0xFFFFFFFF != checksum:
        return "its checksum does not match"
    return FlashNode(leb, offset, kind, sequence, group, content)


class Lebs:
    """The LEBs of a file system on `source`, those that the volume has more than the superblock knew of included."""

    def __init__(self, source: Source, superblock: UbifsSuperblock) -> None:
        self.source = source
        self.superblock = superblock
        self.leb_bytes = superblock.leb_bytes
        # "Automatically increase file system size to the maximum size"
        self.count = min(superblock.max_lebs, max(superblock.lebs, source.size_bytes // superblock.leb_bytes))

    def position(self, place: Place) -> int:
        """The byte of the device at which a node begins. Raises FormatError when it is in no LEB of files."""
        end = place.offset + place.length
        if not self.superblock.main_first <= place.leb < self.count or end > self.leb_bytes or place.offset % 8:
            raise self.source.fault(
                "corrupt: a node is outside the main area",
                found=f"{place.length} bytes at {place.offset} of LEB {place.leb}",
                expected=f"LEB {self.superblock.main_first} to {self.count - 1}",
            )
        return place.leb * self.leb_bytes + place.offset

    def node(self, place: Place, kind: NodeType) -> bytes:
        """A node, of which the index said where it is. Raises FormatError, DeviceError."""
        return self.checked(self.source.read(self.position(place), place.length), place, kind)

    def checked(self, data: bytes, place: Place, kind: NodeType) -> bytes:
        """The bytes of a node that were read. Raises FormatError when they are not those of one of this kind."""
        node = read_header(data, place.leb, 0, place.length)
        if isinstance(node, str):
            raise self.source.fault(f"corrupt: the node at {place.offset} of LEB {place.leb} is damaged: {node}")
        if node.type is not kind or len(node.data) != place.length:
            raise self.source.fault(
                f"corrupt: the node at {place.offset} of LEB {place.leb} is another one",
                found=f"{node.type.name.lower()}, {len(node.data)} bytes",
                expected=f"{kind.name.lower()}, {place.length} bytes",
            )
        return node.data

    def leb(self, number: int, start: int = 0) -> bytes:
        """A whole LEB, from a byte on. Raises FormatError past the end, DeviceError."""
        return self.source.read_data(number * self.leb_bytes + start, self.leb_bytes - start)
