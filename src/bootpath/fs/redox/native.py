"""What the native module returns and takes, as our values: headers, nodes, extents and times."""

from __future__ import annotations

from uuid import UUID

from bootpath import _native
from bootpath.core.extents import Extent
from bootpath.fs.redox.values import BLOCK_BYTES, LabelledExtent, RedoxHeader, RedoxNode

_NS = 1_000_000_000


def make_header(fields: _native.Fields) -> RedoxHeader:
    """A header from its fields."""
    uuid, version, size, generation, slot, encrypted, keys, tree, log, release = fields
    return RedoxHeader(
        UUID(bytes=bytes(uuid)), version, size, generation, slot, encrypted, tuple(keys), tree, log, release
    )


def make_node(fields: _native.Stat) -> RedoxNode:
    """A node from its fields."""
    node_id, mode, uid, gid, links, size, blocks, ctime, mtime, atime = fields
    return RedoxNode(node_id, mode, uid, gid, links, size, blocks, _join(ctime), _join(mtime), _join(atime))


def _join(parts: _native.Time) -> int:
    return parts[0] * _NS + parts[1]


def split_time(nanoseconds: int) -> _native.Time:
    """A time as seconds and nanoseconds."""
    if nanoseconds < 0:
        raise ValueError(f"time {nanoseconds} ns is before 1970, which RedoxFS cannot hold")
    return divmod(nanoseconds, _NS)


def split_optional_time(nanoseconds: int | None) -> _native.Time | None:
    """As `split_time`; None stays None."""
    return None if nanoseconds is None else split_time(nanoseconds)


def make_extent(first_block: int, blocks: int) -> Extent:
    """A run of blocks in bytes."""
    return Extent(first_block * BLOCK_BYTES, blocks * BLOCK_BYTES)


def make_pieces(runs: list[_native.Run]) -> list[LabelledExtent]:
    """Runs of blocks, each with what it is."""
    return [LabelledExtent(what, make_extent(first, count)) for what, first, count in runs]
