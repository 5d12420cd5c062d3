"""hydration: fill a preload in the background while the live disk is already served.

The extents are read in the given order, which is a plan's order of first touch, and lie packed in memory in that order;
so what is there is always a beginning of the memory, and one immutable `Preload` describes it. A step of hydration
reads some of the disk and then replaces that description: a request sees either the old one or the new one, and is
answered from memory or from the disk accordingly. Requests never wait for hydration.

Processes that are forked share the memory, and how much of it is there: one of them runs the hydration, and the others
`follow` it now and then; until they do they read the disk.

The model is Linux's dm-clone, without its region bitmap: the order is known beforehand.
"""

from __future__ import annotations

import mmap
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bootpath.block.leaves.pages import Pages
from bootpath.block.live.disk import Live
from bootpath.block.live.late import LateDisk
from bootpath.block.live.preload import Preload
from bootpath.core.device import Identity, read_into
from bootpath.core.errors import DeviceError
from bootpath.core.extents import Extent

_STEP_BYTES = 1 << 20
_RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class HydrationProgress:
    """How far hydration has come, in bytes; `failure` is why it does not go on at the moment."""

    done_bytes: int
    total_bytes: int
    failure: str | None

    @property
    def complete(self) -> bool:
        """True when everything that was to be preloaded is in memory."""
        return self.done_bytes == self.total_bytes


class Hydration:
    """A `live` disk of `size_bytes` whose preload of `extents` is filled by `run`.

    `source` is what the preload is read from, and `late` what everything else is read from; often the same.
    """

    def __init__(
        self,
        extents: Sequence[Extent],
        size_bytes: int,
        source: LateDisk,
        late: LateDisk,
        *,
        block_bytes: int = 512,
        identity: Identity | None = None,
    ) -> None:
        self._extents = tuple(extents)
        self._source = source
        self._total_bytes = sum(extent.length for extent in extents)
        self._pages = Pages(self._total_bytes)
        self._done = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("Q")  # its first word, in every process
        self._seen_bytes = 0
        self._failure: str | None = None
        self.live = Live(b"", (), size_bytes, late, block_bytes=block_bytes, identity=identity)

    @property
    def extents(self) -> tuple[Extent, ...]:
        """What is to be preloaded, in the order in which it is read."""
        return self._extents

    @property
    def progress(self) -> HydrationProgress:
        """How far it has come."""
        return HydrationProgress(self._done[0], self._total_bytes, self._failure)

    def run(self, stop: threading.Event, *, progress: Callable[[HydrationProgress], None] | None = None) -> None:
        """Hydrate until everything is there or `stop` is set. A disk that fails is tried again after a while."""
        position = 0
        for index, extent in enumerate(self._extents):
            offset = extent.offset
            while offset < extent.end:
                if stop.is_set():
                    return
                length = min(_STEP_BYTES, extent.end - offset)
                try:
                    self._fetch(offset, length, position)
                except DeviceError as fault:
                    self._failure = str(fault)
                    stop.wait(_RETRY_SECONDS)
                    continue
                self._failure = None
                offset += length
                position += length
                last = index == len(self._extents) - 1 and offset == extent.end
                if last or position - self._seen_bytes >= _STEP_BYTES:
                    self._publish(index, offset, position)
                    self._done[0] = position
                    if progress is not None:
                        progress(self.progress)

    def _fetch(self, offset: int, length: int, position: int) -> None:
        disk = self._source.get()
        try:
            read_into(disk, offset, self._pages.view[position : position + length])
        except DeviceError:
            self._source.failed(disk)
            raise

    def _publish(self, index: int, end: int, position: int) -> None:
        current = self._extents[index]
        ready = (*self._extents[:index], Extent(current.offset, end - current.offset))
        self.live.preload = Preload(self._pages.view, ready, self.live.size_bytes, pages=self._pages)
        self._seen_bytes = position

    def follow(self) -> None:
        """Take what another process has hydrated since this was forked from it, or since the last call."""
        done = self._done[0]
        if done == self._seen_bytes:
            return
        left = done
        for index, extent in enumerate(self._extents):
            if left <= extent.length:
                self._publish(index, extent.offset + left, done)
                return
            left -= extent.length
