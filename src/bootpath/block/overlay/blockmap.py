"""Which cluster of an overlay's file holds which block, in memory.

A block's value is CLEAN (the base has it), ZERO (it reads as zeros) or the number of its cluster. Values are kept for
regions of 1024 blocks (4 MiB): none for a region that was never touched, a dict while few blocks of it are held, an
array of four bytes a block when many are, and one array for all regions that were discarded as a whole. So a block is
found in the same time however many are held, memory follows what is held (100 bytes a block when they are far apart, 4
when they are not), and a 1 TiB disk with nothing written is an empty dict.

Clusters are handed out by `Space`: freed runs first, the newest before the others, then the end of the file.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from bootpath.core.errors import FormatError
from bootpath.formats.overlayfile import FIRST_CLUSTER, ZERO_CLUSTER, pack_entries

CLEAN = 0
ZERO = ZERO_CLUSTER

_Run: TypeAlias = tuple[int, int, int]  # first block, value, blocks

_SHIFT = 10
_REGION = 1 << _SHIFT
_MASK = _REGION - 1
_FEW = 96  # blocks of a region that a dict holds; more make it an array
_CODE = "I"  # 32 bits on every platform CPython runs on
_EMPTY = array(_CODE, bytes(4 * _REGION))
_ZEROED = array(_CODE, [ZERO]) * _REGION
_MAX_CLUSTERS = 1 << 32


class BlockMap:
    """Values of `blocks` blocks, all CLEAN at first. Readers need no lock, writers one of their own."""

    __slots__ = ("_regions", "blocks")

    def __init__(self, blocks: int) -> None:
        self.blocks = blocks
        self._regions: dict[int, dict[int, int] | array[int]] = {}

    def get(self, block: int) -> int:
        """The value of one block."""
        region = self._regions.get(block >> _SHIFT)
        if region is None:
            return CLEAN
        if isinstance(region, dict):
            return region.get(block & _MASK, CLEAN)
        return region[block & _MASK]

    def untouched(self, first: int, stop: int) -> bool:
        """True when nothing near the range is held, which is quickly known; false when it may be."""
        regions = self._regions
        return all(number not in regions for number in range(first >> _SHIFT, ((stop - 1) >> _SHIFT) + 1))

    def set_run(self, first: int, value: int, count: int) -> None:
        """Blocks from `first` get ZERO, or clusters from `value` on."""
        block, end = first, first + count
        while block < end:
            number, low = block >> _SHIFT, block & _MASK
            size = min(end - block, _REGION - low)
            if value == ZERO and size == _REGION:
                self._regions[number] = _ZEROED
            else:
                region = self._own(number, size)
                if size == 1:
                    region[low] = value
                elif isinstance(region, dict):
                    for index in range(size):
                        region[low + index] = value if value == ZERO else value + index
                else:
                    values = _ZEROED[:size] if value == ZERO else array(_CODE, range(value, value + size))
                    region[low : low + size] = values
            block += size
            if value != ZERO:
                value += size

    def _own(self, number: int, more: int) -> dict[int, int] | array[int]:
        """The region, to be changed by setting so many blocks. A reader sees the old one or the new one."""
        region = self._regions.get(number)
        if region is _ZEROED:
            region = self._regions[number] = array(_CODE, _ZEROED)
        elif region is None or isinstance(region, dict):
            few = region or {}
            if len(few) + more > _FEW:
                region = array(_CODE, _EMPTY)
                for low, value in few.items():
                    region[low] = value
                self._regions[number] = region
            elif region is None:
                region = self._regions[number] = few
        return region

    def runs(self, first: int, stop: int) -> Iterator[_Run]:
        """(first block, value, blocks) for the range, in order: runs of CLEAN, of ZERO, and of adjacent clusters."""
        start, head, count = first, CLEAN, 0
        for block, value, size in self._pieces(first, stop):
            if count and value == (head if head <= ZERO else head + count):
                count += size
                continue
            if count:
                yield start, head, count
            start, head, count = block, value, size
        if count:
            yield start, head, count

    def _pieces(self, first: int, stop: int) -> Iterator[_Run]:
        block = first
        while block < stop:
            low = block & _MASK
            size = min(stop - block, _REGION - low)
            region = self._regions.get(block >> _SHIFT)
            if region is None:
                yield block, CLEAN, size
            elif isinstance(region, dict):
                yield from _split_few(block, _few(region, low, size), size)
            elif region is _ZEROED:
                yield block, ZERO, size
            else:
                yield from _split_many(block, region[low : low + size])
            block += size

    def held(self) -> Iterator[_Run]:
        """The runs that are not CLEAN, in order, in time proportional to what is held; it may change meanwhile."""
        start, head, count = 0, CLEAN, 0
        for block, value, size in self._held_pieces():
            if count and block == start + count and value == (head if head == ZERO else head + count):
                count += size
                continue
            if count:
                yield start, head, count
            start, head, count = block, value, size
        if count:
            yield start, head, count

    def _held_pieces(self) -> Iterator[_Run]:
        regions = self._regions
        for number in sorted(regions):
            region, first = regions[number], number << _SHIFT
            if isinstance(region, dict):
                for low, value in sorted(region.copy().items()):
                    yield first + low, value, 1
            elif region is _ZEROED:
                yield first, ZERO, min(_REGION, self.blocks - first)
            else:
                for run in _split_many(first, region[: self.blocks - first]):
                    if run[1] != CLEAN:
                        yield run

    def memory_bytes(self) -> int:
        """About what the map takes: four bytes a block of a region, or a place for one that reads as zeros."""
        zeroed = sum(region is _ZEROED for region in self._regions.values())
        return (len(self._regions) - zeroed) * 4 * _REGION + zeroed * _REGION // 8

    def exceeds(self, limit_bytes: int) -> bool:
        """True when one more region could take the map past so much memory; quick, so that every write may ask."""
        quickly = (len(self._regions) + 1) * 4 * _REGION > limit_bytes
        return quickly and self.memory_bytes() + 4 * _REGION > limit_bytes

    def pack(self) -> bytes:
        """Everything that is held, as a checkpoint's entries."""
        return pack_entries(self.held())

    def replay(self, entries: Iterable[_Run]) -> None:
        """Apply a record's entries. Raises FormatError when one is outside the disk or no cluster of any file."""
        blocks, regions = self.blocks, self._regions
        for first, value, count in entries:
            if not count or first + count > blocks or value < ZERO or value + count > _MAX_CLUSTERS:
                raise FormatError(
                    f"the log maps {count} blocks at {first} outside the disk or the file",
                    where="overlay",
                    found=f"cluster {value}",
                    expected=f"blocks of {blocks}, a cluster from {ZERO} on",
                )
            region = regions.get(first >> _SHIFT)
            if count == 1 and region is not None and region is not _ZEROED and len(region) != _FEW:
                region[first & _MASK] = value
            else:
                self.set_run(first, value, count)


def _few(region: dict[int, int], low: int, size: int) -> list[tuple[int, int]]:
    """(index from `low` on, value) of a part of one region, in order."""
    if size <= len(region):
        return [(index, value) for index in range(size) if (value := region.get(low + index, CLEAN))]
    items = sorted(region.copy().items())
    return [(index - low, value) for index, value in items if low <= index < low + size]


def _split_few(block: int, items: list[tuple[int, int]], size: int) -> Iterator[_Run]:
    position = 0
    for index, value in items:
        if index > position:
            yield block + position, CLEAN, index - position
        yield block + index, value, 1
        position = index + 1
    if position < size:
        yield block + position, CLEAN, size - position


def _split_many(block: int, values: Sequence[int]) -> Iterator[_Run]:
    start, head = 0, values[0]
    for index, value in enumerate(values):
        if value != (head if head <= ZERO else head + index - start):
            yield block + start, head, index - start
            start, head = index, value
    yield block + start, head, len(values) - start


class Space:
    """The clusters of a file that hold no header: which are free, and where the file ends."""

    __slots__ = ("_free", "end", "free_clusters")

    def __init__(self, end: int = FIRST_CLUSTER) -> None:
        self.end = end
        self.free_clusters = 0
        self._free: list[tuple[int, int]] = []

    @classmethod
    def rebuild(cls, used: list[int]) -> Space:
        """From the runs in use, each ``first cluster << 32 | clusters``, since numbers sort faster than pairs.

        Raises FormatError when two claim the same cluster.
        """
        ordered = sorted(used)
        runs: list[tuple[int, int]] = []
        end = FIRST_CLUSTER
        for both in ordered:
            first = both >> 32
            if first < end:
                raise FormatError(f"cluster {first} is used twice", where="overlay")
            if first > end:
                runs.append((end, first - end))
            end = first + (both & 0xFFFFFFFF)
        space = cls(end)
        space.release(reversed(runs))
        return space

    def take(self, count: int) -> list[tuple[int, int]]:
        """`count` clusters as (first, clusters) runs; new ones at the end of the file when too few are free."""
        runs: list[tuple[int, int]] = []
        while count and self._free:
            first, size = self._free.pop()
            if size > count:
                self._free.append((first + count, size - count))
                size = count
            self.free_clusters -= size
            count -= size
            runs.append((first, size))
        if count:
            runs.append((self.take_at_end(count), count))
        return runs

    def take_at_end(self, count: int) -> int:
        """The first of `count` adjacent new clusters at the end of the file."""
        first = self.end
        self.end += count
        return first

    def take_run(self, count: int) -> int:
        """The first of `count` adjacent clusters: of a free run that is large enough, or at the end of the file."""
        self._free = merged(self._free)[::-1]
        for index, (first, size) in enumerate(self._free):
            if size >= count:
                self._free[index : index + 1] = [(first + count, size - count)] if size > count else []
                self.free_clusters -= count
                return first
        return self.take_at_end(count)

    def untake(self, runs: Iterable[tuple[int, int]]) -> None:
        """Nothing could be written there after all: the end of the file is where it was."""
        for first, count in sorted(runs, reverse=True):
            if first + count == self.end:
                self.end = first
            else:
                self.release([(first, count)])

    def release(self, runs: Iterable[tuple[int, int]]) -> None:
        """Nothing refers to these any more."""
        for first, count in runs:
            self._free.append((first, count))
            self.free_clusters += count


def merged(runs: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same clusters as few ascending runs."""
    result: list[tuple[int, int]] = []
    for first, count in sorted(runs):
        if result and result[-1][0] + result[-1][1] == first:
            result[-1] = (result[-1][0], result[-1][1] + count)
        else:
            result.append((first, count))
    return result
