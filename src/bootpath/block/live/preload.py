"""The preload: extents of a file system, packed one after the other in RAM by the boot loader.

Extents are in bytes of the file system and end at any byte. A prefix preload is the one extent [0, n).
"""

from __future__ import annotations

import errno
from bisect import bisect_right
from collections.abc import Iterator, Sequence

from bootpath.block.leaves.pages import Pages
from bootpath.core.device import Buffer, FileRange
from bootpath.core.errors import DeviceError
from bootpath.core.extents import Extent


class Preload:
    """Finds bytes of the file system in `memory`, where `extents` are packed in the given order.

    `pages` are the pages that the memory belongs to from their first byte, if it does.
    Raises DeviceError (EINVAL) when the memory is shorter than the extents (a short preload must fail loudly, not read
    as something else), when extents overlap, or when one ends past `size_bytes`.
    """

    __slots__ = ("_ends", "_pages", "_positions", "_starts", "memory")

    def __init__(
        self, memory: Buffer, extents: Sequence[Extent], size_bytes: int, *, pages: Pages | None = None
    ) -> None:
        self._pages = pages
        self.memory = memoryview(memory).cast("B").toreadonly()
        packed = sum(extent.length for extent in extents)
        if len(self.memory) < packed:
            raise _wrong("the preload is too short", found=f"{len(self.memory)} bytes", expected=f"at least {packed}")
        position = 0
        rows: list[tuple[int, int, int]] = []
        for extent in extents:
            if extent.end > size_bytes:
                raise _wrong(
                    "an extent of the preload ends past the device", found=extent.end, expected=f"at most {size_bytes}"
                )
            if extent.length:
                rows.append((extent.offset, extent.end, position))
            position += extent.length
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._positions: list[int] = []
        for start, end, position in sorted(rows):
            if self._ends and start < self._ends[-1]:
                raise _wrong(
                    "two extents of the preload overlap",
                    found=f"one that starts at {start}",
                    expected=f"none before {self._ends[-1]}",
                )
            if self._ends and start == self._ends[-1] and position == self._positions[-1] + start - self._starts[-1]:
                self._ends[-1] = end
                continue
            self._starts.append(start)
            self._ends.append(end)
            self._positions.append(position)

    def view(self, offset: int, length: int) -> memoryview | None:
        """The bytes as one view, or None when they are not in one preloaded run."""
        index = bisect_right(self._starts, offset) - 1
        if index < 0 or offset + length > self._ends[index]:
            return None
        position = self._positions[index] + offset - self._starts[index]
        return self.memory[position : position + length]

    def range(self, offset: int, length: int) -> FileRange | None:
        """Where the bytes are as a part of a file, or None when they are not in one run, or not in `pages`."""
        index = bisect_right(self._starts, offset) - 1
        if index < 0 or offset + length > self._ends[index] or self._pages is None:
            return None
        return self._pages.range(self._positions[index] + offset - self._starts[index], length)

    def split(self, offset: int, length: int) -> Iterator[tuple[int, int, memoryview | None]]:
        """(offset, length, view or None) for the range, cut by byte at the preload's edges."""
        end = offset + length
        index = max(bisect_right(self._starts, offset) - 1, 0)
        while offset < end:
            while index < len(self._starts) and self._ends[index] <= offset:
                index += 1
            if index == len(self._starts) or self._starts[index] >= end:
                yield offset, end - offset, None
                return
            start = self._starts[index]
            if offset < start:
                yield offset, start - offset, None
                offset = start
            stop = min(end, self._ends[index])
            yield offset, stop - offset, self.view(offset, stop - offset)
            offset = stop


def _wrong(what: str, *, found: object, expected: object) -> DeviceError:
    return DeviceError(what, errno=errno.EINVAL, where="preload", found=found, expected=expected)
