"""What an overlay holds: a state for every 4 KiB block, and the memory of the written ones.

One byte of state per block, so that a run of equal states is found at C speed, and one anonymous mapping of the base's
size, committed by the kernel as it is written, so that a run of written blocks is one view.

====== ==================== ================================================
state  reads come from      memory
====== ==================== ================================================
CLEAN  the base             none (reads as zeros)
DIRTY  memory               the block
ZERO   memory               none (reads as zeros); a discarded or zeroed block
SAME   the base             the block's original content, not yet given back
====== ==================== ================================================

Memory is what its state says before the state says so, which is why readers need no lock. `sharedlayer` has a layer
that forked processes share.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Protocol, overload

from bootpath.block.leaves.pages import Pages
from bootpath.block.overlay.blocks import BLOCK_MASK, BLOCK_SHIFT, OVERLAY_BLOCK_BYTES

CLEAN, DIRTY, ZERO, SAME = range(4)

_HELD = (DIRTY, SAME)

# Runs that come from one place: the base (CLEAN, SAME), written memory, zeros.
_RUNS = re.compile(rb"[\x00\x03]+|\x01+|\x02+")


@lru_cache(maxsize=8)
def _all_clean(blocks: int) -> bytes:
    """The states of an overlay that nobody has written to, shared by all of the same size."""
    return bytes(blocks)


class MutableStates(Protocol):
    """One byte a block that can be changed in place: a bytearray, or memory that processes share."""

    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, index: int, /) -> int: ...
    @overload
    def __getitem__(self, index: slice, /) -> bytes | bytearray: ...
    @overload
    def __setitem__(self, index: int, state: int, /) -> None: ...
    @overload
    def __setitem__(self, index: slice, states: bytes, /) -> None: ...
    def count(self, state: int, first: int = ..., stop: int | None = ..., /) -> int:
        """How many of the blocks have the state."""

    def find(self, state: int, first: int = ..., /) -> int:
        """The first block from `first` on that has the state, -1 if there is none."""


class Layer:
    """States and memory of one life of an overlay over `size_bytes`; it costs nothing until something is written.

    `view` is the memory, once there is a block that is not CLEAN.
    """

    __slots__ = ("_pages", "held_blocks", "size_bytes", "states", "view")

    def __init__(self, size_bytes: int) -> None:
        blocks = -(-size_bytes // OVERLAY_BLOCK_BYTES)
        self.size_bytes = size_bytes
        self.states: bytes | MutableStates = _all_clean(blocks)
        self._pages: Pages | None = None
        self.view = memoryview(b"")
        self.held_blocks = 0

    def begin(self, first: int, stop: int) -> None:
        """Have memory: to be called before anything in blocks first..stop is written or marked."""
        if self._pages is None:
            self._pages = Pages(-(-self.size_bytes // OVERLAY_BLOCK_BYTES) * OVERLAY_BLOCK_BYTES)
            self.view = self._pages.view

    @property
    def pages(self) -> Pages:
        """The memory, once something has begun."""
        assert self._pages is not None
        return self._pages

    def renewed(self) -> Layer:
        """The layer of the overlay's next life, with nothing in it."""
        return Layer(self.size_bytes)

    def common(self, offset: int, length: int) -> int | None:
        """CLEAN or DIRTY when every block that the bytes touch is, ZERO or SAME when the only one is, else None."""
        first = offset >> BLOCK_SHIFT
        stop = (offset + length + BLOCK_MASK) >> BLOCK_SHIFT
        state = self.states[first]
        if stop - first == 1 or (state <= DIRTY and self.states.count(state, first, stop) == stop - first):
            return state
        return None

    def runs(self, offset: int, length: int) -> Iterator[tuple[int, int, int]]:
        """(offset, length, state) in bytes for a snapshot of the range; SAME counts as CLEAN."""
        base = offset >> BLOCK_SHIFT
        end = offset + length
        common = self.common(offset, length)
        if common in (CLEAN, DIRTY):
            yield offset, length, common
            return
        snapshot = bytes(self.states[base : (end + BLOCK_MASK) >> BLOCK_SHIFT])
        for match in _RUNS.finditer(snapshot):
            start = max(offset, (base + match.start()) << BLOCK_SHIFT)
            stop = min(end, (base + match.end()) << BLOCK_SHIFT)
            state = snapshot[match.start()]
            yield start, stop - start, CLEAN if state == SAME else state

    def held(self, first: int, stop: int) -> int:
        """How many of the blocks have memory."""
        return self.states.count(DIRTY, first, stop) + self.states.count(SAME, first, stop)

    def mark(self, first: int, stop: int, state: int) -> None:
        """Set the state of a run; its memory must already be what the state says."""
        if isinstance(self.states, bytes):
            self.states = bytearray(self.states)
        holds = state in _HELD
        if stop - first == 1:
            self.held_blocks += holds - (self.states[first] in _HELD)
            self.states[first] = state
        else:
            self.held_blocks += (stop - first if holds else 0) - self.held(first, stop)
            self.states[first:stop] = bytes((state,)) * (stop - first)

    def mark_zero(self, first: int, stop: int) -> None:
        """Make a run read as zeros without memory."""
        held = self.held(first, stop)
        self.mark(first, stop, ZERO)
        if held:
            self.pages.release(first << BLOCK_SHIFT, stop << BLOCK_SHIFT)

    def merge(self, block: int, low: int, part: bytes, original: bytes | None, *, drop: bool) -> None:
        """Change a part of one block, under the lock. `original` is the base's content, known if the block is CLEAN."""
        start = block << BLOCK_SHIFT
        memory = self.view[start : start + OVERLAY_BLOCK_BYTES]
        state = self.states[block]
        if state == CLEAN:
            assert original is not None
            if drop and original[low : low + len(part)] == part:
                return
            memory[:] = original
        elif state == ZERO and not any(part):
            return
        memory[low : low + len(part)] = part
        if drop and original is not None and state != CLEAN and bytes(memory) == original:
            self.mark(block, block + 1, SAME)
        else:
            self.mark(block, block + 1, DIRTY)

    def store(self, first: int, stop: int, offset: int, data: memoryview, matching: Sequence[int]) -> None:
        """Store a run of whole blocks, under the lock; for those that match the base, the base answers from now on."""
        position = first
        for block in (*matching, stop):
            if position < block:
                low, high = position << BLOCK_SHIFT, min(block << BLOCK_SHIFT, self.size_bytes)
                self.view[low:high] = data[low - offset : high - offset]
                self.mark(position, block, DIRTY)
            if block < stop and self.states[block] == DIRTY:  # a view of it that is in use must see the new content
                low, high = block << BLOCK_SHIFT, min((block + 1) << BLOCK_SHIFT, self.size_bytes)
                self.view[low:high] = data[low - offset : high - offset]
                self.mark(block, block + 1, SAME)
            elif block < stop and self.states[block] == ZERO:
                self.mark(block, block + 1, CLEAN)
            position = block + 1

    def same(self, keep_first: int, keep_stop: int) -> int:
        """How many blocks outside keep_first..keep_stop could be given back."""
        return self.states.count(SAME) - self.states.count(SAME, keep_first, keep_stop)

    def give_back(self, wanted: int, keep_first: int, keep_stop: int) -> None:
        """Release the memory of up to `wanted` SAME blocks outside keep_first..keep_stop, lowest first."""
        block = self.states.find(SAME)
        while wanted > 0 and block >= 0:
            if not keep_first <= block < keep_stop:
                self.mark(block, block + 1, CLEAN)
                self.pages.release(block << BLOCK_SHIFT, (block + 1) << BLOCK_SHIFT)
                wanted -= 1
            block = self.states.find(SAME, block + 1)
