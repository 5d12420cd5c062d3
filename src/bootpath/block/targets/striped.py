"""striped: chunks of several lower devices in turn, as Linux's dm-stripe and RAID 0.

Chunk ``n`` is chunk ``n // stripes`` of stripe ``n % stripes``. Whatever range is asked for, it is one run on each
stripe: each is asked once, and its views are dealt out in chunks, not copied. A write gathers what belongs to one
stripe, so that a disk sees one write, not one for each chunk.

Source: Linux Documentation/admin-guide/device-mapper/striped.rst; drivers/md/dm-stripe.c (6.12) for what must divide
the size.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence

from bootpath.block.targets.linear import Linear
from bootpath.block.views import slice_views
from bootpath.core.device import Buffer, Device, FileRange, Identity, Segment, resident_ranges
from bootpath.core.errors import DeviceError


class Striped:
    """`size_bytes` in chunks of `chunk_bytes`; `stripes` are (device, byte where the stripe begins there).

    The lower devices stay open. Raises DeviceError (EINVAL) when the size is not a multiple of all chunks of a round, a
    chunk not one of every stripe's blocks, or a stripe ends past its device.
    """

    def __init__(
        self,
        stripes: Sequence[tuple[Device, int]],
        *,
        chunk_bytes: int,
        size_bytes: int,
        identity: Identity | None = None,
    ) -> None:
        if not stripes:
            raise ValueError("striping needs at least one device")
        self.chunk_bytes = chunk_bytes
        self.size_bytes = size_bytes
        self.block_bytes = max(device.block_bytes for device, _ in stripes)
        self.identity = identity or Identity(f"striped({', '.join(device.identity.name for device, _ in stripes)})")
        if chunk_bytes <= 0 or chunk_bytes % self.block_bytes:
            raise _refusal(
                self.identity,
                "a chunk is no whole number of blocks",
                f"{chunk_bytes} bytes",
                f"a multiple of {self.block_bytes}",
            )
        width, rest = divmod(size_bytes, len(stripes))
        if rest or width % chunk_bytes:  # "Target length not divisible by number of stripes", "… by chunk size"
            expected = f"a multiple of {len(stripes)} chunks of {chunk_bytes}"
            raise _refusal(
                self.identity, "the size is no whole number of rounds of chunks", f"{size_bytes} bytes", expected
            )
        self.stripes = tuple(Linear(device, start, width) for device, start in stripes)
        self.read_only = any(device.read_only for device, _ in stripes)

    def _runs(self, offset: int, length: int) -> Iterator[tuple[int, int, int]]:
        """(stripe, offset in it, length) of every stripe that the range touches, in the order of their first bytes."""
        count, chunk = len(self.stripes), self.chunk_bytes
        first, last = offset // chunk, (offset + length - 1) // chunk
        for number in range(first, min(last + 1, first + count)):
            final = last - (last - number) % count
            start = number // count * chunk + (offset % chunk if number == first else 0)
            end = final // count * chunk + ((offset + length - 1) % chunk + 1 if final == last else chunk)
            yield number % count, start, end - start

    def _pieces(self, offset: int, length: int) -> Iterator[tuple[int, int, int, int]]:
        """(offset here, stripe, offset in it, length) of every chunk or part of one, in order."""
        end = offset + length
        while offset < end:
            number, inner = divmod(offset, self.chunk_bytes)
            size = min(self.chunk_bytes - inner, end - offset)
            round_, stripe = divmod(number, len(self.stripes))
            yield offset, stripe, round_ * self.chunk_bytes + inner, size
            offset += size

    def _within_chunk(self, offset: int, length: int) -> bool:
        return offset % self.chunk_bytes + length <= self.chunk_bytes

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        """See `Device.read`: one read of each stripe that is touched."""
        if self._within_chunk(offset, length):
            _, stripe, inner, size = next(self._pieces(offset, length))
            return self.stripes[stripe].read(inner, size)
        answers = {stripe: self.stripes[stripe].read(start, size) for stripe, start, size in self._runs(offset, length)}
        return self._dealt(offset, length, answers)

    def read_resident(self, offset: int, length: int) -> Sequence[Buffer] | None:
        """See `Device.read_resident`: None unless every stripe has its share."""
        answers: dict[int, Sequence[Buffer]] = {}
        for stripe, start, size in self._runs(offset, length):
            views = self.stripes[stripe].read_resident(start, size)
            if views is None:
                return None
            answers[stripe] = views
        return self._dealt(offset, length, answers)

    def _dealt(self, offset: int, length: int, answers: dict[int, Sequence[Buffer]]) -> Sequence[Buffer]:
        """The chunks of the stripes' answers, in this device's order."""
        views: list[Buffer] = []
        rest = {stripe: _Cursor(answer) for stripe, answer in answers.items()}
        for _, stripe, _, size in self._pieces(offset, length):
            views += rest[stripe].take(size)
        return views

    def resident_ranges(self, offset: int, length: int) -> Sequence[FileRange] | None:
        """See `SupportsRanges.resident_ranges`: the stripes' own, chunk by chunk."""
        ranges: list[FileRange] = []
        for _, stripe, inner, size in self._pieces(offset, length):
            some = resident_ranges(self.stripes[stripe], inner, size)
            if some is None:
                return None
            ranges += some
        return ranges

    def write(self, offset: int, data: Buffer, *, fua: bool = False) -> None:
        """See `Device.write`: one write of each stripe that is touched."""
        view = memoryview(data)
        gathered: dict[int, list[memoryview]] = {}
        for position, stripe, _, size in self._pieces(offset, len(view)):
            gathered.setdefault(stripe, []).append(view[position - offset : position - offset + size])
        for stripe, start, _ in self._runs(offset, len(view)):
            parts = gathered[stripe]
            self.stripes[stripe].write(start, parts[0] if len(parts) == 1 else b"".join(parts), fua=fua)

    def flush(self) -> None:
        """See `Device.flush`: every stripe."""
        for stripe in self.stripes:
            stripe.flush()

    def discard(self, offset: int, length: int) -> None:
        """See `Device.discard`."""
        for stripe, start, size in self._runs(offset, length):
            self.stripes[stripe].discard(start, size)

    def zero(self, offset: int, length: int) -> None:
        """See `Device.zero`."""
        for stripe, start, size in self._runs(offset, length):
            self.stripes[stripe].zero(start, size)

    def extents(self, offset: int, length: int) -> Iterator[Segment]:
        """See `Device.extents`: the stripes' segments at this device's offsets; equal neighbours are one."""
        held: Segment | None = None
        for position, stripe, inner, size in self._pieces(offset, length):
            for segment in self.stripes[stripe].extents(inner, size):
                here = segment.shift(position - inner)
                if held is not None and _same_kind(held, here):
                    held = Segment(held.offset, held.length + here.length, held.source, held.allocated, held.zero)
                    continue
                if held is not None:
                    yield held
                held = here
        if held is not None:
            yield held

    def close(self) -> None:
        """See `Device.close`: the lower devices stay open."""


class _Cursor:
    """Takes the bytes of a row of views piece by piece."""

    __slots__ = ("_at", "_index", "_views")

    def __init__(self, views: Sequence[Buffer]) -> None:
        self._views = views
        self._index = 0
        self._at = 0

    def take(self, length: int) -> list[Buffer]:
        """The next `length` bytes."""
        taken: list[Buffer] = []
        while length:
            if self._index == len(self._views):
                return slice_views((), 0, length)  # short, which is an error
            view = self._views[self._index]
            part = memoryview(view)[self._at : self._at + length]
            taken.append(part)
            length -= len(part)
            self._at += len(part)
            if self._at == len(view):
                self._index += 1
                self._at = 0
        return taken


def _same_kind(one: Segment, other: Segment) -> bool:
    return (one.source, one.allocated, one.zero) == (other.source, other.allocated, other.zero)


def _refusal(identity: Identity, what: str, found: str, expected: str) -> DeviceError:
    return DeviceError(what, errno=errno.EINVAL, where=identity.name, found=found, expected=expected)
