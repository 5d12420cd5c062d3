"""Linux's exception store on a COW device: what was changed is kept there, byte for byte as the kernel keeps it.

`formats.exceptionstore` has the layout. Rules:

- Nothing is written by opening; a new store gets its header with its first exception.
- An exception that is added is known at once and on the device after `commit`, which first makes the content stable
  that it points to. What is lost without it is what was written since, and the space is used again.
- A commit writes the later areas before the first one, so that the store has an end at every moment, and an area is
  never filled when there is no room for the one after it, whose zeros are the end.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence

from bootpath.block.views import read_wide
from bootpath.core.device import Device
from bootpath.core.errors import DeviceError, FormatError
from bootpath.core.limits import check_limit
from bootpath.formats.exceptionstore import (
    HEADER_BYTES,
    SnapshotHeader,
    iter_exceptions,
    pack_exceptions,
    pack_snapshot_header,
    parse_snapshot_header,
)

DEFAULT_CHUNK_SECTORS = 32  # DM_CHUNK_SIZE_DEFAULT_SECTORS


class ExceptionStore:
    """The store on `cow`, for the first `chunks` chunks of an origin; not for several threads at once.

    The chunk size of a store that is in use wins over `chunk_sectors` (0: 16 KiB). `mapping` has the place of every
    changed chunk. Raises FormatError for what the kernel would refuse or could not have written, DeviceError (EIO)
    for a snapshot that the kernel gave up.
    """

    def __init__(self, cow: Device, *, chunk_sectors: int, origin_bytes: int) -> None:
        self.cow = cow
        where = cow.identity.name
        try:
            header = parse_snapshot_header(b"".join(read_wide(cow, 0, HEADER_BYTES)))
        except FormatError as error:
            raise error.at(where) from None
        self.is_new = header is None
        self.header = header or SnapshotHeader(chunk_sectors or DEFAULT_CHUNK_SECTORS)
        if not self.header.valid:
            raise DeviceError("the snapshot is marked invalid: it had become full", where=where)
        if self.chunk_bytes % cow.block_bytes:
            raise FormatError(
                "a chunk is no whole number of blocks",
                where=where,
                found=f"{self.chunk_bytes} bytes",
                expected=f"a multiple of {cow.block_bytes}",
            )
        self.chunks = cow.size_bytes // self.chunk_bytes
        self.mapping: dict[int, int] = {}
        self._order: list[tuple[int, int]] = []
        self._committed = 0
        self._next = 2  # after the header and the first area
        if not self.is_new:
            self._read(-(-origin_bytes // self.chunk_bytes))

    @property
    def chunk_bytes(self) -> int:
        """Bytes of a chunk."""
        return self.header.chunk_bytes

    @property
    def dirty(self) -> bool:
        """Whether there are exceptions that are not on the device."""
        return self._committed != len(self._order)

    def _read(self, origin_chunks: int) -> None:
        """All exceptions: "Keeping reading chunks and inserting exceptions until we find a partially full area"."""
        taken: set[int] = set()
        self._check_count(self.header.area_exceptions)  # those of one area are read at once
        while True:
            place = self.header.area_chunk(len(self._order) // self.header.area_exceptions)
            if place >= self.chunks:
                raise self._corrupt(f"the exceptions have no end within {self.chunks} chunks")
            area = list(iter_exceptions(b"".join(self.cow.read(place * self.chunk_bytes, self.chunk_bytes))))
            for old, new in area:
                if old >= origin_chunks or old in self.mapping:
                    raise self._corrupt(f"the exception of chunk {old} is past the origin's end, or there twice")
                if new >= self.chunks or new in taken or not self.header.is_content(new):
                    raise self._corrupt(
                        f"chunk {old} is stored in chunk {new}, which cannot hold content, or holds another's"
                    )
                self.mapping[old] = new
                taken.add(new)
                self._next = max(self._next, self.header.after(new))
            self._order += area
            self._check_count(len(self._order))
            if len(area) < self.header.area_exceptions:
                break
        self._committed = len(self._order)

    def _check_count(self, count: int) -> None:
        where = f"{self.cow.identity.name}: snapshot store"
        check_limit("snapshot_exceptions", count, "the snapshot has too many exceptions", where=where)

    def _corrupt(self, what: str) -> FormatError:
        return FormatError(what, where=f"{self.cow.identity.name}: snapshot store")

    def reserve(self, count: int) -> list[int]:
        """The places of `count` chunks that can be added now. DeviceError (ENOSPC) when there is no room for all."""
        places: list[int] = []
        following = self._next
        for _ in range(count):
            places.append(following)
            following = self.header.after(following)
        last_area = (len(self._order) + count) // self.header.area_exceptions
        if count and (places[-1] >= self.chunks or self.header.area_chunk(last_area) >= self.chunks):
            raise DeviceError(
                f"the snapshot is full: it has no room for {count} more chunks of {self.chunk_bytes} bytes",
                errno=errno.ENOSPC,
                where=self.cow.identity.name,
                hint="make the COW device larger",
            )
        return places

    def add(self, exceptions: Sequence[tuple[int, int]]) -> None:
        """Chunks (old, new) whose content is in its place, which `reserve` gave, in that order."""
        for old, new in exceptions:
            self.mapping[old] = new
            self._order.append((old, new))
            self._next = self.header.after(new)

    def commit(self) -> None:
        """Make everything stable: the content, then the exceptions that point to it. Raises DeviceError."""
        self.cow.flush()
        if not self.dirty:
            return
        if self.is_new:
            self._write_area(0, [])
            self.cow.flush()
            self.cow.write(0, pack_snapshot_header(self.header), fua=True)
            self.is_new = False
        size = self.header.area_exceptions
        first, last = self._committed // size, len(self._order) // size
        for area in range(last, first, -1):
            self._write_area(area, self._order[area * size : (area + 1) * size])
        if first != last:
            self.cow.flush()
        self._write_area(first, self._order[first * size : (first + 1) * size], fua=True)
        self._committed = len(self._order)

    def _write_area(self, area: int, exceptions: Sequence[tuple[int, int]], *, fua: bool = False) -> None:
        place = self.header.area_chunk(area) * self.chunk_bytes
        self.cow.write(place, pack_exceptions(exceptions, self.header), fua=fua)
