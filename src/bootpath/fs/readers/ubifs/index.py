"""The index: a B+ tree of keys, as the last commit wrote it.

Source: Linux fs/ubifs/tnc.c, tnc_misc.c and debug.c (dbg_check_znode). An index node has, behind its header, the number
of its branches, u16, its level, u16, and the branches: LEB, offset and length of a node, u32, and its key, 8 bytes; in
a file system that is authenticated, the hash of that node too. At level 0 the branches lead to nodes of files.

Invariants, so that a damaged tree costs no more than a sound one: each level is one below the last; the keys of a node
are in order, and between that of the branch to it and the next one; only keys with a hash in them may be equal.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from bootpath.fs.readers.recent import Recent
from bootpath.fs.readers.ubifs.nodes import Lebs, NodeType, Place, is_hashed, key_of

MAX_LEVELS = 512
_CACHED_NODES = 256
_COUNTS = struct.Struct("<HH")
_COUNTS_PLACE = 24
_BRANCHES_PLACE = 28
_BRANCH = struct.Struct("<III")
_BRANCH_BYTES = 20
_MAX_KEY = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class IndexBranch:
    """A key, and where the node is."""

    key: int
    place: Place


@dataclass(frozen=True, slots=True)
class _IndexNode:
    level: int
    branches: tuple[IndexBranch, ...]


class Index:
    """The tree below the node at `root`; `hash_bytes` is how long the hashes of an authenticated one are."""

    def __init__(self, lebs: Lebs, root: Place, hash_bytes: int = 0) -> None:
        self._lebs = lebs
        self._root = root
        self._branch_bytes = _BRANCH_BYTES + hash_bytes
        self._nodes: Recent[Place, _IndexNode] = Recent(_CACHED_NODES)

    def range(self, low: int, high: int) -> Iterator[IndexBranch]:
        """The branches with keys from `low` to `high`, in order. Raises FormatError, DeviceError."""
        pending = [(self._root, -1, 0, _MAX_KEY)]
        last = -1
        while pending:
            place, level, least, most = pending.pop()
            node = self._nodes.get(place, self._read)
            if level not in (-1, node.level):
                raise self._fault(place, f"it has level {node.level} below one of level {level + 1}")
            branches = node.branches
            if branches[0].key < least or branches[-1].key > most:
                raise self._fault(place, "its keys are not between those of the node above it")
            if node.level == 0:
                for branch in branches:
                    if low <= branch.key <= high:
                        if branch.key < last or (branch.key == last and not is_hashed(last)):
                            raise self._fault(place, "its keys are not in order")
                        last = branch.key
                        yield branch
                continue
            ends = [branch.key for branch in branches[1:]] + [most]
            pending.extend(
                (branch.place, node.level - 1, branch.key, end)
                for branch, end in zip(reversed(branches), reversed(ends), strict=True)
                if branch.key <= high and end >= low
            )

    def find(self, key: int) -> Place | None:
        """Where the node with this key is. Raises FormatError, DeviceError."""
        return next((branch.place for branch in self.range(key, key)), None)

    def _read(self, place: Place) -> _IndexNode:
        data = self._lebs.node(place, NodeType.INDEX)
        count, level = _COUNTS.unpack_from(data, _COUNTS_PLACE)
        if count == 0 or level >= MAX_LEVELS or _BRANCHES_PLACE + count * self._branch_bytes > len(data):
            raise self._fault(place, f"it has {count} branches at level {level} in {len(data)} bytes")
        branches = []
        for start in range(_BRANCHES_PLACE, _BRANCHES_PLACE + count * self._branch_bytes, self._branch_bytes):
            leb, offset, length = _BRANCH.unpack_from(data, start)
            branches.append(IndexBranch(key_of(data, start + _BRANCH.size), Place(leb, offset, length)))
        for one, other in pairwise(branches):
            if one.key > other.key or (one.key == other.key and not is_hashed(one.key)):
                raise self._fault(place, "its keys are not in order")
        return _IndexNode(level, tuple(branches))

    def _fault(self, place: Place, why: str) -> Exception:
        return self._lebs.source.fault(f"corrupt: the index node at {place.offset} of LEB {place.leb} is wrong: {why}")
