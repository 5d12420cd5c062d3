"""overlay: copy-on-write in RAM over any base. The base is only ever read.

Granularity is 4 KiB whatever the logical block size. `layer` has the states and the memory, `blocks` what is read of
the base and compared with it. Rules:

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
from typing import TYPE_CHECKING

from bootpath.block.overlay.blocks import BLOCK_MASK as _MASK
from bootpath.block.overlay.blocks import BLOCK_SHIFT as _SHIFT
from bootpath.block.overlay.blocks import OVERLAY_BLOCK_BYTES, BaseBlocks, commit_target
from bootpath.block.overlay.layer import CLEAN, DIRTY, ZERO, Layer
from bootpath.block.views import extents_wide
from bootpath.core.device import Buffer, Device, FileRange, Identity, Segment, resident_ranges
from bootpath.core.errors import DeviceError
from bootpath.core.extents import Extent, ExtentSet

if TYPE_CHECKING:
    from bootpath.block.overlay.sharedlayer import SharedLock

_COMMIT_CHUNK = 1 << 20


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
        self._base = BaseBlocks(base, self.block_bytes)
        self._read_base = self._base.read
        self._read_base_resident = self._base.read_resident
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
        aligned = not (offset | length) & (self.block_bytes - 1)
        compare = self._drop and aligned and self._base.may_match(offset, length, data)
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

    @property
    def writes_any_bytes(self) -> bool:
        """See `SupportsAnyBytes.writes_any_bytes`: its blocks are larger than its base's anyway."""
        return True

    def zero(self, offset: int, length: int) -> None:
        """See `Device.zero`: whole blocks hold no memory afterwards, parts of blocks are written."""
        self._change(offset, length, None, compare=self._drop)

    def discard(self, offset: int, length: int) -> None:
        """See `Device.discard`: whole blocks read as zeros and hold no memory, parts of blocks are left alone."""
        first, stop = self._base.whole(offset, offset + length)
        if first < stop:
            with self._lock:
                self._layer.begin(first, stop)
                self._layer.mark_zero(first, stop)

    def flush(self) -> None:
        """See `Device.flush`: RAM has no stable storage, so there is nothing to do."""

    def _change(self, offset: int, length: int, data: memoryview | None, *, compare: bool) -> None:
        """Write `data`, or zeros when it is None. Whatever may wait is done before the lock is taken."""
        end = offset + length
        first, stop = offset >> _SHIFT, (end + _MASK) >> _SHIFT
        edges = self._base.edges(offset, end)
        whole_first = first + (first in edges)
        whole_stop = max(stop - (stop - 1 in edges), whole_first)
        # Whole blocks, and parts of blocks, that would be written with what the base holds already.
        matching = self._base.matching(whole_first, whole_stop, offset, data) if compare and data is not None else []
        parts = {block: self._part(block, offset, end, data) for block in edges}
        originals: dict[int, bytes] = {}
        while True:
            for block in edges:
                if block not in originals:
                    original = None
                    if self._layer.states[block] == CLEAN:
                        original = self._base.block(block)
                    elif compare:
                        original = self._base.resident_block(block)
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
                    layer.merge(block, *parts[block], originals.get(block), drop=self._drop)
                if data is None:
                    layer.mark_zero(whole_first, whole_stop)
                else:
                    layer.store(whole_first, whole_stop, offset, data, [b for b in matching if b not in edges])
            return

    def _part(self, block: int, offset: int, end: int, data: memoryview | None) -> tuple[int, bytes]:
        """What the request does to one block: (offset in the block, the bytes)."""
        start = block << _SHIFT
        low, high = max(offset, start), min(end, start + OVERLAY_BLOCK_BYTES)
        return low - start, bytes(high - low) if data is None else bytes(data[low - offset : high - offset])

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
                    f"the overlay is full: {layer.held_blocks} blocks of 4096 bytes are held, {needed} more are needed",
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
        target = commit_target(target, self.size_bytes)
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
        """See `Device.close`: the memory goes with the last view of it, though whoever was served by the overlay may
        keep that for a while; an owned base is closed."""
        self._layer = Layer(self.size_bytes)
        if self._owns:
            self.base.close()
