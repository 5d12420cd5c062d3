"""readonce: keeps what was read, so that every block below is read at most once.

For looking at a disk: parsers that read the same place twice see the same bytes even where the disk does not give the
same answer twice, so what is found is one state of it and not a mixture; and a remote disk is asked once. Not for bulk
data: everything that was read stays in memory, up to a limit of `core.limits`.

Invariants: a block is given out as it was first read; a lower device that returns another number of bytes than it was
asked for is a DeviceError; nothing can be written.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence

from bootpath.block.targets.readonly import ReadOnlyFilter
from bootpath.core.device import Buffer, Device, read_bytes
from bootpath.core.errors import DeviceError
from bootpath.core.limits import format_limit, limit_hint, limits

_PAGE_BYTES = 4096


class ReadOnce(ReadOnlyFilter):
    """`lower`, each block of it read once. DeviceError (ENOMEM) beyond the limit's bytes. It does not own `lower`."""

    def __init__(self, lower: Device, *, limit: str = "metadata_bytes") -> None:
        super().__init__(lower)
        self._limit = limit
        self._max_bytes: int = getattr(limits(), limit)
        self._pages: dict[int, bytes] = {}

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        """See `Device.read`: what is missing is read in as few pieces as possible."""
        first, last = offset // _PAGE_BYTES, (offset + length - 1) // _PAGE_BYTES
        missing = [page for page in range(first, last + 1) if page not in self._pages]
        while missing:
            count = next((n for n, page in enumerate(missing) if page != missing[0] + n), len(missing))
            self._fetch(missing[0], count)
            del missing[:count]
        data = b"".join(self._pages[page] for page in range(first, last + 1))
        start = offset - first * _PAGE_BYTES
        return (memoryview(data)[start : start + length],)

    def _fetch(self, page: int, count: int) -> None:
        if (len(self._pages) + count) * _PAGE_BYTES > self._max_bytes:
            raise DeviceError(
                "more would have to be kept in memory than is allowed",
                errno=errno.ENOMEM,
                where=self.identity.name,
                expected=f"at most {format_limit(self._limit, self._max_bytes)}",
                hint=limit_hint(self._limit),
            )
        start = page * _PAGE_BYTES
        length = min(count * _PAGE_BYTES, self.size_bytes - start)
        data = read_bytes(self.lower, start, length)
        if len(data) != length:
            raise DeviceError(
                f"read of {length} bytes at {start} came up short",
                where=self.identity.name,
                found=f"{len(data)} bytes",
                expected=f"{length} bytes",
            )
        for index in range(count):
            self._pages[page + index] = data[index * _PAGE_BYTES : (index + 1) * _PAGE_BYTES]

    def read_resident(self, offset: int, length: int) -> Sequence[Buffer] | None:
        """See `Device.read_resident`: what was read before."""
        pages = range(offset // _PAGE_BYTES, (offset + length - 1) // _PAGE_BYTES + 1)
        return self.read(offset, length) if all(page in self._pages for page in pages) else None

    def close(self) -> None:
        """See `Device.close`: forgets what was read; the lower device is the caller's."""
        self._pages.clear()
