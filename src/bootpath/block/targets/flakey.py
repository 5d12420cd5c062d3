"""flakey: a device that works and fails in turn, as Linux's dm-flakey, but counted in operations.

Linux counts the intervals in seconds. Here they are counted in operations (every read, write, flush, discard and zero
is one), so that the same operations meet the same faults: with ``3 2`` operations 0, 1 and 2 work, 3 and 4 are hit, 5
works again. Everything but a read counts as a write: drop_writes drops a flush too. A failure is EIO.

Random corruption draws from the seed, one draw for each operation that may be hit, and the place and the value after
that.

`block.targets.fault` is the test double with more choices; this one takes the kernel's arguments.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Sequence
from random import Random

from bootpath.block.targets.filter import Filter
from bootpath.core.device import Buffer, Device
from bootpath.core.errors import DeviceError
from bootpath.formats.dm.flakey import PROBABILITY_BASE, FlakeyTarget


class Flakey(Filter):
    """`lower`, which stays open, with the faults that `target` describes.

    Raises DeviceError (ENOTSUP) for a corruption that looks at a bio's flags: there are none here.
    """

    def __init__(self, lower: Device, target: FlakeyTarget, *, seed: int = 0) -> None:
        if target.corrupt is not None and target.corrupt.flags:
            raise DeviceError(
                "corrupt_bio_byte cannot look at bio flags here",
                errno=errno.ENOTSUP,
                where=lower.identity.name,
                found=target.corrupt.flags,
                expected="0",
            )
        super().__init__(lower)
        self.target = target
        self._operations = 0
        self._lock = threading.Lock()
        self._random = Random(seed)  # noqa: S311 - reproducible on purpose, no secret

    def _is_down(self) -> bool:
        """Count an operation; whether it is hit."""
        with self._lock:
            number = self._operations
            self._operations += 1
        return number % (self.target.up + self.target.down) >= self.target.up

    def _failed(self, operation: str, offset: int, length: int) -> DeviceError:
        return DeviceError(
            f"{operation} of {length} bytes at {offset} failed: the flakey target is down", where=self.identity.name
        )

    def _write_reaches(self, operation: str, offset: int, length: int, *, down: bool) -> bool:
        """Whether it is to be done. Raises when it fails."""
        if down and (self.target.everything_fails or self.target.error_writes):
            raise self._failed(operation, offset, length)
        return not (down and self.target.drop_writes)

    def _corrupted(self, data: Sequence[Buffer], *, writes: bool) -> Sequence[Buffer]:
        """The data as it is while the device is down."""
        target, corrupt = self.target, self.target.corrupt
        changes: list[tuple[int, int]] = []
        length = sum(map(len, data))
        if corrupt is not None and corrupt.writes == writes and corrupt.nth <= length:
            changes.append((corrupt.nth - 1, corrupt.value))
        probability = target.random_write_corrupt if writes else target.random_read_corrupt
        with self._lock:
            if probability and self._random.randrange(PROBABILITY_BASE) < probability:
                changes.append((self._random.randrange(length), self._random.randrange(256)))
        if not changes:
            return data
        copy = bytearray(b"".join(data))
        for place, value in changes:
            copy[place] = value
        return (copy,)

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        """See `Device.read`."""
        if not self._is_down():
            return self.lower.read(offset, length)
        if self.target.everything_fails or self.target.error_reads:
            raise self._failed("read", offset, length)
        return self._corrupted(self.lower.read(offset, length), writes=False)

    def write(self, offset: int, data: Buffer, *, fua: bool = False) -> None:
        """See `Device.write`."""
        down = self._is_down()
        if self._write_reaches("write", offset, len(data), down=down):
            (content,) = self._corrupted((data,), writes=True) if down else (data,)
            self.lower.write(offset, content, fua=fua)

    def flush(self) -> None:
        """See `Device.flush`."""
        if self._write_reaches("flush", 0, 0, down=self._is_down()):
            self.lower.flush()

    def discard(self, offset: int, length: int) -> None:
        """See `Device.discard`."""
        if self._write_reaches("discard", offset, length, down=self._is_down()):
            self.lower.discard(offset, length)

    def zero(self, offset: int, length: int) -> None:
        """See `Device.zero`."""
        if self._write_reaches("zero", offset, length, down=self._is_down()):
            self.lower.zero(offset, length)
