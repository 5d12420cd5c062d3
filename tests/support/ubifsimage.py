"""UBIFS images written by hand: what is committed, with its index, and a journal behind it. Only what tests need."""

from __future__ import annotations

import stat
import struct
from dataclasses import dataclass, field
from zlib import crc32

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.core.device import Identity
from bootpath.formats.superblocks.ubifs import UBIFS_MAGIC
from bootpath.fs.readers.ubifs.nodes import Group, KeyType, NodeType, Place, key_of, make_key

LEB_BYTES = 15360
MASTERS, LOG, MAIN = (1, 2), (3, 4), 8
LEBS = 24
COMMITTED, INDEX, BUDS = MAIN, MAIN + 4, MAIN + 6
"""Where this writer begins to put what is committed, the index, and the journal."""
FANOUT = 4
COMMIT = 7
FIRST_SEQUENCE = 1000


def node(kind: NodeType, body: bytes, *, sequence: int = 1, group: Group = Group.NONE) -> bytes:
    """With its header and its CRC."""
    rest = struct.pack("<QIBB2x", sequence, 24 + len(body), kind, group) + body
    return struct.pack("<II", UBIFS_MAGIC, crc32(rest) ^ 0xFFFFFFFF) + rest


def sealed(data: bytes) -> bytes:
    """The node with its CRC made right."""
    return data[:4] + struct.pack("<I", crc32(data[8:]) ^ 0xFFFFFFFF) + data[8:]


def superblock(
    *,
    flags: int = 0,
    lebs: int = LEBS,
    most: int = LEBS,
    version: int = 4,
    read_only: int = 0,
    min_io: int = 8,
    **at: int,
) -> bytes:
    """`at`: bytes of the node that are something else, ``b26=1``."""
    fields = (flags, min_io, LEB_BYTES, lebs, most, LEB_BYTES * 4, len(LOG), 2, 1, 1, FANOUT, 256, version, 1)
    body = bytearray(struct.pack("<2xBBIIIIIQIIIIIIIH", 0, 0, *fields).ljust(4096 - 24, b"\0"))
    struct.pack_into("<16sI", body, 108 - 24, b"uuid of an image", read_only)
    for name, value in at.items():
        body[int(name[1:]) - 24] = value
    return node(NodeType.SUPERBLOCK, bytes(body))


def master(root: Place, *, flags: int = 0, commit: int = COMMIT, sequence: int = 1, log: int = LOG[0]) -> bytes:
    body = bytearray(512 - 24)
    struct.pack_into("<QQIIIII", body, 0, 100, commit, flags, log, root.leb, root.offset, root.length)
    struct.pack_into("<I", body, 164 - 24, LEBS)
    return node(NodeType.MASTER, bytes(body), sequence=sequence)


def keyed(kind: NodeType, key: int, body: bytes, sequence: int, group: Group = Group.NONE) -> bytes:
    return node(kind, struct.pack("<II8x", key >> 32, key & 0xFFFFFFFF) + body, sequence=sequence, group=group)


def inode(
    number: int,
    *,
    mode: int = stat.S_IFREG | 0o644,
    size: int = 0,
    links: int = 1,
    flags: int = 0,
    data: bytes = b"",
    sequence: int = 1,
    group: Group = Group.NONE,
) -> bytes:
    times = (1, 2, 3, 0, 0, 4)
    body = struct.pack("<QQQQQIII", 0, size, *times)
    body += struct.pack("<IIIIIIII4xIH26x", links, 5, 6, mode, flags, len(data), 0, 0, 0, 0)
    return keyed(NodeType.INODE, make_key(number, KeyType.INODE), body + data, sequence, group)


def data(
    number: int, block: int, content: bytes, *, compression: int = 0, size: int | None = None, sequence: int = 1
) -> bytes:
    body = struct.pack("<IHH", len(content) if size is None else size, compression, 0) + content
    return keyed(NodeType.DATA, make_key(number, KeyType.DATA, block), body, sequence)


def entry(
    directory: int,
    name: str,
    number: int,
    *,
    code: int = 0,
    hashed: int | None = None,
    sequence: int = 1,
    group: Group = Group.NONE,
    kind: NodeType = NodeType.ENTRY,
) -> bytes:
    raw = name.encode()
    key = make_key(directory, KeyType(kind), (crc32(raw) if hashed is None else hashed) & (1 << 29) - 1)
    body = struct.pack("<QBBHI", number, 0, code, len(raw), 0) + raw + b"\0"
    return keyed(kind, key, body, sequence, group)


def truncation(number: int, before: int, after: int, *, sequence: int = 1) -> bytes:
    return node(NodeType.TRUNCATION, struct.pack("<I12xQQ", number, before, after), sequence=sequence)


def padded(data: bytes, step: int = 8) -> bytes:
    """Up to the next multiple, with bytes of padding."""
    return data + b"\xce" * (-len(data) % step)


def directory(number: int, *, flags: int = 0) -> bytes:
    return inode(number, mode=stat.S_IFDIR | 0o755, links=2, flags=flags)


@dataclass
class Image:
    """Eraseblocks, erased as long as nothing is put there. `flags` are the master node's, 1: not unmounted."""

    flags: int = 0
    lebs: list[bytearray] = field(default_factory=lambda: [bytearray(b"\xff" * LEB_BYTES) for _ in range(LEBS)])
    branches: list[tuple[int, Place]] = field(default_factory=list)
    used: dict[int, int] = field(default_factory=dict)
    references: list[bytes] = field(default_factory=list)
    sequence: int = FIRST_SEQUENCE

    def put(self, leb: int, offset: int, content: bytes) -> None:
        self.lebs[leb][offset : offset + len(content)] = content

    def append(self, leb: int, content: bytes) -> Place:
        """Behind what is there."""
        offset = self.used.get(leb, 0)
        self.put(leb, offset, padded(content))
        self.used[leb] = offset + len(padded(content))
        return Place(leb, offset, len(content))

    def commit(self, *nodes: bytes) -> list[Place]:
        """In the index."""
        places = []
        for one in nodes:
            leb = COMMITTED
            while self.used.get(leb, 0) + len(one) > LEB_BYTES:
                leb += 1
            place = self.append(leb, one)
            places.append(place)
            self.branches.append((key_of(one), place))
        return places

    def bud(self, leb: int, *nodes: bytes, head: int = 1, offset: int = 0) -> None:
        """In the journal: a reference in the log, and the nodes."""
        self.references.append(struct.pack("<III28x", leb, offset, head))
        self.used[leb] = max(offset, self.used.get(leb, 0))
        for one in nodes:
            self.append(leb, one)

    def next(self) -> int:
        """A sequence number that is newer than all before."""
        self.sequence += 1
        return self.sequence

    def index(self) -> Place:
        """Write the index; where its root is."""
        rows = sorted(self.branches, key=lambda row: row[0])
        level = 0
        while True:
            above = []
            for first in range(0, len(rows), FANOUT):
                part = rows[first : first + FANOUT]
                body = struct.pack("<HH", len(part), level)
                for key, place in part:
                    body += struct.pack("<IIIII", place.leb, place.offset, place.length, key >> 32, key & 0xFFFFFFFF)
                above.append((part[0][0], self.append(INDEX, node(NodeType.INDEX, body))))
            if len(above) == 1:
                return above[0][1]
            rows, level = above, level + 1

    def finish(self, **more: int) -> Image:
        """Superblock, index, master nodes and log. `more` is of the superblock."""
        self.put(0, 0, superblock(**more))
        root = self.index()
        for sequence, leb in enumerate(MASTERS):
            self.append(leb, master(root, flags=self.flags, sequence=sequence + 1))
        self.append(LOG[0], node(NodeType.COMMIT_START, struct.pack("<Q", COMMIT), sequence=10))
        for number, body in enumerate(self.references):
            self.append(LOG[0], node(NodeType.REFERENCE, body, sequence=11 + number))
        return self

    def device(self) -> MemoryDevice:
        return MemoryDevice(b"".join(self.lebs), identity=Identity("image"))


def small(flags: int = 0) -> Image:
    """A root with a file of two blocks, a directory, and a link."""
    image = Image(flags)
    image.commit(
        directory(1),
        entry(1, "file", 70),
        inode(70, size=5000),
        data(70, 0, b"a" * 4096),
        data(70, 1, b"b" * 904),
        entry(1, "dir", 71, code=1),
        directory(71),
        entry(71, "link", 72, code=2),
        inode(72, mode=stat.S_IFLNK | 0o777, size=7, data=b"../file"),
    )
    return image
