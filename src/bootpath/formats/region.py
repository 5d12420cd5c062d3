"""A run of a device, for parsers: bytes at any offset, and never one past the end.

Devices are read in whole blocks; formats ask for 20 bytes at an odd place. A region does the rounding, and keeps the
bytes at its beginning, where most formats have their signature, so that several parsers cost one request.

Invariants: `read` gives exactly what was asked for, or FormatError when the bytes claim to be past the end, or the
device's own DeviceError; a device that returns another number of bytes is a DeviceError too, never a short value.
"""

from __future__ import annotations

from bootpath.core.device import Device, read_bytes
from bootpath.core.errors import DeviceError, FormatError

HEAD_BYTES = 72 << 10  # swap's signature for pages of 64 KiB, and btrfs's superblock


class Region:
    """`size_bytes` of `device` from byte `offset_bytes`; to the device's end, or as far as there is any, by default.

    Offsets of the methods are relative to the region. `head_bytes` at the beginning are read once, at the first read
    that touches them, and kept.
    """

    __slots__ = ("_head", "_head_bytes", "device", "offset_bytes", "size_bytes")

    def __init__(
        self, device: Device, offset_bytes: int = 0, size_bytes: int | None = None, *, head_bytes: int = HEAD_BYTES
    ) -> None:
        if offset_bytes < 0 or (size_bytes is not None and size_bytes < 0):
            raise ValueError(f"region of {size_bytes} bytes at {offset_bytes}")
        available = max(0, device.size_bytes - offset_bytes)
        self.device = device
        self.offset_bytes = offset_bytes
        self.size_bytes = available if size_bytes is None else min(size_bytes, available)
        self._head_bytes = min(head_bytes, self.size_bytes)
        self._head: bytes | None = None

    def read(self, offset: int, length: int, what: str = "data") -> bytes:
        """Exactly `length` bytes from byte `offset`. Raises FormatError, naming `what`, when the region ends before."""
        if offset < 0 or length < 0 or offset + length > self.size_bytes:
            raise FormatError(
                f"{what}, {length} bytes at {offset}, is outside the device",
                found=offset + length,
                expected=self._end(),
            )
        return self.peek(offset, length)

    def peek(self, offset: int, length: int) -> bytes:
        """As many of the `length` bytes from byte `offset` as there are; none before the region begins."""
        end = min(offset + length, self.size_bytes)
        if offset < 0 or end <= offset:
            return b""
        if end <= self._head_bytes:
            if self._head is None:
                self._head = self._fetch(0, self._head_bytes)
            return self._head[offset:end]
        return self._fetch(offset, end)

    def _fetch(self, offset: int, end: int) -> bytes:
        block_bytes = self.device.block_bytes
        first, last = self.offset_bytes + offset, self.offset_bytes + end
        start = first - first % block_bytes
        stop = min(-(-last // block_bytes) * block_bytes, self.device.size_bytes)
        data = read_bytes(self.device, start, stop - start)
        if len(data) != stop - start:
            raise DeviceError(
                f"the read of {stop - start} bytes at {start} is short",
                where=self.device.identity.name,
                found=f"{len(data)} bytes",
                expected="all of them",
            )
        return data[first - start : last - start]

    def _end(self) -> str:
        return f"at most {self.size_bytes}, where it ends"
