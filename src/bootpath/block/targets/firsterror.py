"""witness: passes reads on, and remembers the first that failed.

For whoever hands a device to code that may do without what it could not read: a parser that takes a damaged file for a
missing one leaves no trace of the damage. Here there is one.

Invariants: what was read is as the lower device gave it; nothing can be written; it does not own `lower`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bootpath.block.targets.readonly import ReadOnly
from bootpath.core.device import Buffer, Device, Segment
from bootpath.core.errors import DeviceError


class Witness(ReadOnly):
    """`lower`, read-only; `fault` is the first error of a read, None as long as there was none."""

    def __init__(self, lower: Device) -> None:
        self.lower = lower
        self.size_bytes = lower.size_bytes
        self.block_bytes = lower.block_bytes
        self.identity = lower.identity
        self.fault: DeviceError | None = None

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        """See `Device.read`."""
        try:
            return self.lower.read(offset, length)
        except DeviceError as fault:
            self.fault = self.fault or fault
            raise

    def read_resident(self, offset: int, length: int) -> Sequence[Buffer] | None:
        """See `Device.read_resident`: never, so that nothing goes past `read`."""
        return None

    def extents(self, offset: int, length: int) -> Iterator[Segment]:
        """See `Device.extents`: the lower device's."""
        return self.lower.extents(offset, length)

    def close(self) -> None:
        """See `Device.close`: nothing; the lower device is the caller's."""
