"""Requests for any bytes, for clients that agreed to no block size.

Source: the NBD protocol (doc/proto.md, "Block size constraints"): a client that does not ask for NBD_INFO_BLOCK_SIZE
may assume a minimum of 1. What it reads is read in whole blocks. What it writes is written as it is where the device
takes any bytes (`writes_any_bytes`), and merged into whole blocks elsewhere: read, changed, written.

No other write may come between those, not even one of whole blocks by another client: it would be undone. So all
sessions of such a device share a `WriteGate`: writes of whole blocks pass together, a merge alone.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bootpath.block.targets.filter import Filter
from bootpath.block.views import extents_wide, read_wide, read_wide_resident, widened, writes_any_bytes
from bootpath.core.device import Buffer, Device, FileRange, Segment, resident_ranges, write_granularity


class WriteGate:
    """Lets any number of whole writes through at a time, or one merge."""

    __slots__ = ("_changed", "_merging", "_passing")

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._passing = 0
        self._merging = False

    @contextmanager
    def whole(self) -> Iterator[None]:
        """While the block runs, no merge does."""
        with self._changed:
            while self._merging:
                self._changed.wait()
            self._passing += 1
        try:
            yield
        finally:
            with self._changed:
                self._passing -= 1
                self._changed.notify_all()

    @contextmanager
    def merge(self) -> Iterator[None]:
        """While the block runs, nothing else does. Later whole writes wait already, so that a merge has its turn."""
        with self._changed:
            while self._merging:
                self._changed.wait()
            self._merging = True
            while self._passing:
                self._changed.wait()
        try:
            yield
        finally:
            with self._changed:
                self._merging = False
                self._changed.notify_all()


class Gated(Filter):
    """`lower`, whose writes of whole blocks pass `gate`."""

    def __init__(self, lower: Device, gate: WriteGate) -> None:
        super().__init__(lower)
        self._gate = gate

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        """See `Device.read`."""
        return self.lower.read(offset, length)

    def read_resident(self, offset: int, length: int) -> Sequence[Buffer] | None:
        """See `Device.read_resident`."""
        return self.lower.read_resident(offset, length)

    def resident_ranges(self, offset: int, length: int) -> Sequence[FileRange] | None:
        """See `SupportsRanges.resident_ranges`."""
        return resident_ranges(self.lower, offset, length)

    def write(self, offset: int, data: Buffer, *, fua: bool = False) -> None:
        """See `Device.write`. It may wait for a merge, so it never promises not to."""
        with self._gate.whole():
            self.lower.write(offset, data, fua=fua)

    def discard(self, offset: int, length: int) -> None:
        """See `Device.discard`."""
        with self._gate.whole():
            self.lower.discard(offset, length)

    def zero(self, offset: int, length: int) -> None:
        """See `Device.zero`."""
        with self._gate.whole():
            self.lower.zero(offset, length)


class AnyBytes(Gated):
    """The same for any offset and length; `block_bytes` is 1."""

    def __init__(self, lower: Device, gate: WriteGate) -> None:
        super().__init__(lower, gate)
        self._block_bytes = lower.block_bytes
        self._mask = lower.block_bytes - 1
        self._as_it_is = writes_any_bytes(lower)
        self.block_bytes = 1

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        """See `Device.read`."""
        return read_wide(self.lower, offset, length)

    def read_resident(self, offset: int, length: int) -> Sequence[Buffer] | None:
        """See `Device.read_resident`."""
        return read_wide_resident(self.lower, offset, length)

    def resident_ranges(self, offset: int, length: int) -> Sequence[FileRange] | None:
        """See `SupportsRanges.resident_ranges`: of whole blocks only."""
        return None if (offset | length) & self._mask else resident_ranges(self.lower, offset, length)

    def extents(self, offset: int, length: int) -> Iterator[Segment]:
        """See `Device.extents`."""
        return extents_wide(self.lower, offset, length)

    def write_granularity(self) -> int | None:
        """See `SupportsWriteGranularity.write_granularity`: a merge may wait."""
        return write_granularity(self.lower) if self._as_it_is else None

    def write(self, offset: int, data: Buffer, *, fua: bool = False) -> None:
        """See `Device.write`."""
        if self._as_it_is:
            self.lower.write(offset, data, fua=fua)
        elif not (offset | len(data)) & self._mask:
            super().write(offset, data, fua=fua)
        else:
            self._merge(offset, data, fua=fua)

    def _merge(self, offset: int, data: Buffer, *, fua: bool) -> None:
        start, wide = widened(self._block_bytes, offset, len(data))
        head, tail = offset - start, start + wide - offset - len(data)
        with self._gate.merge():
            first = b"".join(self.lower.read(start, self._block_bytes))[:head] if head else b""
            last_at = start + wide - self._block_bytes
            last = b"".join(self.lower.read(last_at, self._block_bytes))[-tail:] if tail else b""
            self.lower.write(start, b"".join((first, data, last)), fua=fua)

    def zero(self, offset: int, length: int) -> None:
        """See `Device.zero`: whole blocks are zeroed, parts of blocks are written."""
        if self._as_it_is:
            self.lower.zero(offset, length)
            return
        first, stop = -(-offset // self._block_bytes) * self._block_bytes, (offset + length) & ~self._mask
        if first >= stop:
            self.write(offset, bytes(length))
            return
        if offset < first:
            self.write(offset, bytes(first - offset))
        super().zero(first, stop - first)
        if stop < offset + length:
            self.write(stop, bytes(offset + length - stop))

    def discard(self, offset: int, length: int) -> None:
        """See `Device.discard`: parts of blocks are left alone."""
        first, stop = -(-offset // self._block_bytes) * self._block_bytes, (offset + length) & ~self._mask
        if first < stop:
            super().discard(first, stop - first)


def session_device(device: Device, gate: WriteGate, *, any_bytes: bool, read_only: bool) -> Device:
    """The device for one session: for any bytes, or for whole blocks while others may write any bytes."""
    if any_bytes:
        return AnyBytes(device, gate)
    return device if read_only or writes_any_bytes(device) else Gated(device, gate)
