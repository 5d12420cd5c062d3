"""The journal: what was changed since the last commit, in the order in which it was.

Source: Linux fs/ubifs/replay.c and recovery.c, ubifs-media.h. Little endian, behind the header at::

    commit start   24 commit number, u64
    reference      24 LEB, u32   28 offset, u32   32 journal head, u32 (0 is the garbage collector's)
    truncation     24 inode, u32   40 size before, u64   48 size after, u64
    inode          48 size, u64    92 links, u32
    data           40 bytes of the block, u32
    entry          40 inode, u64, 0 for one that was removed   49 type, u8   50 length of the name, u16   56 name

The log begins with a commit start node, and references say in which LEBs ("buds") nodes are, and from which byte on.
It has an end where a LEB is empty, or has older nodes. An unmount commits nothing, so every file system has a journal
that counts. After a power cut only the last LEB of each head, and of the log, may be damaged, at its end.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from bootpath.core.errors import FormatError
from bootpath.formats.superblocks.ubifs import LOG_LEB
from bootpath.fs.readers.ubifs.master import Master
from bootpath.fs.readers.ubifs.nodes import MAX_WORD, WORD_BITS, FlashNode, Lebs, NodeType, Place
from bootpath.fs.readers.ubifs.scan import is_erased, is_sound, scan_cut, scan_leb, scan_sound

MAX_FILE_BYTES = 1 << 41  # 2^29 blocks of 4096 bytes
MAX_NAME_BYTES = 255
_COMMIT = struct.Struct("<Q")
_REFERENCE = struct.Struct("<III")
_TRUNCATION = struct.Struct("<I12xQQ")
_ENTRY = struct.Struct("<QxBH")
_FIELDS = 24
_ENTRY_PLACE, _NAME_PLACE = 40, 56
_SIZE_PLACE, _LINKS_PLACE, _DATA_BYTES_PLACE = 48, 92, 40
_COLLECTOR = 0
_BLOCK_BITS = 12


@dataclass(frozen=True, slots=True)
class Bud:
    """Nodes of the journal are in this LEB, from this byte on."""

    leb: int
    start: int
    head: int


@dataclass(frozen=True, slots=True)
class Change:
    """One node of the journal. `place` is None for what it removed.

    `size` is how long the file is at least, for an inode and for data, and what is left by a truncation, whose `before`
    is the size that the file had. `name` is that of an entry.
    """

    sequence: int
    type: NodeType
    key: int
    place: Place | None
    size: int = 0
    before: int = 0
    name: bytes = b""


@dataclass(frozen=True, slots=True)
class UbifsEntry:
    """A name in a directory: of which inode, and its type, as UBIFS counts them."""

    inode: int
    type: int
    name: bytes


def parse_entry(lebs: Lebs, data: bytes) -> UbifsEntry:
    """The node of a directory's entry, or of an attribute. Raises FormatError."""
    inode, code, length = _ENTRY.unpack_from(data, _ENTRY_PLACE)
    name = data[_NAME_PLACE : _NAME_PLACE + length]
    if len(data) != _NAME_PLACE + length + 1 or length > MAX_NAME_BYTES or data[-1] or inode > MAX_WORD:
        raise lebs.source.fault("corrupt: a directory entry is wrong", found=f"inode {inode}, a name of {length} bytes")
    return UbifsEntry(inode, code, name)


def read_journal(lebs: Lebs, master: Master) -> list[Change]:
    """The changes, the oldest first. Raises FormatError, LimitError, DeviceError."""
    buds = _read_log(lebs, master)
    changes: list[Change] = []
    for bud in buds:
        for node in _bud_nodes(lebs, master, bud, buds):
            change = _change(lebs, node)
            if change is not None:
                changes.append(change)
    changes.sort(key=lambda change: change.sequence)
    return changes


def _read_log(lebs: Lebs, master: Master) -> list[Bud]:
    """The LEBs of the journal, in the order in which they became so."""
    superblock = lebs.superblock
    buds: dict[int, Bud] = {}
    start: int | None = None  # the sequence number of the commit
    for step in range(superblock.log_lebs):
        number = LOG_LEB + (master.log_leb - LOG_LEB + step) % superblock.log_lebs
        nodes = _log_nodes(lebs, master, number, start, is_last=step == superblock.log_lebs - 1)
        if start is None:
            if not nodes or nodes[0].type is not NodeType.COMMIT_START:
                raise lebs.source.fault(f"corrupt: the log, LEB {number}, does not begin with a commit")
            (commit,) = _COMMIT.unpack_from(nodes[0].data, _FIELDS)
            if commit != master.commit:
                raise lebs.source.fault(
                    "corrupt: the log is of another commit than the master node", found=commit, expected=master.commit
                )
            start = nodes[0].sequence
        if not nodes or nodes[0].sequence < start:
            break  # what follows was committed, and not erased yet
        for node in nodes:
            if node.sequence < start or (node.type is NodeType.COMMIT_START and node.offset):
                raise lebs.source.fault(f"corrupt: the log, LEB {number}, has an old node at {node.offset}")
            if node.type is NodeType.REFERENCE:
                _refer(lebs, node, buds)
            elif node.type not in (NodeType.COMMIT_START, NodeType.AUTHENTICATION):
                raise lebs.source.fault(f"corrupt: the log, LEB {number}, has a node of type {node.type.name.lower()}")
    return list(buds.values())


def _log_nodes(lebs: Lebs, master: Master, number: int, start: int | None, *, is_last: bool) -> Sequence[FlashNode]:
    """The nodes of a LEB of the log, which may be damaged when it is the last one and there was a power cut."""
    scan, data = scan_leb(lebs, number)
    if is_sound(lebs, scan, data):
        if scan.nodes and scan.nodes[0].offset:
            raise lebs.source.fault(f"corrupt: the log, LEB {number}, does not begin with a node")
        return scan.nodes
    if master.clean:
        raise lebs.source.fault(f"corrupt: the log, LEB {number}, is damaged at byte {scan.end}", found=scan.stop.value)
    nodes = scan_cut(lebs, number, 0, grouped=False)
    if start is None and nodes:
        start = nodes[0].sequence
    if not is_last:
        following = LOG_LEB + (number - LOG_LEB + 1) % lebs.superblock.log_lebs
        newer = scan_sound(lebs, following)
        if newer and (start is None or newer[0].sequence > start):
            raise lebs.source.fault(f"corrupt: the log, LEB {number}, is damaged, and it goes on behind that")
    return nodes


def _refer(lebs: Lebs, node: FlashNode, buds: dict[int, Bud]) -> None:
    leb, offset, head = _REFERENCE.unpack_from(node.data, _FIELDS)
    superblock = lebs.superblock
    known = buds.get(leb)
    if (
        head >= superblock.heads
        or not superblock.main_first <= leb < lebs.count
        or offset > lebs.leb_bytes
        or offset % superblock.block_bytes
        or (known is not None and (known.head != head or known.start > offset))
    ):
        raise lebs.source.fault(
            "corrupt: the log names a place where no journal can be", found=f"byte {offset} of LEB {leb}, head {head}"
        )
    if known is None:
        buds[leb] = Bud(leb, offset, head)


def _bud_nodes(lebs: Lebs, master: Master, bud: Bud, buds: Sequence[Bud]) -> Sequence[FlashNode]:
    if lebs.leb_bytes - bud.start < 8:
        return ()
    if master.clean or not _is_last(lebs, bud, buds):
        return scan_sound(lebs, bud.leb, bud.start)
    collector = bud.head == _COLLECTOR
    return scan_cut(lebs, bud.leb, bud.start, grouped=not collector, collector=collector)


def _is_last(lebs: Lebs, bud: Bud, buds: Sequence[Bud]) -> bool:
    """True when no other LEB of the same head was written to later: or only one, and nothing is in it."""
    later = [other for other in buds[buds.index(bud) + 1 :] if other.head == bud.head]
    if len(later) != 1:
        return not later
    at = later[0].leb * lebs.leb_bytes + later[0].start
    return later[0].start + 4 > lebs.leb_bytes or is_erased(lebs.source.read(at, 4))


def _change(lebs: Lebs, node: FlashNode) -> Change | None:
    """What a node changes. Raises FormatError for one that cannot be in the journal."""
    data = node.data
    match node.type:
        case NodeType.INODE:
            (size,), (links,) = _COMMIT.unpack_from(data, _SIZE_PLACE), struct.unpack_from("<I", data, _LINKS_PLACE)
            return Change(node.sequence, node.type, node.key, node.place if links else None, size)
        case NodeType.DATA:
            (length,) = struct.unpack_from("<I", data, _DATA_BYTES_PLACE)
            size = length + ((node.key & (1 << WORD_BITS) - 1) << _BLOCK_BITS)
            return Change(node.sequence, node.type, node.key, node.place, size)
        case NodeType.ENTRY | NodeType.ATTRIBUTE:
            entry = parse_entry(lebs, data)
            return Change(node.sequence, node.type, node.key, node.place if entry.inode else None, name=entry.name)
        case NodeType.TRUNCATION:
            inode, before, after = _TRUNCATION.unpack_from(data, _FIELDS)
            if not after < before <= MAX_FILE_BYTES:
                raise lebs.source.fault(
                    "corrupt: the journal has a truncation that is none", found=f"from {before} to {after} bytes"
                )
            return Change(node.sequence, node.type, inode << 32, None, after, before)
        case NodeType.AUTHENTICATION:
            return None
    raise _unexpected(lebs, node)


def _unexpected(lebs: Lebs, node: FlashNode) -> FormatError:
    return lebs.source.fault(
        f"corrupt: the journal has a node of another kind at {node.offset} of LEB {node.leb}",
        found=node.type.name.lower(),
    )
