"""All nodes of a logical eraseblock, one after the other, and what a power cut may have left behind the last one.

Source: Linux fs/ubifs/scan.c and recovery.c. A LEB is written from its beginning to its end, in units of the smallest
write; what was never written is 0xFF. Between nodes stand padding nodes, or bytes of 0xCE where a node is too long.

After a power cut the last unit may be damaged, and nothing may follow it: anything else is damage of another kind, and
no reader may guess. Nodes of a group count only when its last one is there. How much a flash writes at once is known to
its driver only: here it is a page of 4 KiB, or the smallest write where that is more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from bootpath.core.limits import spend
from bootpath.fs.readers.ubifs.nodes import HEADER_BYTES, NODE_MAGIC, FlashNode, Group, Lebs, NodeType, read_header

_ERASED = b"\xff"
_PADDING = b"\xce"
_MAX_PADDING_BYTES = 28
_WRITE_BYTES = 4096
_NODE_COST_BYTES = 512
"""What a node is counted as: so much memory its change takes until it is applied."""


class Stop(Enum):
    """Why a scan ended where it did."""

    END = "the eraseblock is full"
    ERASED = "nothing was written behind it"
    GARBAGE = "there is no node"
    DAMAGED = "a node is damaged"
    PADDING = "the padding is damaged"


@dataclass(frozen=True, slots=True)
class Scan:
    """The nodes of a LEB but the padding; `end` is where the scan ended."""

    nodes: Sequence[FlashNode]
    end: int
    stop: Stop


def scan_leb(lebs: Lebs, number: int, start: int = 0) -> tuple[Scan, bytes]:
    """The nodes from byte `start` on, with the bytes of the whole LEB. Raises FormatError, LimitError, DeviceError."""
    where = lebs.source.device.identity.name
    spend("metadata_bytes", lebs.leb_bytes - start, "too much of the file system has to be read", where=where)
    data = bytes(start) + lebs.leb(number, start)
    nodes: list[FlashNode] = []
    place, end = start, len(data)
    while end - place >= 8:
        magic = data[place : place + 4]
        if magic == _ERASED * 4:
            return Scan(nodes, place, Stop.ERASED), data
        if magic != NODE_MAGIC:
            piece = data[place : place + _MAX_PADDING_BYTES]
            run = len(piece) - len(piece.lstrip(_PADDING))
            if not run or run % 8:
                return Scan(nodes, place, Stop.GARBAGE), data
            place += run
            continue
        node = read_header(data, number, place, end - place)
        if isinstance(node, str):
            return Scan(nodes, place, Stop.GARBAGE if end - place < HEADER_BYTES else Stop.DAMAGED), data
        length = len(node.data)
        if node.type is NodeType.PADDING:
            length += int.from_bytes(node.data[HEADER_BYTES : HEADER_BYTES + 4], "little")
            if place + length > end or length % 8:
                return Scan(nodes, place, Stop.PADDING), data
        else:
            spend("metadata_bytes", _NODE_COST_BYTES, "the journal has too many changes", where=where)
            nodes.append(node)
        place += -(-length // 8) * 8
    return Scan(nodes, place, Stop.END), data


def scan_sound(lebs: Lebs, number: int, start: int = 0) -> Sequence[FlashNode]:
    """The nodes of a LEB that no power cut has touched. Raises FormatError for damage, LimitError, DeviceError."""
    scan, data = scan_leb(lebs, number, start)
    if not is_sound(lebs, scan, data):
        raise lebs.source.fault(
            f"corrupt: LEB {number} is damaged at byte {scan.end}", found=scan.stop.value, expected="a node, or 0xFF"
        )
    return scan.nodes


def is_sound(lebs: Lebs, scan: Scan, data: bytes) -> bool:
    """True when all of the LEB is nodes and, from a whole write on, 0xFF."""
    if scan.stop not in (Stop.END, Stop.ERASED) or scan.end % lebs.superblock.block_bytes:
        return False
    return is_erased(data[scan.end :])


def scan_cut(lebs: Lebs, number: int, start: int, *, grouped: bool, collector: bool = False) -> Sequence[FlashNode]:
    """The nodes of the last LEB that was written to before a power cut, without those that were not finished.

    `collector`: it belongs to the garbage collector, whose last unit counts all or not at all. Raises FormatError for
    damage that a power cut does not do, LimitError, DeviceError.
    """
    scan, data = scan_leb(lebs, number, start)
    if not _is_last_write(lebs, scan, data):
        raise lebs.source.fault(
            f"corrupt: LEB {number} is damaged at byte {scan.end}, and more follows",
            found=scan.stop.value,
            expected="nothing behind what a power cut has damaged",
        )
    nodes, end = list(scan.nodes), scan.end
    unit = end - end % lebs.superblock.block_bytes
    while grouped and nodes and nodes[-1].group == Group.CONTINUED:
        end = nodes.pop().offset
    while collector and nodes and end > unit:
        end = nodes.pop().offset
    return nodes


def is_erased(data: bytes) -> bool:
    """True when there is nothing but 0xFF."""
    return data.count(_ERASED) == len(data)


def _is_last_write(lebs: Lebs, scan: Scan, data: bytes) -> bool:
    if is_erased(data[scan.end :]):
        return True
    write_bytes = max(_WRITE_BYTES, lebs.superblock.block_bytes)

    def nothing_from(byte: int) -> bool:
        return is_erased(data[-(-byte // write_bytes) * write_bytes :])

    if scan.stop is not Stop.DAMAGED:
        return nothing_from(scan.end + 1)
    # The header may be whole: then it says how long the node is.
    length = int.from_bytes(data[scan.end + 16 : scan.end + 20], "little")
    return nothing_from(scan.end + HEADER_BYTES) or nothing_from(scan.end + length)
