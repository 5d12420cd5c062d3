"""Devices laid end to end, as the lines of a table are.

A request that spans several devices is cut at their edges. A write that touches a read-only device is refused with
EPERM before any of it is applied.
"""

from __future__ import annotations

import errno
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate

from bootpath.core.device import Buffer, Device, Identity, Segment
from bootpath.core.errors import DeviceError


class Concat:
    """`parts`, in order, at least one. The block size is the largest of theirs, and every part a multiple of it.

    Read-only when every part is. Closing it closes the parts only when it `owns` them. Raises DeviceError (EINVAL)
    when a part's size is not a multiple of the block size.
    """

    def __init__(self, parts: Sequence[Device], *, identity: Identity | None = None, owns: bool = False) -> None:
        if not parts:
            raise ValueError("a concatenation needs at least one device")
        self.parts = tuple(parts)
        self.block_bytes = max(part.block_bytes for part in parts)
        for index, part in enumerate(parts):
            if part.size_bytes % self.block_bytes or not part.size_bytes:
                raise DeviceError(
                    f"part {index} does not end on a block",
                    errno=errno.EINVAL,
                    where=part.identity.name,
                    found=f"{part.size_bytes} bytes",
                    expected=f"a multiple of {self.block_bytes}",
                )
        self._ends = list(accumulate(part.size_bytes for part in parts))
        self._starts = [0, *self._ends[:-1]]
        self.size_bytes = self._ends[-1]
        self.read_only = all(part.read_only for part in parts)
        self.identity = identity or Identity("concat")
        self._owns = owns

    def _split(self, offset: int, length: int) -> Iterator[tuple[Device, int, int, int]]:
        """(part, the part's byte 0 here, offset in the part, length) for every part the range touches."""
        index = bisect_right(self._starts, offset) - 1
        end = offset + length
        while offset < end:
            stop = min(end, self._ends[index])
            yield self.parts[index], self._starts[index], offset - self._starts[index], stop - offset
            offset = stop
            index += 1

    def _writable(self, operation: str, offset: int, length: int) -> list[tuple[Device, int, int, int]]:
        split = list(self._split(offset, length))
        for part, start, _, _ in split:
            if part.read_only:
                raise DeviceError(
                    f"{operation} at {offset} is refused: the part at {start} is read-only",
                    errno=errno.EPERM,
                    where=part.identity.name,
                )
        return split

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        """See `Device.read`."""
        index = bisect_right(self._starts, offset) - 1
        if offset + length <= self._ends[index]:
            return self.parts[index].read(offset - self._starts[index], length)
        views: list[Buffer] = []
        for part, _, inner, size in self._split(offset, length):
            views += part.read(inner, size)
        return views

    def read_resident(self, offset: int, length: int) -> Sequence[Buffer] | None:
        """See `Device.read_resident`: None unless every part has its own share."""
        views: list[Buffer] = []
        for part, _, inner, size in self._split(offset, length):
            some = part.read_resident(inner, size)
            if some is None:
                return None
            views += some
        return views

    def write(self, offset: int, data: Buffer, *, fua: bool = False) -> None:
        """See `Device.write`."""
        view = memoryview(data)
        for part, start, inner, size in self._writable("write", offset, len(data)):
            first = start + inner - offset
            part.write(inner, view[first : first + size], fua=fua)

    def flush(self) -> None:
        """See `Device.flush`: every part that can be written."""
        for part in self.parts:
            if not part.read_only:
                part.flush()

    def discard(self, offset: int, length: int) -> None:
        """See `Device.discard`."""
        for part, _, inner, size in self._writable("discard", offset, length):
            part.discard(inner, size)

    def zero(self, offset: int, length: int) -> None:
        """See `Device.zero`."""
        for part, _, inner, size in self._writable("zero", offset, length):
            part.zero(inner, size)

    def extents(self, offset: int, length: int) -> Iterator[Segment]:
        """See `Device.extents`: the parts' segments at this device's offsets."""
        for part, start, inner, size in self._split(offset, length):
            for segment in part.extents(inner, size):
                yield segment.shift(start)

    def close(self) -> None:
        """See `Device.close`: the parts too when they are owned."""
        if self._owns:
            for part in self.parts:
                part.close()
