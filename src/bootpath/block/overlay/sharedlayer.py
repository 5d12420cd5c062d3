"""A layer that forked processes share: its states and their lock, beside the memory that is shared anyway.

Make it before the fork. Everything is as in `layer`, over memory that every process sees: the states are a mapped file
in RAM, one byte a block, and so is a page of words:

===== ============================================================
word  meaning
===== ============================================================
HELD  `held_blocks`
FIRST the blocks that are being changed, FIRST..STOP; while nothing
STOP  is, STOP is 0
===== ============================================================

Reading, and writing to a block that is DIRTY already, take no lock, as ever: a state is one byte and is stored after
the memory that it speaks of, and giving memory back makes all processors look again (the kernel takes the page out of
every address space), so whoever wrote to it too late finds that it is no longer DIRTY.

The lock is one of threads inside a process and a record lock (fcntl(2), F_SETLKW) between processes, which the kernel
releases when its holder dies, however. A process that is killed while it changes blocks leaves STOP set; the next
holder of the lock makes states and memory of those blocks agree again, so that each reads as it did before or as it
was to be. Nothing is ever SAME here: that needs `drop_matching`, which a server does not use.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import threading
import weakref
from collections.abc import Callable
from types import TracebackType

from bootpath.block.overlay.blocks import BLOCK_SHIFT, OVERLAY_BLOCK_BYTES
from bootpath.block.overlay.layer import CLEAN, DIRTY, ZERO, Layer

_HELD, _FIRST, _STOP, _WORDS = range(4)
_LOOK_BLOCKS = 1 << 16


class SharedStates(mmap.mmap):
    """One byte a block, all 0 at first; in a file that can be looked at without committing what was never written."""

    _fd: int
    _blocks: int

    @classmethod
    def of(cls, blocks: int) -> SharedStates:
        """States of so many blocks."""
        fd = os.memfd_create("bootpath-states", os.MFD_CLOEXEC)
        os.ftruncate(fd, max(blocks, 1))
        states = cls(fd, max(blocks, 1))
        states._fd, states._blocks = fd, blocks
        weakref.finalize(states, os.close, fd)
        return states

    def __len__(self) -> int:
        return self._blocks

    def count(self, state: int, first: int = 0, stop: int | None = None) -> int:
        """How many of the blocks have the state."""
        stop = self._blocks if stop is None else stop
        if stop - first <= _LOOK_BLOCKS:
            return self[first:stop].count(state)
        return sum(
            os.pread(self._fd, min(_LOOK_BLOCKS, stop - start), start).count(state)
            for start in range(first, stop, _LOOK_BLOCKS)
        )

    def find(self, state: int, first: int = 0) -> int:  # type: ignore[override]  # as bytes.find, for a byte
        """The first block from `first` on that has the state, -1 if there is none."""
        for start in range(first, self._blocks, _LOOK_BLOCKS):
            found = os.pread(self._fd, min(_LOOK_BLOCKS, self._blocks - start), start).find(state)
            if found >= 0:
                return start + found
        return -1


class SharedLock:
    """Held by one thread of one process. `enter` and `leave` are called with it held, first and last."""

    def __init__(self, enter: Callable[[], None], leave: Callable[[], None]) -> None:
        self._threads = threading.Lock()
        self._fd = os.memfd_create("bootpath-lock", os.MFD_CLOEXEC)
        self._enter, self._leave = enter, leave
        weakref.finalize(self, os.close, self._fd)

    def __enter__(self) -> None:
        self._threads.acquire()
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX)
            self._enter()
        except BaseException:
            self._release()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()
        self._release()

    def _release(self) -> None:
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_UN)
        finally:
            self._threads.release()


class SharedLayer(Layer):
    """States and memory of an overlay over `size_bytes`, for this process and those that are forked later.

    Whoever changes it holds `lock`, and says first which blocks (`begin`).
    """

    __slots__ = ("_words", "lock")

    def __init__(self, size_bytes: int) -> None:
        self._words = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("Q")[:_WORDS]
        super().__init__(size_bytes)
        super().begin(0, 0)
        self.states = SharedStates.of(-(-size_bytes // OVERLAY_BLOCK_BYTES))
        self.lock = SharedLock(self._repair, self._done)

    @property
    def held_blocks(self) -> int:
        """How many blocks have memory."""
        return self._words[_HELD]

    @held_blocks.setter
    def held_blocks(self, blocks: int) -> None:
        self._words[_HELD] = blocks

    def begin(self, first: int, stop: int) -> None:
        """See `Layer.begin`; should this process be killed, the next one knows where to look."""
        self._words[_FIRST] = first
        self._words[_STOP] = stop

    def _done(self) -> None:
        self._words[_STOP] = 0

    def renewed(self) -> Layer:
        """See `Layer.renewed`: this one, emptied, for the others look at it too."""
        blocks = len(self.states)
        self.begin(0, blocks)
        for first in range(0, blocks, _LOOK_BLOCKS):
            self.mark(first, min(first + _LOOK_BLOCKS, blocks), CLEAN)
        self.pages.release(0, self.pages.size_bytes)
        return self

    def _repair(self) -> None:
        """Let states and memory agree where a process was killed; called with the lock held."""
        first, stop = self._words[_FIRST], self._words[_STOP]
        if not stop:
            return
        # CLEAN reads as before from the base, so the memory holds nothing that anybody has seen. ZERO is read from
        # memory, which may have been written already, or not yet given back: it is what was seen.
        for start, size, state in self.runs(first << BLOCK_SHIFT, (stop - first) << BLOCK_SHIFT):
            if state == CLEAN:
                self.pages.release(start, start + size)
            elif state == ZERO:
                self._repair_zero(start >> BLOCK_SHIFT, (start + size) >> BLOCK_SHIFT)
        self._words[_HELD] = self.held(0, len(self.states))
        self._done()

    def _repair_zero(self, first: int, stop: int) -> None:
        for block in range(first, stop):
            start, end = block << BLOCK_SHIFT, (block + 1) << BLOCK_SHIFT
            if self.view[start:end] == _NOTHING:
                self.pages.release(start, end)
            else:
                self.mark(block, block + 1, DIRTY)


_NOTHING = bytes(OVERLAY_BLOCK_BYTES)
