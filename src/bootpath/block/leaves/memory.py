"""A device in RAM: memory of its own, or a buffer of the caller's. Also the test double for any device.

`source` of its segments is "memory". Discarded bytes read as zeros, and their memory goes back to the kernel when it
is the device's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bootpath.block.leaves.pages import Pages
from bootpath.core.device import Buffer, Direct, FileRange, Identity, Segment


class MemoryDevice:
    """`size_or_buffer` is a size in bytes (a multiple of block_bytes, reads as zeros) or the memory itself.

    A buffer is used in place, never copied; one that cannot be written makes the device read-only.
    Raises ValueError when the size is not a multiple of `block_bytes`.
    """

    def __init__(
        self,
        size_or_buffer: int | Buffer,
        *,
        block_bytes: int = 512,
        read_only: bool = False,
        identity: Identity | None = None,
    ) -> None:
        self._pages: Pages | None = None
        if isinstance(size_or_buffer, int):
            self._pages = Pages(size_or_buffer)
            view = self._pages.view
        else:
            view = memoryview(size_or_buffer).cast("B")
        if len(view) % block_bytes:
            raise ValueError(f"size is {len(view)} bytes, must be a multiple of {block_bytes}")
        self.read_only = read_only or view.readonly
        self._view = view.toreadonly() if self.read_only else view
        self.size_bytes = len(view)
        self.block_bytes = block_bytes
        self.identity = identity or Identity("memory")

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        """See `Device.read`: one view of the memory."""
        return (self._view[offset : offset + length],)

    def read_resident(self, offset: int, length: int) -> Sequence[Buffer] | None:
        """See `Device.read_resident`: always resident."""
        return (self._view[offset : offset + length],)

    def resident_ranges(self, offset: int, length: int) -> Sequence[FileRange] | None:
        """See `SupportsRanges.resident_ranges`: when the memory is the device's own."""
        return None if self._pages is None else (self._pages.range(offset, length),)

    def write(self, offset: int, data: Buffer, *, fua: bool = False) -> None:
        """See `Device.write`. RAM has no stable storage, so `fua` changes nothing."""
        self._view[offset : offset + len(data)] = data

    @property
    def writes_any_bytes(self) -> bool:
        """See `SupportsAnyBytes.writes_any_bytes`."""
        return True

    def write_granularity(self) -> int | None:
        """See `SupportsWriteGranularity.write_granularity`: memory never waits."""
        return 1

    def flush(self) -> None:
        """See `Device.flush`: nothing to do."""

    def discard(self, offset: int, length: int) -> None:
        """See `Device.discard`: the bytes read as zeros."""
        self.zero(offset, length)

    def zero(self, offset: int, length: int) -> None:
        """See `Device.zero`."""
        if self._pages is not None:
            self._pages.release(offset, offset + length)
        else:
            self._view[offset : offset + length] = bytes(length)

    def extents(self, offset: int, length: int) -> Iterator[Segment]:
        """See `Device.extents`: one allocated segment."""
        yield Segment(offset, length, "memory")

    def direct(self) -> Direct | None:
        """See `SupportsDirect.direct`."""
        return Direct(offset=0, length=self.size_bytes, writable=not self.read_only, buffer=self._view)

    def close(self) -> None:
        """See `Device.close`: the memory goes when the last view of it does."""
