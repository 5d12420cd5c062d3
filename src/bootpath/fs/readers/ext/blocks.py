"""Where the blocks of an ext2, ext3 or ext4 file are: extent trees, and the block maps before them.

Source: Linux Documentation/filesystems/ext4/ifork.rst. Both begin in the 60 bytes of i_block, little endian::

    extent tree   header: magic 0xF30A  entries  most entries  depth, u16 each   generation, u32
                  index, 12 bytes: first logical block, u32   child block, low u32   high u16   unused, u16
                  leaf, 12 bytes:  first logical block, u32   length, u16   block, high u16   low u32
    block map     12 blocks, then one each of blocks of pointers to blocks, to such blocks, and to those; u32

A leaf's length above 32768 means that many less, not written yet: zeros. The checksum of a block of the tree stands
behind its last possible entry.

Invariants, whatever the image says: the depth is at most 5 and falls by one with every step; entries ascend inside what
their parent covers; every block is on the device. A run has at least one block, so that reading n blocks ends after n.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from bootpath.formats.crc32c import crc32c_update
from bootpath.fs.readers.ext.superblock import Ext4Super, check
from bootpath.fs.readers.recent import Recent
from bootpath.fs.readers.source import Source

EXTENT_MAGIC = 0xF30A
MAX_DEPTH = 5
MAX_INITIALIZED = 32768
DIRECT_BLOCKS = 12
_ENTRY_BYTES = 12
_CACHED_NODES = 8
_HEADER = struct.Struct("<HHHH4x")
_END = 1 << 32  # logical blocks are 32 bits


@dataclass(frozen=True, slots=True)
class Run:
    """`count` logical blocks from `logical`; `block` is the first on the device, None for zeros."""

    logical: int
    count: int
    block: int | None


class BlockTree:
    """The blocks of one inode. `i_block` are its 60 bytes, `seed` its checksums' beginning (None: it has none)."""

    def __init__(self, source: Source, sb: Ext4Super, i_block: bytes, *, extents: bool, seed: int | None) -> None:
        self._source = source
        self._sb = sb
        self._i_block = i_block
        self._extents = extents
        self._seed = seed
        self._nodes: Recent[int, bytes] = Recent(_CACHED_NODES)

    def runs(self, first: int, count: int) -> Iterator[Run]:
        """Runs that cover `count` logical blocks from `first`, in order. Raises FormatError, DeviceError."""
        end = first + count
        while first < end:
            run = self._extent_at(first) if self._extents else self._mapped_at(first, end - first)
            count = min(run.count, end - first)
            yield Run(first, count, run.block)
            first += count

    def _extent_at(self, logical: int) -> Run:
        """The run from `logical` to the end of its extent or hole."""
        node = self._i_block
        low, high = 0, _END
        depth: int | None = None
        while True:
            entries, depth = self._parse_header(node, depth)
            firsts = [
                int.from_bytes(node[place : place + 4], "little")
                for place in range(_ENTRY_BYTES, _ENTRY_BYTES * (entries + 1), _ENTRY_BYTES)
            ]
            if firsts and (firsts[0] < low or firsts[-1] >= high or any(a >= b for a, b in pairwise(firsts))):
                raise self._source.fault("corrupt: the extents are not in order")
            index = bisect_right(firsts, logical) - 1
            following = firsts[index + 1] if index + 1 < entries else high
            if index < 0:
                return Run(logical, following - logical, None)
            place = _ENTRY_BYTES * (index + 1)
            if depth == 0:
                return self._leaf(node[place : place + _ENTRY_BYTES], logical, following)
            child, child_high = struct.unpack_from("<IH", node, place + 4)
            low, high = firsts[index], following
            node = self._read_node(child | child_high << 32)

    def _leaf(self, entry: bytes, logical: int, following: int) -> Run:
        first, count, block_high, block = struct.unpack("<IHHI", entry)
        block |= block_high << 32
        written = count <= MAX_INITIALIZED
        if not written:
            count -= MAX_INITIALIZED
        if count == 0 or first + count > following:
            raise self._source.fault(
                f"corrupt: the extent at block {first} has a wrong length", found=f"{count} blocks"
            )
        if logical >= first + count:
            return Run(logical, following - logical, None)
        self._check_block(block, count)
        skip = logical - first
        return Run(logical, count - skip, block + skip if written else None)

    def _parse_header(self, node: bytes, parent_depth: int | None) -> tuple[int, int]:
        magic, entries, most, depth = _HEADER.unpack_from(node)
        room = len(node) // _ENTRY_BYTES - 1
        if magic != EXTENT_MAGIC:
            raise self._source.fault(
                "corrupt: the extents have the wrong magic", found=hex(magic), expected=hex(EXTENT_MAGIC)
            )
        if entries > most or most > room:
            raise self._source.fault(
                "corrupt: there are too many extents", found=f"{entries} of {most}", expected=f"at most {room}"
            )
        expected = MAX_DEPTH if parent_depth is None else parent_depth - 1
        if depth > expected or (parent_depth is not None and depth != expected):
            raise self._source.fault("corrupt: the extents have the wrong depth", found=depth, expected=expected)
        return entries, depth

    def _read_node(self, block: int) -> bytes:
        return self._nodes.get(block, self._fetch_node)

    def _fetch_node(self, block: int) -> bytes:
        self._check_block(block, 1)
        node = self._source.read(block * self._sb.block_bytes, self._sb.block_bytes)
        if self._seed is not None:
            (most,) = struct.unpack_from("<H", node, 4)
            end = _ENTRY_BYTES * (most + 1)
            stored = node[end : end + 4]
            check(
                self._source,
                f"extent block {block}",
                crc32c_update(self._seed, node[:end]),
                int.from_bytes(stored, "little"),
            )
        return node

    def _mapped_at(self, logical: int, most: int) -> Run:
        """Consecutive blocks from `logical` whose pointers stand side by side, at most `most`."""
        per_block = self._sb.block_bytes // 4
        if logical < DIRECT_BLOCKS:
            return self._pointers(self._i_block, logical, logical, min(most, DIRECT_BLOCKS - logical))
        index = logical - DIRECT_BLOCKS
        for level in (1, 2, 3):
            span = per_block**level
            if index < span:
                break
            index -= span
        else:
            raise self._source.fault("corrupt: the file is longer than its block map", found=f"block {logical}")
        place = (DIRECT_BLOCKS + level - 1) * 4
        block = int.from_bytes(self._i_block[place : place + 4], "little")
        while True:
            span //= per_block
            if block == 0:
                # All that this block of pointers would cover.
                covered = span * per_block
                return Run(logical, covered - index % covered, None)
            self._check_block(block, 1)
            data = self._source.read(block * self._sb.block_bytes, self._sb.block_bytes)
            slot = index // span % per_block
            if span == 1:
                return self._pointers(data, slot, logical, min(most, per_block - slot))
            block = int.from_bytes(data[slot * 4 : slot * 4 + 4], "little")

    def _pointers(self, data: bytes, slot: int, logical: int, most: int) -> Run:
        pointers = struct.unpack_from(f"<{most}I", data, slot * 4)
        first = pointers[0]
        step = 0 if first == 0 else 1
        count = 1
        while count < most and pointers[count] == first + step * count:
            count += 1
        if first == 0:
            return Run(logical, count, None)
        self._check_block(first, count)
        return Run(logical, count, first)

    def _check_block(self, block: int, count: int) -> None:
        if not self._sb.first_data_block < block or block + count > self._sb.blocks:
            raise self._source.fault(
                "corrupt: blocks are outside the file system",
                found=f"{count} from block {block}",
                expected=f"less than block {self._sb.blocks}",
            )
