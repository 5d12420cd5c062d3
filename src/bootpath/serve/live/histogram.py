"""How often each part of a disk is accessed: a count for each cell, which costs little since it is taken once a batch.

The last request of a batch stands for all of it, so this is a sample: enough for a map that shows which parts are
busy, and no more than that. The counts are in shared memory, so that servers that are forked from one count together.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Callable, Sequence

MAX_CELLS = 1024
BUSIEST = 9

_GRANULE_BYTES = 4096


def cell_size(size_bytes: int) -> int:
    """Bytes of a cell, a multiple of 4096, so that a disk of `size_bytes` has at most `MAX_CELLS`."""
    cells = -(-size_bytes // MAX_CELLS)
    return max(-(-cells // _GRANULE_BYTES), 1) * _GRANULE_BYTES


class AccessHistogram:
    """The counts of one disk of `size_bytes`."""

    def __init__(self, size_bytes: int) -> None:
        self.cell_bytes = cell_size(size_bytes)
        cells = max(-(-size_bytes // self.cell_bytes), 1)
        self._counts = memoryview(mmap.mmap(-1, 8 * cells)).cast("Q")

    def counter(self, base_bytes: int = 0) -> Callable[[int], None]:
        """A function that counts a request at an offset of what lies at `base_bytes` of the disk."""
        counts, cell_bytes = self._counts, self.cell_bytes

        def count_access(offset: int) -> None:
            counts[(base_bytes + offset) // cell_bytes] += 1

        return count_access

    def counts(self) -> tuple[int, ...]:
        """The counts now."""
        return tuple(self._counts)


def levels(now: Sequence[int], before: Sequence[int] = ()) -> tuple[int, ...]:
    """0 (nothing) to `BUSIEST` for each cell, by the logarithm of what was counted since `before`."""
    new = [count - was for count, was in zip(now, before or [0] * len(now), strict=True)]
    top = math.log2(1 + max(new, default=0))
    return tuple(math.ceil(BUSIEST * math.log2(1 + count) / top) if count > 0 else 0 for count in new)
