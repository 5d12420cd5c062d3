"""zero, error and erased: devices with no storage behind them. The first two are Linux's dm-zero and dm-error."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bootpath.block.targets.readonly import ReadOnly
from bootpath.core.device import Buffer, Identity, Segment
from bootpath.core.errors import DeviceError

_ZEROS = memoryview(bytes(1 << 20))
_ONES = memoryview(b"\xff" * (1 << 20))


def zero_views(length: int) -> list[Buffer]:
    """`length` bytes of zeros as views of one shared megabyte."""
    return _views(_ZEROS, length)


def _views(pattern: memoryview, length: int) -> list[Buffer]:
    whole, rest = divmod(length, len(pattern))
    views: list[Buffer] = [pattern] * whole
    if rest:
        views.append(pattern[:rest])
    return views


class ZeroDevice:
    """Reads as zeros. "Writes are silently discarded" (Linux, device-mapper/zero.rst): it holds no data to lose."""

    read_only = False

    def __init__(self, size_bytes: int, *, block_bytes: int = 512, identity: Identity | None = None) -> None:
        self.size_bytes = size_bytes
        self.block_bytes = block_bytes
        self.identity = identity or Identity("zero")

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        """See `Device.read`: zeros."""
        return zero_views(length)

    def read_resident(self, offset: int, length: int) -> Sequence[Buffer] | None:
        """See `Device.read_resident`: zeros."""
        return zero_views(length)

    def write(self, offset: int, data: Buffer, *, fua: bool = False) -> None:
        """See `Device.write`: dropped."""

    def write_granularity(self) -> int | None:
        """See `SupportsWriteGranularity.write_granularity`: nothing is written."""
        return 1

    def flush(self) -> None:
        """See `Device.flush`: nothing to do."""

    def discard(self, offset: int, length: int) -> None:
        """See `Device.discard`: nothing to do."""

    def zero(self, offset: int, length: int) -> None:
        """See `Device.zero`: nothing to do."""

    def extents(self, offset: int, length: int) -> Iterator[Segment]:
        """See `Device.extents`: one hole."""
        yield Segment(offset, length, "zero", allocated=False, zero=True)

    def close(self) -> None:
        """See `Device.close`: nothing is held."""


class ErrorDevice:
    """Fails every operation with EIO: the place of data that is known to be lost."""

    read_only = False

    def __init__(self, size_bytes: int, *, block_bytes: int = 512, identity: Identity | None = None) -> None:
        self.size_bytes = size_bytes
        self.block_bytes = block_bytes
        self.identity = identity or Identity("error")

    def _fail(self, operation: str, offset: int, length: int) -> DeviceError:
        return DeviceError(
            f"{operation} of {length} bytes at {offset} failed: the device is an error target", where=self.identity.name
        )

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        """See `Device.read`: EIO."""
        raise self._fail("read", offset, length)

    def read_resident(self, offset: int, length: int) -> Sequence[Buffer] | None:
        """See `Device.read_resident`: EIO."""
        raise self._fail("read", offset, length)

    def write(self, offset: int, data: Buffer, *, fua: bool = False) -> None:
        """See `Device.write`: EIO."""
        raise self._fail("write", offset, len(data))

    def flush(self) -> None:
        """See `Device.flush`: nothing was accepted, so there is nothing to lose."""

    def discard(self, offset: int, length: int) -> None:
        """See `Device.discard`: EIO."""
        raise self._fail("discard", offset, length)

    def zero(self, offset: int, length: int) -> None:
        """See `Device.zero`: EIO."""
        raise self._fail("zero", offset, length)

    def extents(self, offset: int, length: int) -> Iterator[Segment]:
        """See `Device.extents`: allocated, so that nobody takes it for a hole."""
        yield Segment(offset, length, "error")

    def close(self) -> None:
        """See `Device.close`: nothing is held."""


class ErasedDevice(ReadOnly):
    """Reads as 0xFF, as flash does where nothing was written: an unmapped eraseblock of a UBI volume."""

    def __init__(self, size_bytes: int, *, block_bytes: int = 512, identity: Identity | None = None) -> None:
        self.size_bytes = size_bytes
        self.block_bytes = block_bytes
        self.identity = identity or Identity("erased")

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        """See `Device.read`: 0xFF."""
        return _views(_ONES, length)

    def read_resident(self, offset: int, length: int) -> Sequence[Buffer] | None:
        """See `Device.read_resident`: 0xFF."""
        return _views(_ONES, length)

    def extents(self, offset: int, length: int) -> Iterator[Segment]:
        """See `Device.extents`: no hole, for a hole may be taken to read as zeros."""
        yield Segment(offset, length, "erased")

    def close(self) -> None:
        """See `Device.close`: nothing is held."""
