"""A disk in blocks that are compressed each by itself: only those are unpacked that are read, and the last ones kept.

Invariants: a block is unpacked by one thread at a time, and others wait for it; what is kept has at most the bytes that
`core.limits` allows (`packed_cache_bytes`), or one block; a block that cannot be unpacked is EIO, with its place.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate

from bootpath.block.targets.readonly import ReadOnly
from bootpath.core.device import Buffer, Device, Identity, Segment
from bootpath.core.diskimage import DiskImage
from bootpath.core.errors import DeviceError, FormatError
from bootpath.core.limits import limits


class _Unpacking:
    """A block that a thread is unpacking: `data` or `fault` is there once `done` is set."""

    __slots__ = ("data", "done", "fault")

    def __init__(self) -> None:
        self.done = threading.Event()
        self.data: memoryview | None = None
        self.fault = ""


class PackedDevice(ReadOnly):
    """`unpack` gives the block of that index, which has as many bytes as `sizes` says, or raises FormatError.

    It owns `lower`, the file. The last block is filled up with zeros to `block_bytes`.
    """

    def __init__(
        self,
        lower: Device,
        sizes: Sequence[int],
        unpack: Callable[[int], bytes],
        *,
        disk_images: tuple[DiskImage, ...],
        block_bytes: int = 512,
        identity: Identity | None = None,
    ) -> None:
        self.identity = identity or lower.identity
        self.block_bytes = block_bytes
        self.disk_images = disk_images
        self._lower = lower
        self._unpack = unpack
        self._starts = list(accumulate(sizes, initial=0))
        self._content_bytes = self._starts[-1]
        self.padding_bytes = -self._content_bytes % block_bytes
        self.size_bytes = self._content_bytes + self.padding_bytes
        self._max_bytes = limits().packed_cache_bytes
        self._lock = threading.Lock()
        self._blocks: OrderedDict[int, memoryview] = OrderedDict()
        self._held_bytes = 0
        self._running: dict[int, _Unpacking] = {}

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        """See `Device.read`. EIO for a block that cannot be unpacked."""
        return self._views(offset, length, self._block)

    def read_resident(self, offset: int, length: int) -> Sequence[Buffer] | None:
        """See `Device.read_resident`: when all blocks are kept."""
        try:
            return self._views(offset, length, self._kept)
        except KeyError:
            return None

    def _views(self, offset: int, length: int, block: Callable[[int], memoryview]) -> list[Buffer]:
        views: list[Buffer] = []
        end = min(offset + length, self._content_bytes)
        position = offset
        while position < end:
            index = bisect_right(self._starts, position) - 1
            start = self._starts[index]
            part = block(index)[position - start : end - start]
            views.append(part)
            position += len(part)
        if offset + length > self._content_bytes:
            views.append(bytes(offset + length - end))
        return views

    def _kept(self, index: int) -> memoryview:
        with self._lock:
            data = self._blocks[index]
            self._blocks.move_to_end(index)
            return data

    def _block(self, index: int) -> memoryview:
        with self._lock:
            data = self._blocks.get(index)
            if data is not None:
                self._blocks.move_to_end(index)
                return data
            running = self._running.get(index)
            mine = running is None
            if running is None:
                running = self._running[index] = _Unpacking()
        if mine:
            self._fill(index, running)
        running.done.wait()
        if running.data is None:
            raise DeviceError(f"block {index} cannot be read: {running.fault}", where=self.identity.name)
        return running.data

    def _fill(self, index: int, running: _Unpacking) -> None:
        running.fault = "reading was interrupted"
        try:
            content = self._unpack(index)
            wanted = self._starts[index + 1] - self._starts[index]
            if len(content) == wanted:
                running.data = memoryview(content)
            else:
                running.fault = f"it has {len(content)} bytes, and not {wanted}"
        except (FormatError, DeviceError) as fault:
            running.fault = str(fault)
        finally:
            with self._lock:
                del self._running[index]
                if running.data is not None:
                    self._blocks[index] = running.data
                    self._held_bytes += len(running.data)
                while self._held_bytes > self._max_bytes and len(self._blocks) > 1:
                    self._held_bytes -= len(self._blocks.popitem(last=False)[1])
            running.done.set()

    def extents(self, offset: int, length: int) -> Iterator[Segment]:
        """See `Device.extents`: one segment; what is in a block is not known before it is unpacked."""
        yield Segment(offset, length, "file")

    def close(self) -> None:
        """See `Device.close`: what is kept is forgotten."""
        with self._lock:
            self._blocks.clear()
            self._held_bytes = 0
        self._lower.close()
