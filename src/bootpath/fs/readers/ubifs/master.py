"""The master node: where the root of the index is and where the log begins, as of the last commit.

Source: Linux fs/ubifs/master.c and recovery.c, ubifs-media.h. Little endian, 512 bytes behind the header at::

    32 commit number, u64   40 flags, u32 (1 dirty, 4 written by recovery)   44 log's first LEB, u32
    48 root's LEB, u32      52 its offset    56 its length     164 LEBs, u32     296 HMAC, 64

LEBs 1 and 2 have the same nodes, one for each commit, the newest last. A commit writes first to one, then to the other,
so that a power cut leaves one of them whole: which one, is told by where each ends. Two that differ in another way
belong to no commit that Linux makes, and it refuses them, as we do.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from bootpath.formats.superblocks.ubifs import LOG_LEB, MASTER_LEB
from bootpath.fs.readers.ubifs.nodes import HEADER_BYTES, NODE_MAGIC, FlashNode, Lebs, NodeType, Place, read_header
from bootpath.fs.readers.ubifs.scan import is_erased, is_sound, scan_leb

_MASTER = struct.Struct("<QIIIII")
_MASTER_PLACE = 32
_LEBS_PLACE = 164
_DIRTY, _RECOVERED = 1, 4
_MASTER_BYTES = 512
_HMAC_PLACE, _HMAC_END = 296, 360
_MAX_DAMAGED = 1


@dataclass(frozen=True, slots=True)
class Master:
    """What is read of the master node. `clean`: the file system was unmounted, and nothing can be half written."""

    commit: int
    clean: bool
    log_leb: int
    root: Place


@dataclass(frozen=True, slots=True)
class _Copy:
    """The last node of one of the two LEBs, None where it has none; `damaged`: there was something behind it."""

    node: FlashNode | None
    damaged: bool

    @property
    def offset(self) -> int:
        return -1 if self.node is None else self.node.offset


def read_master(lebs: Lebs) -> Master:
    """The newest master node that counts. Raises FormatError, LimitError, DeviceError."""
    first, second = (_last_sound(lebs, MASTER_LEB + copy) for copy in (0, 1))
    if first is not None and second is not None and _same(first, second):
        return _parse(lebs, first, recovered=False)
    return _parse(lebs, _recover(lebs), recovered=True)


def _last_sound(lebs: Lebs, number: int) -> FlashNode | None:
    """The last node of a LEB in which nothing is damaged, else None."""
    scan, data = scan_leb(lebs, number)
    if not is_sound(lebs, scan, data) or not scan.nodes or scan.nodes[-1].type is not NodeType.MASTER:
        return None
    return scan.nodes[-1]


def _same(first: FlashNode, second: FlashNode) -> bool:
    """True for what one commit wrote: the headers have different sequence numbers, and so have the HMACs."""
    here, there = first.data, second.data
    return (
        first.offset == second.offset
        and here[HEADER_BYTES:_HMAC_PLACE] == there[HEADER_BYTES:_HMAC_PLACE]
        and here[_HMAC_END:] == there[_HMAC_END:]
    )


def _recover(lebs: Lebs) -> FlashNode:
    """The node that Linux takes when the two LEBs do not agree (ubifs_recover_master_node). Raises FormatError."""
    step = max(_MASTER_BYTES, lebs.superblock.block_bytes)
    first, second = (_allowing_damage(lebs, MASTER_LEB + copy, step) for copy in (0, 1))
    if first.node is not None:
        recovered = int.from_bytes(first.node.data[40:44], "little") & _RECOVERED
        if recovered and first.offset == 0 and not first.damaged:
            return first.node
        if second.node is None:
            # "2nd LEB was unmapped and about to be written"
            if first.offset == 0 and not first.damaged:
                return first.node
        elif first.offset == second.offset:
            if _same(first.node, second.node):
                return first.node
        elif not first.damaged and (
            # "1st LEB was written, 2nd was not", or the first was unmapped before
            second.offset + step == first.offset or (first.offset == 0 and lebs.leb_bytes - second.offset - step < step)
        ):
            return first.node
    elif second.node is not None and second.offset + 2 * step > lebs.leb_bytes:
        # "1st LEB was unmapped and about to be written, so there must be no room left in 2nd LEB"
        return second.node
    raise lebs.source.fault(
        "corrupt: the master nodes do not agree",
        found=f"the last ones at {first.offset} of LEB {MASTER_LEB} and at {second.offset} of LEB {MASTER_LEB + 1}",
        expected="two that one commit wrote, or of which a power cut prevented one",
    )


def _allowing_damage(lebs: Lebs, number: int, step: int) -> _Copy:
    """The last sound node, behind which at most one place may be damaged. Raises FormatError, DeviceError."""
    data = lebs.leb(number)
    places = range(0, lebs.leb_bytes - _MASTER_BYTES + 1, step)
    # A place that is erased, or was never a node, ends the row.
    count = next((index for index, at in enumerate(places) if data[at : at + 4] != NODE_MAGIC), len(places))
    for tried in range(min(count, 1 + _MAX_DAMAGED)):
        at = places[count - 1 - tried]
        node = read_header(data, number, at, lebs.leb_bytes - at)
        if isinstance(node, FlashNode):
            if node.type is not NodeType.MASTER:
                break
            behind = at + step
            if not is_erased(data[behind + step :]):
                break
            return _Copy(node, not is_erased(data[behind : behind + step]))
    else:
        if count <= _MAX_DAMAGED and is_erased(data[step:]):
            return _Copy(None, not is_erased(data[:step]))
    raise lebs.source.fault(
        f"corrupt: the master nodes of LEB {number} are damaged", expected="at most the last one damaged"
    )


def _parse(lebs: Lebs, node: FlashNode, *, recovered: bool) -> Master:
    commit, flags, log_leb, root_leb, root_offset, root_bytes = _MASTER.unpack_from(node.data, _MASTER_PLACE)
    superblock = lebs.superblock
    (lebs_then,) = struct.unpack_from("<I", node.data, _LEBS_PLACE)
    last = LOG_LEB + superblock.log_lebs - 1
    if not LOG_LEB <= log_leb <= last:
        raise lebs.source.fault(
            "corrupt: the log begins outside its area", found=log_leb, expected=f"{LOG_LEB} to {last}"
        )
    if lebs_then > lebs.count:
        raise lebs.source.fault(
            "the file system has more eraseblocks than the device", found=lebs_then, expected=f"at most {lebs.count}"
        )
    return Master(commit, not (recovered or flags & _DIRTY), log_leb, Place(root_leb, root_offset, root_bytes))
