"""Block status: a device's segments as the descriptors of a metadata context.

Sources: the NBD protocol (doc/proto.md, "Metadata querying", "NBD_REPLY_TYPE_BLOCK_STATUS"). Two contexts:

================== ==================================================================
base:allocation    NBD_STATE_HOLE 1: not allocated; NBD_STATE_ZERO 2: reads as zeros
bootpath:source    where the bytes would come from: the numbers of `formats.nbd.SOURCES`
================== ==================================================================

"The server MAY return less data than requested": a reply covers `MAX_RANGE_BYTES` at most, and has `MAX_ROWS` rows at
most, so that no request makes the server walk a whole large device.
"""

from __future__ import annotations

from collections.abc import Sequence

from bootpath.core.device import Device, Segment
from bootpath.formats.nbd.transmission import BASE_ALLOCATION, STATE_HOLE, STATE_ZERO, BlockStatus
from bootpath.serve.export import CONTEXTS, source_number

MAX_RANGE_BYTES = 1 << 36
MAX_COMPACT_RANGE_BYTES = (1 << 32) - (1 << 16)  # a descriptor's length is 32 bits
MAX_ROWS = 1 << 16

_ALLOCATION_ID = CONTEXTS[BASE_ALLOCATION]


def block_status(
    device: Device, offset: int, length: int, contexts: Sequence[int], *, one: bool, extended: bool
) -> list[BlockStatus]:
    """One status for each context; with `one`, each has one descriptor. Raises DeviceError."""
    length = min(length, MAX_RANGE_BYTES if extended else MAX_COMPACT_RANGE_BYTES)
    rows: dict[int, list[tuple[int, int]]] = {context: [] for context in contexts}
    open_contexts = set(contexts)
    for segment in device.extents(offset, length):
        for context in tuple(open_contexts):
            flags = _flags(context, segment)
            descriptors = rows[context]
            if descriptors and descriptors[-1][1] == flags:
                descriptors[-1] = (descriptors[-1][0] + segment.length, flags)
            elif len(descriptors) == (1 if one else MAX_ROWS):
                open_contexts.discard(context)
            else:
                descriptors.append((segment.length, flags))
        if not open_contexts:
            break
    return [BlockStatus(context, tuple(descriptors)) for context, descriptors in rows.items()]


def _flags(context: int, segment: Segment) -> int:
    if context == _ALLOCATION_ID:
        return (0 if segment.allocated else STATE_HOLE) | (STATE_ZERO if segment.zero else 0)
    return source_number(segment.source)
