"""flakey: a device that works for a while and then does not, in turn, as Linux's dm-flakey, counted in operations.

Linux counts the intervals in seconds. Here they are counted in operations (every read, write, flush, discard and zero
is one), so that the same operations meet the same faults: with ``3 2`` operations 0, 1 and 2 are done, 3 and 4 are hit,
5 is done again. All that is not a read counts as a write: with drop_writes a flush is forgotten too. A failure is EIO.

Random corruption draws from the seed, one draw for each operation that may be hit, and the place and the value after
that.

`block.targets.fault` is the double with more choices; this one takes the kernel's rows.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Sequence
from random import Random

from bootpath.block.targets.filter import Filter
from bootpath.core.device import Buffer, Device
from bootpath.core.errors import DeviceError
from bootpath.formats.dm.flakey import PROBABILITY_BASE, FlakeyRow


class Flakey(Filter):
    """`lower`, which stays open, with the faults that `row` describes. The row's place is the caller's affair.

    Raises DeviceError (ENOTSUP) for a corruption that looks at a bio's flags: there are none here.
    """

    def __init__(self, lower: Device, row: FlakeyRow, *, seed: int = 0) -> None:
        if row.corrupt is not None and row.corrupt.flags:
            raise DeviceError(
                "corrupt_bio_byte has bio flags",
                errno=errno.ENOTSUP,
                where=lower.identity.name,
                found=row.corrupt.flags,
                expected="0: requests have no such flags here",
            )
        super().__init__(lower)
        self.row = row
        self._operations = 0
        self._lock = threading.Lock()
        self._random = Random(seed)  # noqa: S311 - reproducible on purpose, no secret

    def _is_down(self) -> bool:
        """Count an operation; whether it is hit."""
        with self._lock:
            number = self._operations
            self._operations += 1
        return number % (self.row.up + self.row.down) >= self.row.up

    def _failed(self, operation: str, offset: int, length: int) -> DeviceError:
        return DeviceError(f"{operation} of {length} bytes at {offset}: flakey is down", where=self.identity.name)

    def _write_reaches(self, operation: str, offset: int, length: int, *, down: bool) -> bool:
        """Whether it is to be done. Raises when it fails."""
        if down and (self.row.everything_fails or self.row.error_writes):
            raise self._failed(operation, offset, length)
        return not (down and self.row.drop_writes)

    def _corrupted(self, data: Sequence[Buffer], *, writes: bool) -> Sequence[Buffer]:
        """The data as it is while the device is down."""
        row, corrupt = self.row, self.row.corrupt
        changes: list[tuple[int, int]] = []
        length = sum(map(len, data))
        if corrupt is not None and corrupt.writes == writes and corrupt.nth <= length:
            changes.append((corrupt.nth - 1, corrupt.value))
        probability = row.random_write_corrupt if writes else row.random_read_corrupt
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
        if self.row.everything_fails or self.row.error_reads:
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
