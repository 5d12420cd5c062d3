"""overlay: copy-on-write in RAM over any base. The base is only ever read.

Granularity is 4 KiB whatever the logical block size (`layer` has the states and the memory). Rules:

- Reads are not cached: a block gets memory only by being written.
- A write to part of a block reads that one block through the base, merges, and stores the block. A write of a whole
  block reads nothing.
- A block that is written back to its original content is dropped, when that costs no waiting: the base's content is
  compared only if the merge has read it anyway or `read_resident` has it at hand. A disk that is late is never waited
  for just to compare.
- `max_bytes` caps the memory. A request that needs more is refused with ENOSPC and changes nothing; blocks that are
  held stay writable. Memory of dropped blocks is given back when the cap needs it, not before: a view that was taken
  while the block was dirty may still be on its way to a client. (A client that restores a block while its own read of
  it is unanswered, at the cap, can still see zeros in that one answer.)

Threads: one lock is held while states and memory change, and never while the base is read, so a request that waits for
the base stalls no other. Readers take no lock. After a wait the states are looked at again. Nor does a write to one
written block take it, when nothing is dropped: memory is given back only after its state has changed, so a block that
is still DIRTY after the write keeps it; a discard at the same moment comes after.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from bootpath.block.overlay.layer import BLOCK_MASK as _MASK
from bootpath.block.overlay.layer import BLOCK_SHIFT as _SHIFT
from bootpath.block.overlay.layer import CLEAN, DIRTY, OVERLAY_BLOCK_BYTES, SAME, ZERO, Layer
from bootpath.block.views import extents_wide, read_wide, read_wide_resident
from bootpath.core.device import Buffer, Device, FileRange, Identity, Segment, checked, resident_ranges
from bootpath.core.errors import DeviceError
from bootpath.core.extents import Extent, ExtentSet

if TYPE_CHECKING:
    from bootpath.block.overlay.sharedlayer import SharedLock

_COMMIT_CHUNK = 1 << 20
_SAMPLE = 32


class Overlay:
    """A writable device over `base`, which it does not close unless it `owns` it.

    `max_bytes` caps the memory of written blocks (None: no cap but the base's size). `block_bytes` is the logical block
    size (None: the base's) and may be smaller than the base's. `drop_matching` false saves the comparison at each
    write. `shared` lets the processes that are forked later share what is written (`sharedlayer`; not with
    `drop_matching`, ValueError). Raises DeviceError (EINVAL) when the base's size is not a multiple of `block_bytes`.
    """

    read_only = False

    def __init__(
        self,
        base: Device,
        *,
        max_bytes: int | None = None,
        block_bytes: int | None = None,
        identity: Identity | None = None,
        drop_matching: bool = True,
        shared: bool = False,
        owns: bool = False,
    ) -> None:
        self.base = base
        self.size_bytes = base.size_bytes
        self.block_bytes = block_bytes or base.block_bytes
        self.identity = identity or base.identity
        if self.size_bytes % self.block_bytes:
            raise DeviceError(
                f"size is {self.size_bytes} bytes",
                errno=errno.EINVAL,
                where=base.identity.name,
                expected=f"a multiple of {self.block_bytes}",
            )
        self._max_blocks = None if max_bytes is None else max_bytes // OVERLAY_BLOCK_BYTES
        self._drop = drop_matching
        self._owns = owns
        self._lock: threading.Lock | SharedLock = threading.Lock()
        self._layer = Layer(self.size_bytes)
        if shared:
            if drop_matching:
                raise ValueError("an overlay that processes share does not compare what is written")
            from bootpath.block.overlay.sharedlayer import SharedLayer  # for those who fork

            self._layer = layer = SharedLayer(self.size_bytes)
            self._lock = layer.lock
        # What reaches the base is aligned to its blocks already, unless ours are smaller.
        aligned = base.block_bytes <= self.block_bytes
        self._read_base = base.read if aligned else partial(read_wide, base)
        self._read_base_resident = base.read_resident if aligned else partial(read_wide_resident, base)

    # Reading

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        """See `Device.read`: a written run is one view of the overlay's memory, a clean run is the base's answer."""
        layer = self._layer
        state = layer.common(offset, length)
        if state == CLEAN:
            return self._read_base(offset, length)
        if state == DIRTY:
            return (layer.view[offset : offset + length],)
        views: list[Buffer] = []
        for start, size, state in layer.runs(offset, length):
            if state == CLEAN:
                views += self._read_base(start, size)
            else:
                views.append(layer.view[start : start + size])
        return views

    def read_resident(self, offset: int, length: int) -> Sequence[Buffer] | None:
        """See `Device.read_resident`: None when a clean run of it is not resident in the base."""
        layer = self._layer
        # A call saved for the usual case, one block: it is what a busy server does.
        one = (offset & _MASK) + length <= OVERLAY_BLOCK_BYTES
        state = layer.states[offset >> _SHIFT] if one else layer.common(offset, length)
        if state == DIRTY:
            return (layer.view[offset : offset + length],)
        if state == CLEAN:
            return self._read_base_resident(offset, length)
        views: list[Buffer] = []
        for start, size, state in layer.runs(offset, length):
            if state == CLEAN:
                some = self._read_base_resident(start, size)
                if some is None:
                    return None
                views += some
            else:
                views.append(layer.view[start : start + size])
        return views

    def resident_ranges(self, offset: int, length: int) -> Sequence[FileRange] | None:
        """See `SupportsRanges.resident_ranges`: the overlay's memory, and what the base can name."""
        layer = self._layer
        if layer.common(offset, length) == DIRTY:
            return (layer.pages.range(offset, length),)
        ranges: list[FileRange] = []
        for start, size, state in layer.runs(offset, length):
            if state == CLEAN:
                aligned = not (start | size) & (self.base.block_bytes - 1)
                some = resident_ranges(self.base, start, size) if aligned else None
                if some is None:
                    return None
                ranges += some
            else:
                ranges.append(layer.pages.range(start, size))
        return ranges

    def extents(self, offset: int, length: int) -> Iterator[Segment]:
        """See `Device.extents`: "overlay", "zero" (neither allocated nor anything but zeros), or the base's own."""
        for start, size, state in self._layer.runs(offset, length):
            if state == CLEAN:
                yield from extents_wide(self.base, start, size)
            elif state == ZERO:
                yield Segment(start, size, "zero", allocated=False, zero=True)
            else:
                yield Segment(start, size, "overlay")

    # Writing

    def write(self, offset: int, data: Buffer, *, fua: bool = False) -> None:
        """See `Device.write`. ENOSPC at the cap, with nothing applied; EIO when a block must be read and cannot be."""
        length = len(data)
        end = offset + length
        one = (offset & _MASK) + length <= OVERLAY_BLOCK_BYTES
        if one and not self._drop:
            layer = self._layer
            states, block = layer.states, offset >> _SHIFT
            if states[block] == DIRTY:
                layer.view[offset:end] = data
                if states[block] == DIRTY:
                    return
        compare = self._drop and self._resembles(offset, length, data)
        if not compare:
            with self._lock:
                layer = self._layer
                if layer.common(offset, length) == DIRTY:
                    layer.view[offset:end] = data
                    return
                if not (offset | end) & _MASK:
                    first, stop = offset >> _SHIFT, end >> _SHIFT
                    if self._max_blocks is None:
                        layer.begin(first, stop)
                    else:
                        self._make_room(layer, first, stop, (), (), zeros=False)
                    layer.view[offset:end] = data
                    layer.mark(first, stop, DIRTY)
                    return
        self._change(offset, length, memoryview(data), compare=compare)

    def write_granularity(self) -> int | None:
        """See `SupportsWriteGranularity.write_granularity`: the base is read for a part of a block only."""
        return OVERLAY_BLOCK_BYTES

    def zero(self, offset: int, length: int) -> None:
        """See `Device.zero`: whole blocks hold no memory afterwards, parts of blocks are written."""
        self._change(offset, length, None, compare=self._drop)

    def discard(self, offset: int, length: int) -> None:
        """See `Device.discard`: whole blocks read as zeros and hold no memory, parts of blocks are left alone."""
        first = (offset + _MASK) >> _SHIFT
        end = offset + length
        stop = (end + _MASK) >> _SHIFT if end == self.size_bytes else end >> _SHIFT
        if first < stop:
            with self._lock:
                self._layer.begin(first, stop)
                self._layer.mark_zero(first, stop)

    def flush(self) -> None:
        """See `Device.flush`: RAM has no stable storage, so there is nothing to do."""

    def _resembles(self, offset: int, length: int, data: Buffer) -> bool:
        """False when a write cannot restore the base's content, as its first bytes show. Only for one block."""
        if (offset & _MASK) + length > OVERLAY_BLOCK_BYTES:
            return True
        try:
            views = self._read_base_resident(offset, length)
        except DeviceError:
            return False
        return views is not None and bytes(views[0][:_SAMPLE]) == bytes(data[: min(_SAMPLE, len(views[0]))])

    def _change(self, offset: int, length: int, data: memoryview | None, *, compare: bool) -> None:
        """Write `data`, or zeros when it is None. Whatever may wait is done before the lock is taken."""
        end = offset + length
        first, stop = offset >> _SHIFT, (end + _MASK) >> _SHIFT
        edges = self._edges(offset, end)
        whole_first = first + (first in edges)
        whole_stop = max(stop - (stop - 1 in edges), whole_first)
        # Whole blocks, and parts of blocks, that would be written with what the base holds already.
        matching = self._matching(whole_first, whole_stop, offset, data) if compare and data is not None else []
        parts = {block: self._part(block, offset, end, data) for block in edges}
        originals: dict[int, bytes] = {}
        while True:
            for block in edges:
                if block not in originals:
                    original = self._original(block, wait=self._layer.states[block] == CLEAN, compare=compare)
                    if original is not None:
                        originals[block] = original
                        low, part = parts[block]
                        if self._drop and original[low : low + len(part)] == part:
                            matching.append(block)
            with self._lock:
                layer = self._layer
                if any(layer.states[block] == CLEAN and block not in originals for block in edges):
                    continue  # the block was dropped while this request was not looking
                self._make_room(layer, first, stop, edges, matching, zeros=data is None)
                for block in edges:
                    _merge(layer, block, *parts[block], originals.get(block), drop=self._drop)
                if data is None:
                    layer.mark_zero(whole_first, whole_stop)
                else:
                    _store(layer, whole_first, whole_stop, offset, data, [b for b in matching if b not in edges])
            return

    def _edges(self, offset: int, end: int) -> list[int]:
        """The blocks that the range covers only in part; at most two. The device's last block may be a short one."""
        edges = [offset >> _SHIFT] if offset & _MASK else []
        if end & _MASK and end != self.size_bytes and end >> _SHIFT not in edges:
            edges.append(end >> _SHIFT)
        return edges

    def _part(self, block: int, offset: int, end: int, data: memoryview | None) -> tuple[int, bytes]:
        """What the request does to one block: (offset in the block, the bytes)."""
        start = block << _SHIFT
        low, high = max(offset, start), min(end, start + OVERLAY_BLOCK_BYTES)
        return low - start, bytes(high - low) if data is None else bytes(data[low - offset : high - offset])

    def _original(self, block: int, *, wait: bool, compare: bool) -> bytes | None:
        """The base's content of one block, padded to 4 KiB: when it must be waited for, or for comparing if at hand."""
        start = block << _SHIFT
        size = min(OVERLAY_BLOCK_BYTES, self.size_bytes - start)
        if not wait:
            resident = self._resident(start, size) if compare else None
            return None if resident is None else bytes(resident).ljust(OVERLAY_BLOCK_BYTES, b"\0")
        content = b"".join(self._read_base(start, size))
        if len(content) != size:
            raise DeviceError(
                f"short read at {start}", where=self.base.identity.name, found=len(content), expected=f"{size} bytes"
            )
        return content.ljust(OVERLAY_BLOCK_BYTES, b"\0")

    def _resident(self, start: int, size: int) -> memoryview | None:
        """The base's bytes if they are at hand. A failure here only means that nothing is compared."""
        try:
            views = self._read_base_resident(start, size)
        except DeviceError:
            return None
        if views is None:
            return None
        content = memoryview(views[0] if len(views) == 1 else b"".join(views))
        return content if len(content) == size else None

    def _matching(self, first: int, stop: int, offset: int, data: memoryview) -> list[int]:
        """Which of the whole blocks would be written with what the base holds already, as far as that is at hand."""
        start = first << _SHIFT
        size = min(stop << _SHIFT, self.size_bytes) - start
        old = self._resident(start, size) if size > 0 else None
        if old is None:
            return []
        new = data[start - offset : start - offset + size]
        # One byte of every block tells almost all of them apart, at C speed.
        samples = zip(bytes(new[::OVERLAY_BLOCK_BYTES]), bytes(old[::OVERLAY_BLOCK_BYTES]), strict=True)
        candidates = [index << _SHIFT for index, (one, other) in enumerate(samples) if one == other]
        return [
            first + (low >> _SHIFT)
            for low in candidates
            if bytes(new[low : low + OVERLAY_BLOCK_BYTES]) == bytes(old[low : low + OVERLAY_BLOCK_BYTES])
        ]

    def _make_room(
        self, layer: Layer, first: int, stop: int, edges: Sequence[int], matching: Sequence[int], *, zeros: bool
    ) -> None:
        """Have memory; refuse with ENOSPC a request that needs some beyond the cap, before any of it is applied."""
        layer.begin(first, stop)
        if self._max_blocks is None:
            return
        states = layer.states
        if zeros:  # whole blocks need no memory, nor does an edge that reads as zeros already
            needed = sum(states[block] == CLEAN and block not in matching for block in edges)
        else:
            needed = stop - first - layer.held(first, stop)
            needed -= sum(states[b] == CLEAN or (states[b] == ZERO and b not in edges) for b in matching)
        excess = layer.held_blocks + needed - self._max_blocks
        if needed and excess > 0:
            if layer.same(first, stop) < excess:
                raise DeviceError(
                    f"overlay is full: {layer.held_blocks} blocks of 4096 bytes are held, {needed} more are needed",
                    errno=errno.ENOSPC,
                    where=self.identity.name,
                    expected=f"at most {self._max_blocks}",
                )
            layer.give_back(excess, first, stop)

    # What changed

    @property
    def dirty_bytes(self) -> int:
        """Bytes of the blocks that differ from the base and hold memory, in whole 4 KiB blocks."""
        return self._layer.states.count(DIRTY) << _SHIFT

    @property
    def held_bytes(self) -> int:
        """Bytes of memory that count against `max_bytes`: dirty blocks, and dropped ones not yet given back."""
        return self._layer.held_blocks << _SHIFT

    def dirty_extents(self) -> ExtentSet:
        """What was changed: every written, discarded or zeroed block, cut to the device's size."""
        runs = self._layer.runs(0, self.size_bytes)
        return ExtentSet(Extent(start, size) for start, size, state in runs if state != CLEAN)

    def reset(self) -> None:
        """Forget every change. Views of the old content stay what they were; of a shared overlay they become zeros."""
        with self._lock:
            self._layer = self._layer.renewed()

    def commit(self, target: Device) -> int:
        """Write every changed block to `target` and flush it; returns the bytes written or zeroed.

        The overlay itself is unchanged. Nobody may write to it meanwhile. ENOSPC when the target is smaller than the
        overlay, EPERM when it is read-only, else whatever the target raises; the commit can then be repeated.
        """
        if target.size_bytes < self.size_bytes:
            raise DeviceError(
                f"commit of {self.size_bytes} bytes does not fit",
                errno=errno.ENOSPC,
                where=target.identity.name,
                expected=f"at most {target.size_bytes}",
            )
        target = checked(target)
        layer = self._layer
        total = 0
        for start, size, state in layer.runs(0, self.size_bytes):
            if state == ZERO:
                target.zero(start, size)
            elif state == DIRTY:
                for position in range(start, start + size, _COMMIT_CHUNK):
                    target.write(position, layer.view[position : min(position + _COMMIT_CHUNK, start + size)])
            else:
                continue
            total += size
        target.flush()
        return total

    def close(self) -> None:
        """See `Device.close`: the memory goes with the last view of it; an owned base is closed."""
        if self._owns:
            self.base.close()


def _merge(layer: Layer, block: int, low: int, part: bytes, original: bytes | None, *, drop: bool) -> None:
    """Change a part of one block, under the lock. `original` is the base's content, known if the block is CLEAN."""
    start = block << _SHIFT
    memory = layer.view[start : start + OVERLAY_BLOCK_BYTES]
    state = layer.states[block]
    if state == CLEAN:
        assert original is not None
        if drop and original[low : low + len(part)] == part:
            return
        memory[:] = original
    elif state == ZERO and not any(part):
        return
    memory[low : low + len(part)] = part
    if drop and original is not None and state != CLEAN and bytes(memory) == original:
        layer.mark(block, block + 1, SAME)
    else:
        layer.mark(block, block + 1, DIRTY)


def _store(layer: Layer, first: int, stop: int, offset: int, data: memoryview, matching: Sequence[int]) -> None:
    """Store a run of whole blocks, under the lock; for those that match the base, the base answers from now on."""
    position = first
    for block in (*matching, stop):
        if position < block:
            low, high = position << _SHIFT, min(block << _SHIFT, layer.size_bytes)
            layer.view[low:high] = data[low - offset : high - offset]
            layer.mark(position, block, DIRTY)
        if block < stop and layer.states[block] == DIRTY:  # a view of it that is in use must see the new content
            low, high = block << _SHIFT, min((block + 1) << _SHIFT, layer.size_bytes)
            layer.view[low:high] = data[low - offset : high - offset]
            layer.mark(block, block + 1, SAME)
        elif block < stop and layer.states[block] == ZERO:
            layer.mark(block, block + 1, CLEAN)
        position = block + 1
