"""The live disk: a preload in RAM, the rest from a disk that may come late, and an overlay for what is written.

The live disk is a composition, not a class with branches: `live_disk` is ``checked(Overlay(Live(preload, late)))``.
`Live` itself only reads. Offsets are those of the file system, and the late disk is the file system's own device (a
partition, cut out with `Linear`), so both halves use the same ones.

`accept_same_disk` is the judgement for `LateDisk`: a path or "the first disk" is no identity. `Classic` is the daemon
that came before, which can only serve what is preloaded, kept to compare with.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from bootpath.block.live.late import LateDisk
from bootpath.block.live.preload import Preload
from bootpath.block.overlay.ram import Overlay
from bootpath.block.targets.readonly import ReadOnly
from bootpath.block.views import extents_wide, read_wide
from bootpath.core.device import Buffer, Checked, Device, Direct, FileRange, Identity, Segment, checked
from bootpath.core.errors import DeviceError
from bootpath.core.extents import Extent

_PROBE_CHUNK = 64 << 10


class Live(ReadOnly):
    """`size_bytes` of file system: `extents` of it packed in `preload`, everything else on `late`'s disk.

    Closing it closes the late disk only when it `owns` it. Raises DeviceError (EINVAL) as `Preload` does, and when
    the size is not a multiple of `block_bytes`.
    """

    def __init__(
        self,
        preload: Buffer,
        extents: Sequence[Extent],
        size_bytes: int,
        late: LateDisk,
        *,
        block_bytes: int = 512,
        identity: Identity | None = None,
        owns: bool = False,
    ) -> None:
        if size_bytes % block_bytes:
            raise DeviceError(
                "the live disk does not end on a block",
                errno=errno.EINVAL,
                where="live disk",
                found=f"{size_bytes} bytes",
                expected=f"a multiple of {block_bytes}",
            )
        self.size_bytes = size_bytes
        self.block_bytes = block_bytes
        self.identity = identity or Identity("live")
        self.preload = Preload(preload, extents, size_bytes)
        self.late = late
        self._owns = owns

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        """See `Device.read`: split by byte at the preload's edges. EIO when the disk is needed and does not come."""
        view = self.preload.view(offset, length)
        if view is not None:
            return (view,)
        views: list[Buffer] = []
        for start, size, part in self.preload.split(offset, length):
            if part is None:
                views += self.late.read(start, size)
            else:
                views.append(part)
        return views

    def read_resident(self, offset: int, length: int) -> Sequence[Buffer] | None:
        """See `Device.read_resident`: what is preloaded, or what the disk has resident if it is there."""
        view = self.preload.view(offset, length)
        if view is not None:
            return (view,)
        views: list[Buffer] = []
        for start, size, part in self.preload.split(offset, length):
            some = self.late.read_resident(start, size) if part is None else (part,)
            if some is None:
                return None
            views += some
        return views

    def resident_ranges(self, offset: int, length: int) -> Sequence[FileRange] | None:
        """See `SupportsRanges.resident_ranges`: of the preload, when it is in pages, and of the disk."""
        preload = self.preload
        whole = preload.range(offset, length)
        if whole is not None:
            return (whole,)
        ranges: list[FileRange] = []
        for start, size, part in preload.split(offset, length):
            if part is None:
                some = self.late.resident_ranges(start, size)
                if some is None:
                    return None
                ranges += some
            else:
                one = preload.range(start, size)
                if one is None:
                    return None
                ranges.append(one)
        return ranges

    def extents(self, offset: int, length: int) -> Iterator[Segment]:
        """See `Device.extents`: "preload", or "disk" with the holes the disk knows, if it is there; never waits."""
        for start, size, part in self.preload.split(offset, length):
            disk = self.late.get_nowait()
            if part is not None:
                yield Segment(start, size, "preload")
            elif disk is None:
                yield Segment(start, size, "disk")
            else:
                for segment in extents_wide(disk, start, size):
                    yield Segment(segment.offset, segment.length, "disk", segment.allocated, segment.zero)

    def direct(self) -> Direct | None:
        """See `SupportsDirect.direct`: the preload, when it is all of the disk in one run."""
        view = self.preload.view(0, self.size_bytes)
        return None if view is None else Direct(0, self.size_bytes, writable=False, buffer=view)

    def close(self) -> None:
        """See `Device.close`: an owned late disk is closed."""
        if self._owns:
            self.late.close()


def live_disk(
    preload: Buffer,
    extents: Sequence[Extent],
    size_bytes: int,
    late: LateDisk,
    *,
    block_bytes: int = 512,
    max_bytes: int | None = None,
    identity: Identity | None = None,
) -> Checked:
    """The whole live disk: `Live` under an `Overlay` capped at `max_bytes`, checked. It owns and closes `late`."""
    live = Live(preload, extents, size_bytes, late, block_bytes=block_bytes, identity=identity, owns=True)
    return checked(Overlay(live, max_bytes=max_bytes, owns=True))


def accept_same_disk(
    preload: Buffer,
    extents: Sequence[Extent],
    size_bytes: int,
    *,
    identity: Identity,
    probes: Sequence[Extent],
) -> Callable[[Device], None]:
    """The `accept` of a LateDisk: refuses every disk but the one that the preload was read from.

    In this order: the identities that both sides know (uuid, and the disk's and the partition's GPT GUIDs, since a dd
    copy has the same uuid and the same bytes) must be equal; the disk must hold `size_bytes` (a truncated one does
    not); the bytes of every probe, for example the header ring, must equal the preload's. A refusal is a DeviceError
    (EIO) that names what was expected and found. Raises DeviceError (EINVAL) at once for a probe that is not preloaded.
    """
    known = Preload(preload, extents, size_bytes)
    wanted: list[tuple[int, memoryview]] = []
    for probe in probes:
        for start, size, part in known.split(probe.offset, probe.length):
            if part is None:
                raise DeviceError(
                    f"probe of {size} bytes at {start} is not preloaded", errno=errno.EINVAL, where=identity.name
                )
            wanted.append((start, part))

    def accept(candidate: Device) -> None:
        where = candidate.identity.name
        for field in ("uuid", "disk_guid", "partition_guid"):
            expected, found = getattr(identity, field), getattr(candidate.identity, field)
            if expected is not None and found is not None and expected != found:
                raise DeviceError(
                    f"the disk is another one: its {field} differs", where=where, expected=expected, found=found
                )
        if candidate.size_bytes < size_bytes:
            raise DeviceError(
                "the disk is truncated",
                where=where,
                found=f"{candidate.size_bytes} bytes",
                expected=f"at least {size_bytes}",
            )
        for start, view in wanted:
            for inner in range(0, len(view), _PROBE_CHUNK):
                part = bytes(view[inner : inner + _PROBE_CHUNK])
                if b"".join(read_wide(candidate, start + inner, len(part))) != part:
                    raise DeviceError(
                        f"the disk differs from the preload in the {len(part)} bytes at {start + inner}",
                        where=where,
                        hint="is it another disk, or was it written since?",
                    )

    return accept


class Classic:
    """The old daemon, to compare with: the preload is the whole disk, and nothing is ever read from anywhere else.

    As Redox's `lived` (drivers, storage/lived/src/main.rs): blocks of one page, a size of what was preloaded, a copy of
    every block that was ever written, and EINVAL for any access past the end. It holds its own bounds, because they are
    part of what it is. `shown_bytes` is another size to show: upstream's open never asks a disk for its size and so
    reads past the end, while an opener that does ask would refuse the disk before it meets the error that users met.
    """

    read_only = False

    def __init__(
        self,
        preload: Buffer,
        *,
        block_bytes: int = 4096,
        shown_bytes: int | None = None,
        identity: Identity | None = None,
    ) -> None:
        self._original = memoryview(preload).cast("B").toreadonly()
        self._blocks: dict[int, bytearray] = {}
        self.block_bytes = block_bytes
        self._end = len(self._original) - len(self._original) % block_bytes
        self.size_bytes = self._end if shown_bytes is None else shown_bytes
        self.identity = identity or Identity("classic live")

    def _check(self, operation: str, offset: int, length: int) -> range:
        if offset % self.block_bytes or length % self.block_bytes or offset + length > self._end:
            raise DeviceError(
                f"{operation} of {length} bytes at {offset} is outside the preload or misaligned",
                errno=errno.EINVAL,
                where=self.identity.name,
                expected=f"blocks of {self.block_bytes} bytes below {self._end}",
            )
        return range(offset, offset + length, self.block_bytes)

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        """See `Device.read`. EINVAL past the preload."""
        return [
            self._blocks.get(start, self._original[start : start + self.block_bytes])
            for start in self._check("read", offset, length)
        ]

    def read_resident(self, offset: int, length: int) -> Sequence[Buffer] | None:
        """See `Device.read_resident`: everything is in RAM."""
        return self.read(offset, length)

    def write(self, offset: int, data: Buffer, *, fua: bool = False) -> None:
        """See `Device.write`. EINVAL past the preload."""
        for start in self._check("write", offset, len(data)):
            self._blocks[start] = bytearray(data[start - offset : start - offset + self.block_bytes])

    def flush(self) -> None:
        """See `Device.flush`: nothing to do."""

    def discard(self, offset: int, length: int) -> None:
        """See `Device.discard`: the old daemon had none, so nothing happens."""
        self._check("discard", offset, length)

    def zero(self, offset: int, length: int) -> None:
        """See `Device.zero`: written as zeros."""
        self._check("zero", offset, length)
        self.write(offset, bytes(length))

    def extents(self, offset: int, length: int) -> Iterator[Segment]:
        """See `Device.extents`."""
        blocks = self._check("extents", offset, length)
        for written, run in groupby(blocks, key=self._blocks.__contains__):
            starts = list(run)
            yield Segment(starts[0], len(starts) * self.block_bytes, "overlay" if written else "preload")

    def close(self) -> None:
        """See `Device.close`: nothing is held."""
