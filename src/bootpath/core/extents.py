"""Byte ranges and sets of them.

An `Extent` is (offset, length) in bytes, half open: it covers ``offset <= byte < end``. An `ExtentSet` is a sorted
list of disjoint, non-adjacent extents; every operation keeps that invariant. All are O(log n) to find and O(k) in the
extents they touch.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Extent:
    """``length`` bytes from ``offset``. Both are non-negative; ordered by offset."""

    offset: int
    length: int

    def __post_init__(self) -> None:
        if self.offset < 0 or self.length < 0:
            raise ValueError(f"negative extent ({self.offset}, {self.length})")

    @property
    def end(self) -> int:
        """First byte after the extent."""
        return self.offset + self.length

    def overlaps(self, other: Extent) -> bool:
        """True when they share a byte."""
        return self.offset < other.end and other.offset < self.end

    def covers(self, other: Extent) -> bool:
        """True when every byte of `other` is in this extent."""
        return self.offset <= other.offset and other.end <= self.end

    def shift(self, delta: int) -> Extent:
        """The same length, ``delta`` bytes further."""
        return Extent(self.offset + delta, self.length)

    def aligned(self, granularity: int) -> Extent:
        """The smallest extent on multiples of ``granularity`` bytes that covers this one."""
        start = self.offset - self.offset % granularity
        end = -(-self.end // granularity) * granularity
        return Extent(start, end - start)


class ExtentSet:
    """A set of bytes, kept as sorted, disjoint, non-adjacent extents."""

    __slots__ = ("_ends", "_starts")

    def __init__(self, extents: Iterable[Extent] = ()) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for extent in extents:
            self.add(extent)

    def add(self, extent: Extent) -> None:
        """Add every byte of `extent`, merging what it touches."""
        if extent.length == 0:
            return
        first = bisect_left(self._ends, extent.offset)
        last = bisect_right(self._starts, extent.end)
        start, end = extent.offset, extent.end
        if first < last:
            start = min(start, self._starts[first])
            end = max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]

    def remove(self, extent: Extent) -> None:
        """Remove every byte of `extent`."""
        if extent.length == 0:
            return
        first = bisect_right(self._ends, extent.offset)
        last = bisect_left(self._starts, extent.end)
        if first >= last:
            return
        starts: list[int] = []
        ends: list[int] = []
        if self._starts[first] < extent.offset:
            starts.append(self._starts[first])
            ends.append(extent.offset)
        if self._ends[last - 1] > extent.end:
            starts.append(extent.end)
            ends.append(self._ends[last - 1])
        self._starts[first:last] = starts
        self._ends[first:last] = ends

    def covers(self, extent: Extent) -> bool:
        """True when every byte of `extent` is in the set."""
        if extent.length == 0:
            return True
        index = bisect_right(self._starts, extent.offset) - 1
        return index >= 0 and extent.end <= self._ends[index]

    def intersect(self, extent: Extent) -> list[Extent]:
        """The parts of `extent` that are in the set, in order; nothing for an empty extent."""
        if extent.length == 0:
            return []
        first = bisect_right(self._ends, extent.offset)
        last = bisect_left(self._starts, extent.end)
        return [
            Extent(max(start, extent.offset), min(end, extent.end) - max(start, extent.offset))
            for start, end in zip(self._starts[first:last], self._ends[first:last], strict=True)
        ]

    def gaps(self, extent: Extent) -> list[Extent]:
        """The parts of `extent` that are not in the set, in order."""
        result: list[Extent] = []
        position = extent.offset
        for part in self.intersect(extent):
            if part.offset > position:
                result.append(Extent(position, part.offset - position))
            position = part.end
        if position < extent.end:
            result.append(Extent(position, extent.end - position))
        return result

    def coalesced(self, max_extents: int) -> ExtentSet:
        """A superset with at most `max_extents` (>= 1) extents: the smallest gaps are filled first."""
        if max_extents < 1:
            raise ValueError(f"max_extents is {max_extents}, must be at least 1")
        excess = len(self) - max_extents
        result = ExtentSet(self)
        if excess > 0:
            gaps = [Extent(end, start - end) for end, start in zip(self._ends, self._starts[1:], strict=False)]
            for gap in sorted(gaps, key=lambda gap: (gap.length, gap.offset))[:excess]:
                result.add(gap)
        return result

    @property
    def total_bytes(self) -> int:
        """Number of bytes in the set."""
        return sum(self._ends) - sum(self._starts)

    @property
    def end(self) -> int:
        """First byte after the last extent; 0 when empty."""
        return self._ends[-1] if self._ends else 0

    def __iter__(self) -> Iterator[Extent]:
        return (Extent(start, end - start) for start, end in zip(self._starts, self._ends, strict=True))

    def __len__(self) -> int:
        return len(self._starts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ExtentSet):
            return NotImplemented
        return self._starts == other._starts and self._ends == other._ends

    __hash__ = None  # type: ignore[assignment]  # mutable, so unhashable on purpose

    def __repr__(self) -> str:
        return f"ExtentSet({list(self)!r})"
