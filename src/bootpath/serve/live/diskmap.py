"""A map of a served disk: at most 1024 cells, each of which says where its bytes would come from.

========== ===================================================================== ======
state      bytes that                                                            letter
========== ===================================================================== ======
disk       are read from the disk behind the preload                             d
hydrating  are read from there now, and are to be preloaded                      h
preload    are in RAM                                                            p
overlay    were written                                                          o
zero       are known to read as zeros: discarded, zeroed, or a hole in the disk  z
========== ===================================================================== ======

A cell of a large disk holds several. Its state is the rarest that it holds (overlay, then hydrating, then preload; else
what most of it is), with the share of the cell that is so, since a written block in a cell of 4 MiB must not be
invisible; its ground is what most of the rest is.

Looking is bounded: a `step` asks the device for at most `LOOK_BYTES` of its extents, and stops after `SEGMENTS` of
them, so a large or fragmented disk is looked at in several steps, cell by cell, and every cell is exact for the moment
it was looked at. Nothing is read, and a disk that has not come is not waited for (`Device.extents`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import islice

from bootpath.core.device import Device, Segment, unchecked
from bootpath.core.errors import DeviceError
from bootpath.core.extents import Extent, ExtentSet
from bootpath.serve.live.histogram import cell_size

LOOK_BYTES = 4 << 30
SEGMENTS = 1024
_WINDOW_BYTES = 256 << 20  # the overlay copies its states of what it is asked for at once
_WINDOW_SEGMENTS = 64


class CellState(Enum):
    """Where bytes would come from."""

    DISK = "disk"
    HYDRATING = "hydrating"
    PRELOAD = "preload"
    OVERLAY = "overlay"
    ZERO = "zero"

    @property
    def letter(self) -> str:
        """The state in one character."""
        return self.value[0]


_STATES = tuple(CellState)
_DISK, _HYDRATING, _PRELOAD, _OVERLAY, _ZERO = range(len(_STATES))
_RAREST_FIRST = (_OVERLAY, _HYDRATING, _PRELOAD)
_BY_SOURCE = {"preload": _PRELOAD, "overlay": _OVERLAY}


@dataclass(frozen=True, slots=True)
class DiskMap:
    """Cells of `cell_bytes` (the last may be shorter): `percents` of each are in its state, the rest mostly its ground.

    `bytes` sums up the whole disk. While `complete` is false some cells have not been looked at, and count as disk.
    """

    size_bytes: int
    cell_bytes: int
    states: tuple[CellState, ...]
    percents: tuple[int, ...]
    grounds: tuple[CellState, ...]
    bytes: Mapping[CellState, int]
    complete: bool


class Surveyor:
    """Keeps the map of `device`, of which `preload` is to be preloaded. Not for several threads at a time."""

    def __init__(self, device: Device, preload: Sequence[Extent] = ()) -> None:
        # A step may stop, and the next begin, at any byte, which only the checks forbid.
        self._device = unchecked(device)
        self._size_bytes = device.size_bytes
        self.cell_bytes = cell_size(self._size_bytes)
        merged = list(ExtentSet(preload))
        self._preload_starts = [extent.offset for extent in merged]
        self._preload_ends = [extent.end for extent in merged]
        self._cells = [
            self._whole(min(self.cell_bytes, self._size_bytes - start))
            for start in range(0, self._size_bytes, self.cell_bytes)
        ]
        self._cursor = 0
        self._counts = [0] * len(_STATES)  # of the cell that the cursor is in
        self._complete = False

    @staticmethod
    def _whole(length: int) -> tuple[int, ...]:
        return (length, 0, 0, 0, 0)

    def step(self, rest: Callable[[], None] = lambda: None) -> None:
        """Look at some more of the disk, or at all of it; `rest` is called now and then, to let others run."""
        segments = 0
        left = min(LOOK_BYTES, self._size_bytes)
        while left and segments < SEGMENTS:
            begin = self._cursor
            window = self._look(begin, min(_WINDOW_BYTES, left, self._size_bytes - begin))
            for state, length in islice(window, _WINDOW_SEGMENTS):
                self._add(state, length)
                segments += 1
            if self._cursor == begin:
                return  # the device has nothing to say, against its contract
            left -= self._cursor - begin
            if self._cursor == self._size_bytes:
                self._cursor = 0
                self._complete = True
            if left:
                rest()

    def _look(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """(state, length) of the range in order; what the device cannot tell is the disk's."""
        position, end = offset, offset + length
        try:
            for segment in self._device.extents(offset, length):
                for state, size in self._classify(segment):
                    yield state, size
                    position += size
        except DeviceError:
            if position < end:
                yield _DISK, end - position

    def _classify(self, segment: Segment) -> Iterator[tuple[int, int]]:
        state = _BY_SOURCE.get(segment.source)
        if state is not None:
            yield state, segment.length
            return
        state = _ZERO if segment.zero else _DISK
        if segment.source != "disk":
            yield state, segment.length
            return
        # What is to be preloaded comes from the disk until it is there, holes too.
        position, end = segment.offset, segment.offset + segment.length
        index = bisect_right(self._preload_ends, position)
        while position < end:
            if index == len(self._preload_starts) or self._preload_starts[index] >= end:
                yield state, end - position
                return
            if position < self._preload_starts[index]:
                yield state, self._preload_starts[index] - position
                position = self._preload_starts[index]
            stop = min(end, self._preload_ends[index])
            yield _HYDRATING, stop - position
            position = stop
            index += 1

    def _add(self, state: int, length: int) -> None:
        """Count bytes at the cursor, and move it; a cell is replaced when the cursor leaves it."""
        while length:
            index, inside = divmod(self._cursor, self.cell_bytes)
            cell_end = min((index + 1) * self.cell_bytes, self._size_bytes)
            taken = min(length, cell_end - self._cursor)
            if inside == 0:
                self._counts = [0] * len(_STATES)
            self._counts[state] += taken
            self._cursor += taken
            length -= taken
            if self._cursor == cell_end:
                self._cells[index] = tuple(self._counts)

    def map(self) -> DiskMap:
        """What is known now."""
        cells = list(self._cells)
        seen = {cell: _judge(cell) for cell in set(cells)}  # most cells are alike
        totals = [sum(column) for column in zip(*cells, strict=True)]
        return DiskMap(
            self._size_bytes,
            self.cell_bytes,
            tuple(seen[cell][0] for cell in cells),
            tuple(seen[cell][1] for cell in cells),
            tuple(seen[cell][2] for cell in cells),
            dict(zip(_STATES, totals, strict=True)) if totals else dict.fromkeys(_STATES, 0),
            self._complete,
        )


def _judge(cell: tuple[int, ...]) -> tuple[CellState, int, CellState]:
    """(state, percent of it, ground) of a cell."""
    plain = _ZERO if cell[_ZERO] > cell[_DISK] else _DISK
    shown = next((state for state in _RAREST_FIRST if cell[state]), plain)
    most, ground = max((length, state) for state, length in enumerate(cell) if state != shown)
    return _STATES[shown], max(1, cell[shown] * 100 // sum(cell)), _STATES[ground if most else shown]
