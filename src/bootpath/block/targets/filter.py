"""Filter: passes everything through to one lower device. The base of targets that change only some operations.

A subclass overrides what it changes and inherits the rest. Rules:

- Reads can go past `read`: a server asks `read_resident` and `resident_ranges`, and `direct` reaches the bytes without
  any call. A filter that overrides `read` or `write` therefore loses those that would go past its override, unless the
  class that overrides it, or one derived from that, overrides them too: they answer None. No subclass can forget this,
  it is done when the class is made.
- `offset` and `length` are the lower device's own. A filter that moves them overrides every method that has them.
- Closing a filter closes the lower device only when the filter `owns` it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

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
from bootpath.core.diskimage import DiskImage, disk_images


class Filter:
    """`lower` as it is, with another `identity` when one is given."""

    def __init__(self, lower: Device, *, identity: Identity | None = None, owns: bool = False) -> None:
        self.lower = lower
        self.size_bytes = lower.size_bytes
        self.block_bytes = lower.block_bytes
        self.identity = identity or lower.identity
        self._owns = owns

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for changed, shortcuts in _SHORTCUTS.items():
            for shortcut in shortcuts:
                if _depth(cls, changed) < _depth(cls, shortcut):
                    setattr(cls, shortcut, _no_shortcut)

    @property
    def read_only(self) -> bool:
        """See `Device.read_only`."""
        return self.lower.read_only

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
        """See `Device.write`."""
        self.lower.write(offset, data, fua=fua)

    def write_granularity(self) -> int | None:
        """See `SupportsWriteGranularity.write_granularity`."""
        return write_granularity(self.lower)

    def flush(self) -> None:
        """See `Device.flush`."""
        self.lower.flush()

    def discard(self, offset: int, length: int) -> None:
        """See `Device.discard`."""
        self.lower.discard(offset, length)

    def zero(self, offset: int, length: int) -> None:
        """See `Device.zero`."""
        self.lower.zero(offset, length)

    def extents(self, offset: int, length: int) -> Iterator[Segment]:
        """See `Device.extents`."""
        return self.lower.extents(offset, length)

    def direct(self) -> Direct | None:
        """See `SupportsDirect.direct`."""
        return direct_access(self.lower)

    @property
    def disk_images(self) -> tuple[DiskImage, ...]:
        """See `SupportsDiskImages.disk_images`: the lower device's."""
        return disk_images(self.lower)

    def close(self) -> None:
        """See `Device.close`: an owned lower device is closed."""
        if self._owns:
            self.lower.close()


def _no_shortcut(self: Filter, *request: int) -> None:
    """None: this filter must see every request."""


# What would go past a method that a filter overrides.
_SHORTCUTS: Mapping[str, Sequence[str]] = {
    "read": ("read_resident", "resident_ranges", "direct"),
    "write": ("write_granularity", "direct"),
}


def _depth(cls: type, name: str) -> int:
    """How far from the class the method that it has is defined: 0 for its own."""
    return next(depth for depth, base in enumerate(cls.__mro__) if name in vars(base))
