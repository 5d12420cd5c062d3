"""snapshot and snapshot-origin: a writable view of a device whose changed chunks are on another, as Linux's.

The kernel's exception store is read and written byte for byte (`exceptionstore`), so that a snapshot that was begun
here can be continued there, and the other way round. The origin is only read. Safe differences:

- An exception reaches the COW device with the next flush or FUA write, not with the write that made it.
- When there is no room, the write is refused with ENOSPC and changes nothing; the kernel invalidates the snapshot.
- `snapshot-origin` is read-only. A write there would have to save the old content in the stores of all its snapshots
  first, and the line does not name them.

A transient snapshot (N) is an `Overlay` in memory, capped by the size of its COW device, which is not written.

Threads: writers hold one lock; readers take none, since content is in its place before a chunk is known to be there.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator, Sequence

from bootpath.block.targets.exceptionstore import ExceptionStore
from bootpath.core.device import Buffer, Device, Identity, Segment
from bootpath.core.errors import DeviceError

_ZERO_BYTES = 1 << 20


class Snapshot:
    """`origin` with the changes in `store`; both devices stay open. Read-only when the COW device is.

    `zero_discarded` is discard_zeroes_cow: a discarded chunk that was changed reads as zeros; otherwise discard does
    nothing. Raises DeviceError (EINVAL) when a chunk is not a multiple of the origin's blocks.
    """

    def __init__(
        self, origin: Device, store: ExceptionStore, *, zero_discarded: bool = False, identity: Identity | None = None
    ) -> None:
        if store.chunk_bytes % origin.block_bytes:
            raise DeviceError(
                "a chunk is no whole number of blocks",
                errno=errno.EINVAL,
                where=origin.identity.name,
                found=f"{store.chunk_bytes} bytes",
                expected=f"a multiple of {origin.block_bytes}",
            )
        self.origin = origin
        self.store = store
        self.size_bytes = origin.size_bytes
        self.block_bytes = max(origin.block_bytes, store.cow.block_bytes)
        self.read_only = store.cow.read_only
        self.identity = identity or Identity(f"snapshot({origin.identity.name})")
        self._zero_discarded = zero_discarded
        self._chunk = store.chunk_bytes
        self._lock = threading.Lock()

    def _held(self, offset: int, length: int) -> list[int]:
        """The changed chunks that a range touches, in order."""
        chunks = range(offset // self._chunk, (offset + length - 1) // self._chunk + 1)
        mapping = self.store.mapping
        if len(chunks) <= len(mapping):
            return [chunk for chunk in chunks if chunk in mapping]
        return sorted(chunk for chunk in tuple(mapping) if chunk in chunks)

    def _runs(self, offset: int, length: int) -> Iterator[tuple[Device, int, int, int]]:
        """(device, offset there, offset here, length): what comes from one place in one piece."""
        end = offset + length
        run: tuple[int, int, int] | None = None  # of changed chunks that are neighbours on the COW device as well
        for chunk in self._held(offset, length):
            start, stop = max(chunk * self._chunk, offset), min((chunk + 1) * self._chunk, end)
            place = self.store.mapping[chunk] * self._chunk + start - chunk * self._chunk
            if run is not None and run[1] == start and run[2] + run[1] - run[0] == place:
                run = run[0], stop, run[2]
                continue
            if run is not None:
                yield self.store.cow, run[2], run[0], run[1] - run[0]
            gap = offset if run is None else run[1]
            if gap < start:
                yield self.origin, gap, gap, start - gap
            run = start, stop, place
        if run is not None:
            yield self.store.cow, run[2], run[0], run[1] - run[0]
        rest = offset if run is None else run[1]
        if rest < end:
            yield self.origin, rest, rest, end - rest

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        """See `Device.read`: the devices' own views."""
        return [view for device, place, _, size in self._runs(offset, length) for view in device.read(place, size)]

    def read_resident(self, offset: int, length: int) -> Sequence[Buffer] | None:
        """See `Device.read_resident`: None unless both devices have their share."""
        views: list[Buffer] = []
        for device, place, _, size in self._runs(offset, length):
            some = device.read_resident(place, size)
            if some is None:
                return None
            views += some
        return views

    def write(self, offset: int, data: Buffer, *, fua: bool = False) -> None:
        """See `Device.write`. ENOSPC when the COW device is full, with nothing changed."""
        view = memoryview(data)
        end = offset + len(view)
        with self._lock:
            mapping = self.store.mapping
            chunks = range(offset // self._chunk, (end - 1) // self._chunk + 1)
            new = [chunk for chunk in chunks if chunk not in mapping]
            places = dict(zip(new, self.store.reserve(len(new)), strict=True))
            runs: list[tuple[int, int, int]] = []  # (offset here, end here, offset on the COW device)
            for chunk in chunks:
                start, stop = max(chunk * self._chunk, offset), min((chunk + 1) * self._chunk, end)
                if chunk in places and stop - start < min(self._chunk, self.size_bytes - chunk * self._chunk):
                    self._write_merged(chunk, places[chunk], start, view[start - offset : stop - offset])
                    continue
                place = places.get(chunk, mapping.get(chunk, 0)) * self._chunk + start - chunk * self._chunk
                if runs and runs[-1][1] == start and runs[-1][2] + start - runs[-1][0] == place:
                    runs[-1] = runs[-1][0], stop, runs[-1][2]
                else:
                    runs.append((start, stop, place))
            for start, stop, place in runs:
                self.store.cow.write(place, view[start - offset : stop - offset])
            self.store.add(list(places.items()))  # known, now that their content is there
            if fua:
                self.store.commit()

    def _write_merged(self, chunk: int, place: int, start: int, data: memoryview) -> None:
        """Write a whole new chunk of which only `data`, from byte `start` on, is new."""
        first = chunk * self._chunk
        content = bytearray().join(self.origin.read(first, min(self._chunk, self.size_bytes - first)))
        content[start - first : start - first + len(data)] = data
        self.store.cow.write(place * self._chunk, content)

    def flush(self) -> None:
        """See `Device.flush`: the changes, and where they are."""
        if not self.read_only:
            with self._lock:
                self.store.commit()

    def discard(self, offset: int, length: int) -> None:
        """See `Device.discard`: whole chunks that were changed become zeros with discard_zeroes_cow, else nothing."""
        if self._zero_discarded:
            for chunk in self._held(offset, length):
                start, stop = chunk * self._chunk, min((chunk + 1) * self._chunk, self.size_bytes)
                if offset <= start and stop <= offset + length:
                    self.zero(start, stop - start)

    def zero(self, offset: int, length: int) -> None:
        """See `Device.zero`: zeros are written."""
        for start in range(offset, offset + length, _ZERO_BYTES):
            self.write(start, bytes(min(_ZERO_BYTES, offset + length - start)))

    def extents(self, offset: int, length: int) -> Iterator[Segment]:
        """See `Device.extents`: "overlay" where it was changed, else the origin's."""
        for device, _, start, size in self._runs(offset, length):
            if device is self.store.cow:
                yield Segment(start, size, "overlay")
            else:
                yield from self.origin.extents(start, size)

    def close(self) -> None:
        """See `Device.close`: what was written is flushed; both devices stay open."""
        if not self.read_only and self.store.dirty:
            self.flush()
