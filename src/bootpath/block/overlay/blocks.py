"""Blocks of 4 KiB and the base below them, for both overlays.

A request may cover its first and its last block in part. Writing such an edge needs the rest of the block, which is
read from the base; discarding it changes nothing. The device's last block may be a short one: a request that ends with
the device covers it as a whole.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

from bootpath.block.views import read_wide, read_wide_resident
from bootpath.core.device import Buffer, Checked, Device, checked
from bootpath.core.errors import DeviceError

OVERLAY_BLOCK_BYTES = 4096
BLOCK_SHIFT = 12
BLOCK_MASK = OVERLAY_BLOCK_BYTES - 1

_SAMPLE_BYTES = 32

_Read: TypeAlias = Callable[[int, int], Sequence[Buffer]]
_ReadResident: TypeAlias = Callable[[int, int], "Sequence[Buffer] | None"]


class BaseBlocks:
    """`base` in blocks of 4 KiB, for an overlay whose logical blocks have `block_bytes`.

    `read` and `read_resident` take any request of the overlay, also when the base's own blocks are larger. Raises
    DeviceError (EINVAL) when the base's size is not a multiple of `block_bytes`.
    """

    __slots__ = ("_name", "_size_bytes", "read", "read_resident")

    def __init__(self, base: Device, block_bytes: int) -> None:
        self._name = base.identity.name
        self._size_bytes = base.size_bytes
        if base.size_bytes % block_bytes:
            raise DeviceError(
                "the base does not end on a block",
                errno=errno.EINVAL,
                where=self._name,
                found=f"{base.size_bytes} bytes",
                expected=f"a multiple of {block_bytes}",
            )
        aligned = base.block_bytes <= block_bytes
        self.read: _Read = base.read if aligned else partial(read_wide, base)
        self.read_resident: _ReadResident = base.read_resident if aligned else partial(read_wide_resident, base)

    def edges(self, offset: int, end: int) -> list[int]:
        """The blocks that bytes offset..end cover only in part; at most two."""
        edges = [offset >> BLOCK_SHIFT] if offset & BLOCK_MASK else []
        if end & BLOCK_MASK and end != self._size_bytes and end >> BLOCK_SHIFT not in edges:
            edges.append(end >> BLOCK_SHIFT)
        return edges

    def whole(self, offset: int, end: int) -> tuple[int, int]:
        """(first, stop) of the blocks that bytes offset..end cover as a whole; first may be past stop."""
        stop = (end + BLOCK_MASK) >> BLOCK_SHIFT if end == self._size_bytes else end >> BLOCK_SHIFT
        return (offset + BLOCK_MASK) >> BLOCK_SHIFT, stop

    def block(self, block: int) -> bytes:
        """The base's content of one block, padded with zeros to 4 KiB. Raises DeviceError."""
        start = block << BLOCK_SHIFT
        size = self._block_bytes(block)
        content = b"".join(self.read(start, size))
        if len(content) != size:
            raise DeviceError(
                f"read of {size} bytes at {start} came up short",
                where=self._name,
                found=f"{len(content)} bytes",
                expected=f"{size} bytes",
            )
        return content.ljust(OVERLAY_BLOCK_BYTES, b"\0")

    def resident_block(self, block: int) -> bytes | None:
        """The same if the base has it at hand. A read that fails is not at hand."""
        content = self._resident(block << BLOCK_SHIFT, self._block_bytes(block))
        return None if content is None else bytes(content).ljust(OVERLAY_BLOCK_BYTES, b"\0")

    def _block_bytes(self, block: int) -> int:
        return min(OVERLAY_BLOCK_BYTES, self._size_bytes - (block << BLOCK_SHIFT))

    def _resident(self, start: int, size: int) -> memoryview | None:
        try:
            views = self.read_resident(start, size)
        except DeviceError:
            return None
        if views is None:
            return None
        content = memoryview(views[0] if len(views) == 1 else b"".join(views))
        return content if len(content) == size else None

    # Comparing what is written with what the base holds

    def may_match(self, offset: int, length: int, data: Buffer) -> bool:
        """False when a write to one block cannot restore the base's content, as its first bytes show."""
        if (offset & BLOCK_MASK) + length > OVERLAY_BLOCK_BYTES:
            return True
        try:
            views = self.read_resident(offset, length)
        except DeviceError:
            return False
        sample = min(_SAMPLE_BYTES, len(views[0])) if views else 0
        return views is not None and bytes(views[0][:sample]) == bytes(data[:sample])

    def matching(self, first: int, stop: int, offset: int, data: memoryview) -> list[int]:
        """Which of the whole blocks first..stop are written with what the base holds already, if that is at hand.

        `data` is what is written from byte `offset` on.
        """
        start = first << BLOCK_SHIFT
        size = min(stop << BLOCK_SHIFT, self._size_bytes) - start
        old = self._resident(start, size) if size > 0 else None
        if old is None:
            return []
        new = data[start - offset : start - offset + size]
        # One byte of every block tells almost all of them apart, at C speed.
        samples = zip(bytes(new[::OVERLAY_BLOCK_BYTES]), bytes(old[::OVERLAY_BLOCK_BYTES]), strict=True)
        candidates = [index << BLOCK_SHIFT for index, (one, other) in enumerate(samples) if one == other]
        return [
            first + (low >> BLOCK_SHIFT)
            for low in candidates
            if bytes(new[low : low + OVERLAY_BLOCK_BYTES]) == bytes(old[low : low + OVERLAY_BLOCK_BYTES])
        ]


def commit_target(target: Device, size_bytes: int) -> Checked:
    """The device that a commit of `size_bytes` writes to, checked. DeviceError (ENOSPC) when it is too small."""
    if target.size_bytes < size_bytes:
        raise DeviceError(
            f"the overlay does not fit: the target has {target.size_bytes} bytes",
            errno=errno.ENOSPC,
            where=target.identity.name,
            expected=f"at least {size_bytes}",
        )
    return checked(target)
