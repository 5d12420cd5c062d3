"""The Device contract: what every layer of the block stack is.

A device is a number of bytes that can be read and written at any block. Reads return views, not copies; together they
are exactly ``length`` bytes, and they stay valid as long as they are referenced, though a later write may show through
them. A call does all that was asked or raises a `DeviceError`: there is no short success, and no zeros in place of data
that could not be read.

errno of a failure:

======================================  ==========
misaligned, empty, or read past the end EINVAL
write, zero or discard past the end     ENOSPC
overlay full                            ENOSPC
write to a read-only device             EPERM
lower device failed or did not arrive   EIO
======================================  ==========

`checked` alone refuses requests that are misaligned, empty or past the end. It stands at the top of a stack; targets
below it hold no bounds code.

What only some devices can do is a protocol of its own (`SupportsDirect`, `SupportsRanges`, `SupportsWriteGranularity`,
…). Ask a device for it by the function beside the protocol, or by isinstance with the protocol; never look at its
class.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable
from uuid import UUID

from bootpath.core.diskimage import DiskImage, disk_images
from bootpath.core.errors import DeviceError

SECTOR_BYTES = 512

Buffer: TypeAlias = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Identity:
    """What identifies a device. `uuid` is content and can be copied with dd; the GUIDs tell the copies apart."""

    name: str = "device"
    uuid: UUID | None = None
    disk_guid: UUID | None = None
    partition_guid: UUID | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of bytes that comes from one place.

    `source` names it ("file", "preload", "overlay", "disk", "zero"); `allocated` is false for a hole or a discarded run
    (NBD_STATE_HOLE); `zero` is true when it is known to read as zeros (NBD_STATE_ZERO).
    """

    offset: int
    length: int
    source: str
    allocated: bool = True
    zero: bool = False

    def shift(self, delta: int) -> Segment:
        """The same run, `delta` bytes further."""
        return Segment(self.offset + delta, self.length, self.source, self.allocated, self.zero)


@dataclass(frozen=True, slots=True)
class Direct:
    """Plain memory or a plain file behind a device, for code that can reach it without calling Python.

    Exactly one of `fd` and `buffer` is set; the device's byte 0 is at ``offset`` in it; its size is ``length``.
    """

    offset: int
    length: int
    writable: bool
    fd: int | None = None
    buffer: bytearray | memoryview | None = None


@runtime_checkable
class SupportsFileno(Protocol):
    """An open file, as select and os take it."""

    def fileno(self) -> int:
        """The descriptor, -1 when it is closed."""
        ...


@dataclass(frozen=True, slots=True)
class FileRange:
    """`length` bytes from byte `offset` of an open file, to be passed on by the kernel without being read here.

    The file is asked for its descriptor at the last moment, so that one that was closed meanwhile is an error.
    """

    file: SupportsFileno
    offset: int
    length: int

    def __len__(self) -> int:
        return self.length

    def after(self, count: int) -> FileRange:
        """What follows the first `count` bytes."""
        return FileRange(self.file, self.offset + count, self.length - count)


class Device(Protocol):
    """Addressable bytes. See the module docstring for the contract."""

    @property
    def size_bytes(self) -> int:
        """Size; a multiple of block_bytes."""
        ...

    @property
    def block_bytes(self) -> int:
        """Logical block size: 512 or 4096. Offsets and lengths are multiples of it."""
        ...

    @property
    def read_only(self) -> bool:
        """True when write, zero and discard are refused with EPERM."""
        ...

    @property
    def identity(self) -> Identity:
        """What identifies this device, in messages and when disks are compared."""
        ...

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        """Views that together are exactly `length` bytes from byte `offset`."""
        ...

    def read_resident(self, offset: int, length: int) -> Sequence[Buffer] | None:
        """The same as read if it can be answered without waiting, else None."""
        ...

    def write(self, offset: int, data: Buffer, *, fua: bool = False) -> None:
        """Write all of `data` at byte `offset`; with `fua`, it is stable when this returns."""
        ...

    def flush(self) -> None:
        """Make every completed write stable."""
        ...

    def discard(self, offset: int, length: int) -> None:
        """The content is no longer needed; it may read as anything the device documents."""
        ...

    def zero(self, offset: int, length: int) -> None:
        """Make the range read as zeros."""
        ...

    def extents(self, offset: int, length: int) -> Iterator[Segment]:
        """Where each part of the range comes from: contiguous segments that cover it exactly."""
        ...

    def close(self) -> None:
        """Release what the device holds. Closing twice is harmless."""
        ...


@runtime_checkable
class SupportsDirect(Protocol):
    """A device that may be reachable without calling Python."""

    def direct(self) -> Direct | None:
        """Where the bytes are, or None when they are not in one plain place."""
        ...


@runtime_checkable
class SupportsRanges(Protocol):
    """A device that can name the files in whose page cache its bytes are."""

    def resident_ranges(self, offset: int, length: int) -> Sequence[FileRange] | None:
        """As read_resident, but where the bytes are; None when some are elsewhere or would have to be waited for."""
        ...


@runtime_checkable
class SupportsWriteGranularity(Protocol):
    """A device whose writes do not wait when they are aligned."""

    def write_granularity(self) -> int | None:
        """Bytes: a write, zero or discard on multiples of it does not wait. None when any of them may wait."""
        ...


@runtime_checkable
class SupportsHeldBytes(Protocol):
    """A device that keeps what is written apart from its base."""

    @property
    def held_bytes(self) -> int:
        """Bytes that it keeps."""
        ...


@runtime_checkable
class SupportsFetchCounts(Protocol):
    """A device that counts what it asks of a server far away."""

    @property
    def requests(self) -> int:
        """Requests so far."""
        ...

    @property
    def fetched_bytes(self) -> int:
        """Bytes that the server has sent."""
        ...


@runtime_checkable
class SupportsPadding(Protocol):
    """A device in a file, whose last bytes may not fill a block."""

    @property
    def padding_bytes(self) -> int:
        """Bytes at the end of the device that are not in the file, and read as zeros."""
        ...


def direct_access(device: Device) -> Direct | None:
    """Where the bytes of any device are, or None when it does not say."""
    return device.direct() if isinstance(device, SupportsDirect) else None


def resident_ranges(device: Device, offset: int, length: int) -> Sequence[FileRange] | None:
    """The files that have the range in the page cache, of any device; None when it does not say."""
    return device.resident_ranges(offset, length) if isinstance(device, SupportsRanges) else None


def write_granularity(device: Device) -> int | None:
    """The alignment at which a write to any device does not wait; None when it does not say."""
    return device.write_granularity() if isinstance(device, SupportsWriteGranularity) else None


def read_bytes(device: Device, offset: int, length: int) -> bytes:
    """Read a range as one bytes object. Raises DeviceError."""
    return b"".join(device.read(offset, length))


def read_into(device: Device, offset: int, target: memoryview) -> None:
    """Fill `target` from byte `offset`; straight from the file where the device is one. Raises DeviceError."""
    direct = direct_access(device)
    if direct is None or direct.fd is None:
        position = 0
        for part in device.read(offset, len(target)):
            target[position : position + len(part)] = part
            position += len(part)
        return
    if offset + len(target) > direct.length:
        raise DeviceError(
            f"read of {len(target)} bytes at {offset} is past the end",
            errno=errno.EINVAL,
            where=device.identity.name,
            expected=f"at most {direct.length}",
        )
    done = 0
    while done < len(target):
        try:
            count = os.preadv(direct.fd, [target[done:]], direct.offset + offset + done)
        except OSError as fault:
            raise DeviceError(
                f"read of {len(target)} bytes at {offset} failed: {fault.strerror}", where=device.identity.name
            ) from fault
        if count == 0:
            raise DeviceError(
                f"read of {len(target)} bytes at {offset} came up short",
                where=device.identity.name,
                found=f"{done} bytes",
                hint="was the file truncated while in use?",
            )
        done += count


class Checked:
    """A device that refuses what the contract forbids, then asks the device below. Made by `checked`."""

    __slots__ = ("_mask", "block_bytes", "identity", "lower", "read_only", "size_bytes")

    def __init__(self, lower: Device) -> None:
        if lower.block_bytes not in (512, 4096):
            raise ValueError(f"block_bytes is {lower.block_bytes}, must be 512 or 4096")
        self.lower = lower
        self.size_bytes = lower.size_bytes
        self.block_bytes = lower.block_bytes
        self.read_only = lower.read_only
        self.identity = lower.identity
        self._mask = lower.block_bytes - 1

    def _refuse(self, operation: str, offset: int, length: int, past_end: int) -> DeviceError:
        where = self.identity.name
        if offset < 0 or length <= 0:
            return DeviceError(
                f"{operation} of {length} bytes at {offset} is no range",
                errno=errno.EINVAL,
                where=where,
                expected="an offset of 0 or more and at least one byte",
            )
        if (offset | length) & self._mask:
            return DeviceError(
                f"{operation} of {length} bytes at {offset} is misaligned",
                errno=errno.EINVAL,
                where=where,
                expected=f"multiples of {self.block_bytes}",
            )
        return DeviceError(
            f"{operation} of {length} bytes at {offset} is past the end",
            errno=past_end,
            where=where,
            expected=f"at most {self.size_bytes}",
        )

    def _check_read(self, operation: str, offset: int, length: int) -> None:
        if offset < 0 or length <= 0 or (offset | length) & self._mask or offset + length > self.size_bytes:
            raise self._refuse(operation, offset, length, errno.EINVAL)

    def _check_write(self, operation: str, offset: int, length: int) -> None:
        if self.read_only:
            raise DeviceError(
                f"{operation} at {offset} is refused: the device is read-only",
                errno=errno.EPERM,
                where=self.identity.name,
            )
        if offset < 0 or length <= 0 or (offset | length) & self._mask or offset + length > self.size_bytes:
            raise self._refuse(operation, offset, length, errno.ENOSPC)

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        """See `Device.read`. EINVAL when misaligned, empty or past the end."""
        self._check_read("read", offset, length)
        return self.lower.read(offset, length)

    def read_resident(self, offset: int, length: int) -> Sequence[Buffer] | None:
        """See `Device.read_resident`. EINVAL when misaligned, empty or past the end."""
        self._check_read("read", offset, length)
        return self.lower.read_resident(offset, length)

    def write(self, offset: int, data: Buffer, *, fua: bool = False) -> None:
        """See `Device.write`. EPERM when read-only, EINVAL when misaligned or empty, ENOSPC past the end."""
        self._check_write("write", offset, memoryview(data).nbytes)
        self.lower.write(offset, data, fua=fua)

    def flush(self) -> None:
        """See `Device.flush`."""
        self.lower.flush()

    def discard(self, offset: int, length: int) -> None:
        """See `Device.discard`. Errors as for write."""
        self._check_write("discard", offset, length)
        self.lower.discard(offset, length)

    def zero(self, offset: int, length: int) -> None:
        """See `Device.zero`. Errors as for write."""
        self._check_write("zero", offset, length)
        self.lower.zero(offset, length)

    def extents(self, offset: int, length: int) -> Iterator[Segment]:
        """See `Device.extents`. EINVAL when misaligned, empty or past the end."""
        self._check_read("extents", offset, length)
        return self.lower.extents(offset, length)

    def direct(self) -> Direct | None:
        """See `SupportsDirect.direct`."""
        return direct_access(self.lower)

    def write_granularity(self) -> int | None:
        """See `SupportsWriteGranularity.write_granularity`."""
        return write_granularity(self.lower)

    @property
    def disk_images(self) -> tuple[DiskImage, ...]:
        """See `SupportsDiskImages.disk_images`."""
        return disk_images(self.lower)

    def close(self) -> None:
        """See `Device.close`."""
        self.lower.close()


def checked(device: Device) -> Checked:
    """The device with its contract enforced; a device that already is comes back unchanged."""
    return device if isinstance(device, Checked) else Checked(device)


def unchecked(device: Device) -> Device:
    """The device below the checks, for requests that are not on blocks and that it can answer all the same."""
    return device.lower if isinstance(device, Checked) else device
