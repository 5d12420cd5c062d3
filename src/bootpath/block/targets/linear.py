"""linear: a run of a lower device, as a device. A partition, a logical volume's segment, a slot.

Linux's dm-linear: byte ``n`` here is byte ``offset + n`` there. Nothing else happens: reads, resident reads and writes
are the lower device's own views and calls.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence

from bootpath.core.device import (
    Buffer,
    Device,
    Direct,
    FileRange,
    Identity,
    Segment,
    SupportsDirect,
    resident_ranges,
)
from bootpath.core.errors import DeviceError


class Linear:
    """`length` bytes of `lower` from byte `offset`; both are multiples of the lower device's block_bytes.

    Closing a Linear closes the lower device only when it `owns` it: several partitions share one disk. Raises
    DeviceError (EINVAL) when the run is misaligned or ends past the lower device (a truncated image).
    """

    def __init__(
        self, lower: Device, offset: int, length: int, *, identity: Identity | None = None, owns: bool = False
    ) -> None:
        if offset < 0 or length < 0 or (offset | length) & (lower.block_bytes - 1):
            raise DeviceError(
                f"linear run of {length} bytes at {offset} is misaligned",
                errno=errno.EINVAL,
                where=lower.identity.name,
                expected=f"multiples of {lower.block_bytes}",
            )
        if offset + length > lower.size_bytes:
            raise DeviceError(
                f"linear run of {length} bytes at {offset} ends past the device at",
                errno=errno.EINVAL,
                where=lower.identity.name,
                found=offset + length,
                expected=f"at most {lower.size_bytes}",
                hint="is the image truncated?",
            )
        self.lower = lower
        self.offset = offset
        self.size_bytes = length
        self.block_bytes = lower.block_bytes
        self.read_only = lower.read_only
        self.identity = identity or Identity(f"{lower.identity.name}[{offset}+{length}]")
        self._owns = owns

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        """See `Device.read`."""
        return self.lower.read(self.offset + offset, length)

    def read_resident(self, offset: int, length: int) -> Sequence[Buffer] | None:
        """See `Device.read_resident`."""
        return self.lower.read_resident(self.offset + offset, length)

    def resident_ranges(self, offset: int, length: int) -> Sequence[FileRange] | None:
        """See `SupportsRanges.resident_ranges`: the lower device's."""
        return resident_ranges(self.lower, self.offset + offset, length)

    def write(self, offset: int, data: Buffer, *, fua: bool = False) -> None:
        """See `Device.write`."""
        self.lower.write(self.offset + offset, data, fua=fua)

    def flush(self) -> None:
        """See `Device.flush`: flushes the whole lower device."""
        self.lower.flush()

    def discard(self, offset: int, length: int) -> None:
        """See `Device.discard`."""
        self.lower.discard(self.offset + offset, length)

    def zero(self, offset: int, length: int) -> None:
        """See `Device.zero`."""
        self.lower.zero(self.offset + offset, length)

    def extents(self, offset: int, length: int) -> Iterator[Segment]:
        """See `Device.extents`: the lower device's segments at this device's offsets."""
        for segment in self.lower.extents(self.offset + offset, length):
            yield Segment(segment.offset - self.offset, segment.length, segment.source, segment.allocated, segment.zero)

    def direct(self) -> Direct | None:
        """See `SupportsDirect.direct`: the lower device's, shifted."""
        lower = self.lower.direct() if isinstance(self.lower, SupportsDirect) else None
        if lower is None:
            return None
        return Direct(lower.offset + self.offset, self.size_bytes, lower.writable, lower.fd, lower.buffer)

    def close(self) -> None:
        """See `Device.close`: the lower device too when it is owned."""
        if self._owns:
            self.lower.close()
