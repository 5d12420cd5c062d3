"""linear: a run of a lower device, as a device. A partition, a logical volume's segment, a slot.

Linux's dm-linear: byte ``n`` here is byte ``offset + n`` there. Nothing else happens: reads, resident reads and writes
are the lower device's own views and calls.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from dataclasses import replace

from bootpath.block.targets.filter import Filter
from bootpath.block.views import writes_any_bytes
from bootpath.core.device import (
    Buffer,
    Device,
    Direct,
    FileRange,
    Identity,
    Segment,
    direct_access,
    resident_ranges,
    write_granularity,
)
from bootpath.core.errors import DeviceError


class Linear(Filter):
    """`length` bytes of `lower` from byte `offset`; both are multiples of the lower device's block_bytes.

    Closing a Linear closes the lower device only when it `owns` it: several partitions share one disk. Raises
    DeviceError (EINVAL) when the run is misaligned or ends past the lower device (a truncated image).
    """

    def __init__(
        self, lower: Device, offset: int, length: int, *, identity: Identity | None = None, owns: bool = False
    ) -> None:
        if offset < 0 or length < 0 or (offset | length) & (lower.block_bytes - 1):
            raise DeviceError(
                f"a run of {length} bytes at {offset} is misaligned",
                errno=errno.EINVAL,
                where=lower.identity.name,
                expected=f"multiples of {lower.block_bytes}",
            )
        if offset + length > lower.size_bytes:
            raise DeviceError(
                f"a run of {length} bytes at {offset} ends past the device",
                errno=errno.EINVAL,
                where=lower.identity.name,
                found=offset + length,
                expected=f"at most {lower.size_bytes}",
                hint="is the image truncated?",
            )
        super().__init__(lower, identity=identity or Identity(f"{lower.identity.name}[{offset}+{length}]"), owns=owns)
        self.offset = offset
        self.size_bytes = length

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

    def write_granularity(self) -> int | None:
        """See `SupportsWriteGranularity.write_granularity`: the lower device's, when the run begins on it."""
        below = write_granularity(self.lower)
        return below if below is None or self.offset % below == 0 else None

    @property
    def writes_any_bytes(self) -> bool:
        """See `SupportsAnyBytes.writes_any_bytes`: the lower device's."""
        return writes_any_bytes(self.lower)

    def discard(self, offset: int, length: int) -> None:
        """See `Device.discard`."""
        self.lower.discard(self.offset + offset, length)

    def zero(self, offset: int, length: int) -> None:
        """See `Device.zero`."""
        self.lower.zero(self.offset + offset, length)

    def extents(self, offset: int, length: int) -> Iterator[Segment]:
        """See `Device.extents`: the lower device's segments at this device's offsets."""
        for segment in self.lower.extents(self.offset + offset, length):
            yield segment.shift(-self.offset)

    def direct(self) -> Direct | None:
        """See `SupportsDirect.direct`: the lower device's, shifted."""
        lower = direct_access(self.lower)
        return None if lower is None else replace(lower, offset=lower.offset + self.offset, length=self.size_bytes)
