"""Reads that are finer than the lower device's blocks, and slices of what they return.

A target with 512-byte blocks may stand on a disk with 4096-byte blocks, and a preload may end at any byte. The lower
device is then read at its own granularity and the answer is cut to size: still views, no copies.

Every device of this package keeps a promise that is stronger than the contract's "until the next call on the same
thread": a returned view stays valid for as long as it is referenced, because it is a fresh buffer or memory that is
never unmapped under it. That is what lets a target answer one read with several lower reads, and a server answer a
batch with one system call. A view of RAM that is written later shows the later bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

from bootpath.core.device import Buffer, Device, Segment
from bootpath.core.errors import DeviceError


@runtime_checkable
class SupportsAnyBytes(Protocol):
    """A device that can say that it writes, and zeroes, any bytes, and each time as one change."""

    @property
    def writes_any_bytes(self) -> bool:
        """True when offset and length of `write` and `zero` may be any."""
        ...


def writes_any_bytes(device: Device) -> bool:
    """Whether any device writes any bytes; False when it does not say."""
    return isinstance(device, SupportsAnyBytes) and device.writes_any_bytes


def slice_views(views: Sequence[Buffer], skip: int, length: int) -> list[Buffer]:
    """The `length` bytes that follow the first `skip` bytes of the row of views. EIO when the row is too short."""
    result: list[Buffer] = []
    remaining = length
    for view in views:
        size = len(view)
        if skip >= size:
            skip -= size
            continue
        part = memoryview(view)[skip : skip + remaining]
        skip = 0
        remaining -= len(part)
        result.append(part)
        if remaining == 0:
            return result
    if remaining:
        raise DeviceError("a read came up short", found=f"{length - remaining} bytes", expected=f"{length} bytes")
    return result


def widened(block_bytes: int, offset: int, length: int) -> tuple[int, int]:
    """The smallest (offset, length) on multiples of `block_bytes` that covers the given one."""
    mask = block_bytes - 1
    start = offset & ~mask
    return start, ((offset + length + mask) & ~mask) - start


def read_wide(device: Device, offset: int, length: int) -> Sequence[Buffer]:
    """Read any byte range, aligned to the device's blocks or not. Raises DeviceError."""
    if not (offset | length) & (device.block_bytes - 1):
        return device.read(offset, length)
    start, wide = widened(device.block_bytes, offset, length)
    return slice_views(device.read(start, wide), offset - start, length)


def read_wide_resident(device: Device, offset: int, length: int) -> Sequence[Buffer] | None:
    """The same if it can be answered without waiting, else None."""
    if not (offset | length) & (device.block_bytes - 1):
        return device.read_resident(offset, length)
    start, wide = widened(device.block_bytes, offset, length)
    views = device.read_resident(start, wide)
    return None if views is None else slice_views(views, offset - start, length)


def extents_wide(device: Device, offset: int, length: int) -> Iterator[Segment]:
    """The device's segments of any byte range, cut to it."""
    start, wide = widened(device.block_bytes, offset, length)
    end = offset + length
    for segment in device.extents(start, wide):
        first = max(segment.offset, offset)
        last = min(segment.offset + segment.length, end)
        if first < last:
            yield Segment(first, last - first, segment.source, segment.allocated, segment.zero)
