"""overlay in a file: copy-on-write over any base, which is only ever read, kept across runs and safe against crashes.

What a crash may do, with kill -9 or with the power gone and unflushed writes in any order, torn anywhere: the disk is
afterwards what it was at one moment at or after the last completed flush. So what was flushed (or written with `fua`)
is there, and a 4 KiB block is old or new, never a mixture. Nothing that counts is written in place:

1. A block gets a new cluster the first time it is written after a commit. Only a cluster that no record names yet is
   written again in place.
2. A commit makes the data stable, then appends one checksummed record that says what changed, then makes that stable.
3. A cluster is used again when the record that no longer needs it is stable.

A flush is a commit; one is also made unasked when much is waiting for it, which only moves the moment. Space for a
record is there before the write it is about is accepted, so a flush does not fail for want of it. After a flush that
failed nobody knows what is stable (Linux forgets what it could not write): every later write and flush fails with EIO,
until the file is opened again.

Granularity is 4 KiB whatever the logical block size, as in `overlay`. A write to part of a block reads that one block.
A discarded or zeroed block takes no space; the space of what it was goes back to the host's file system. Where the file
keeps checksums, a block that does not match its own is EIO until it is written as a whole.

Threads: one lock is held while states change and the file is written, never while the base is read or a flush is
waited for; flushes have another, taken before the first. Readers take no lock: they look whether clusters were given
out anew while they were reading, and read again if so.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence

from bootpath.block.leaves.constant import zero_views
from bootpath.block.overlay.base import identify, refuse_other_base
from bootpath.block.overlay.blockmap import CLEAN, ZERO
from bootpath.block.overlay.blocks import BLOCK_MASK as _MASK
from bootpath.block.overlay.blocks import BLOCK_SHIFT as _SHIFT
from bootpath.block.overlay.blocks import BaseBlocks
from bootpath.block.overlay.state import OverlayState, copy_held, lay_out, load
from bootpath.block.overlay.storage import GrowingFile, OverlayStorage
from bootpath.block.overlay.writer import OverlayWriter
from bootpath.block.views import extents_wide
from bootpath.core.device import Buffer, Device, Identity, Segment
from bootpath.core.errors import DeviceError, IntegrityError
from bootpath.core.extents import Extent, ExtentSet
from bootpath.formats.overlayfile import CLUSTER_BYTES, OverlayFileState

_READ_TRIES = 3


class OverlayFile:
    """A writable device over `base`, kept in a file. Made by `create` and `open`.

    `max_bytes` caps the bytes of blocks that are held (None: no cap but the host's disk); the file itself is larger by
    its log and by what waits for the next flush. `block_bytes` is the logical block size (None: the base's). Closing
    the overlay commits what was written, and closes `base` only when it `owns` it. Raises DeviceError (EINVAL) when
    the base's size is not a multiple of `block_bytes`.
    """

    def __init__(
        self,
        storage: OverlayStorage,
        overlay: OverlayState,
        base: Device,
        *,
        writable: bool = True,
        max_bytes: int | None = None,
        block_bytes: int | None = None,
        identity: Identity | None = None,
        owns: bool = False,
    ) -> None:
        self.base = base
        self.size_bytes = base.size_bytes
        self.block_bytes = block_bytes or base.block_bytes
        self.read_only = not writable
        self.identity = identity or base.identity
        self._base = BaseBlocks(base, self.block_bytes)
        self._read_base = self._base.read
        self._read_base_resident = self._base.read_resident
        self._storage = storage
        self._state = overlay
        max_clusters = None if max_bytes is None else max_bytes // CLUSTER_BYTES
        self._writer = OverlayWriter(storage, overlay, max_clusters=max_clusters, name=self.identity.name)
        self._owns = owns
        self._closed = False

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        base: Device,
        *,
        checksums: bool = True,
        max_bytes: int | None = None,
        block_bytes: int | None = None,
        identity: Identity | None = None,
        owns: bool = False,
    ) -> OverlayFile:
        """Make a new file that holds nothing, and open it. EEXIST when there is one; no file is left on an error.

        Without `checksums`, damage of what it holds will not be noticed. Reads the base's first MiB, by which the
        overlay will know it again.
        """
        storage = GrowingFile.create(path)
        try:
            overlay = lay_out(storage, base, checksums=checksums)
            return cls(
                storage, overlay, base, max_bytes=max_bytes, block_bytes=block_bytes, identity=identity, owns=owns
            )
        except BaseException:
            storage.close()
            with contextlib.suppress(OSError):
                os.unlink(path)
            raise

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        base: Device,
        *,
        writable: bool = True,
        max_bytes: int | None = None,
        block_bytes: int | None = None,
        identity: Identity | None = None,
        owns: bool = False,
    ) -> OverlayFile:
        """Open an existing file over the base it was made for, in time proportional to what it holds.

        DeviceError: EBUSY when it is in use, EINVAL when it belongs to another base (which says what differs) or a
        commit into the base has begun. FormatError when it is damaged.
        """
        storage = GrowingFile.open_locked(path, writable=writable)
        try:
            overlay = load_for(storage, base, writable=writable)
            return cls(
                storage,
                overlay,
                base,
                writable=writable,
                max_bytes=max_bytes,
                block_bytes=block_bytes,
                identity=identity,
                owns=owns,
            )
        except BaseException:
            storage.close()
            raise

    # Reading

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        """See `Device.read`. EIO when the base or the file fails."""
        if self._writer.blocks.untouched(offset >> _SHIFT, (offset + length + _MASK) >> _SHIFT):
            return self._read_base(offset, length)
        for _ in range(_READ_TRIES):
            reuses = self._writer.reuses
            try:
                parts = self._held_parts(offset, length)
            except IntegrityError:  # or it is being written: with the lock it is not
                continue
            if reuses == self._writer.reuses:
                break
        else:
            with self._writer.lock:
                parts = self._held_parts(offset, length)
        views: list[Buffer] = []
        for part in parts:
            views += self._read_base(part.offset, part.length) if isinstance(part, Extent) else part
        return views

    def _held_parts(self, offset: int, length: int) -> list[Extent | Sequence[Buffer]]:
        """What the file holds of the range, and the extents that the base has."""
        parts: list[Extent | Sequence[Buffer]] = []
        for start, size, value, low in self._runs(offset, length):
            if value == CLEAN:
                parts.append(Extent(start, size))
            elif value == ZERO:
                parts.append(zero_views(size))
            else:
                parts.append(self._state.clusters.read(value, low, size, start))
        return parts

    def read_resident(self, offset: int, length: int) -> Sequence[Buffer] | None:
        """See `Device.read_resident`: None unless the base and the page cache have their shares."""
        reuses = self._writer.reuses
        views: list[Buffer] = []
        for start, size, value, low in self._runs(offset, length):
            some: Sequence[Buffer] | None
            if value == CLEAN:
                some = self._read_base_resident(start, size)
            elif value == ZERO:
                some = zero_views(size)
            else:
                some = self._state.clusters.read_resident(value, low, size)
            if some is None:
                return None
            views += some
        return views if reuses == self._writer.reuses else None

    def _runs(self, offset: int, length: int) -> Iterator[tuple[int, int, int, int]]:
        """(offset, length, value of the first block, offset in it) for the range."""
        end = offset + length
        for first, value, count in self._writer.blocks.runs(offset >> _SHIFT, (end + _MASK) >> _SHIFT):
            start = max(offset, first << _SHIFT)
            yield start, min(end, (first + count) << _SHIFT) - start, value, start - (first << _SHIFT)

    def extents(self, offset: int, length: int) -> Iterator[Segment]:
        """See `Device.extents`: "overlay", "zero" (neither allocated nor anything but zeros), or the base's own."""
        held: tuple[int, int] | None = None
        for start, size, value, _ in self._runs(offset, length):
            if value > ZERO:
                held = (start, size) if held is None else (held[0], held[1] + size)
                continue
            if held is not None:
                yield Segment(*held, "overlay")
                held = None
            if value == ZERO:
                yield Segment(start, size, "zero", allocated=False, zero=True)
            else:
                yield from extents_wide(self.base, start, size)
        if held is not None:
            yield Segment(*held, "overlay")

    # Writing

    def write(self, offset: int, data: Buffer, *, fua: bool = False) -> None:
        """See `Device.write`. ENOSPC at the cap or on a full host disk, with nothing applied; EIO when a block must be
        read and cannot be. With `fua`, everything that was written before is stable too."""
        self._change(offset, memoryview(data).cast("B"))
        if fua:
            self.flush()

    @property
    def writes_any_bytes(self) -> bool:
        """See `SupportsAnyBytes.writes_any_bytes`: its blocks are larger than its base's anyway."""
        return True

    def zero(self, offset: int, length: int) -> None:
        """See `Device.zero`: whole blocks take no space afterwards, parts of blocks are written."""
        end = offset + length
        first, stop = self._base.whole(offset, end)
        if first >= stop:
            self._change(offset, memoryview(bytes(length)))
            return
        if head := (first << _SHIFT) - offset:
            self._change(offset, memoryview(bytes(head)))
        self._writer.trim(first, stop)
        if (tail := end - (stop << _SHIFT)) > 0:
            self._change(end - tail, memoryview(bytes(tail)))

    def discard(self, offset: int, length: int) -> None:
        """See `Device.discard`: whole blocks read as zeros and take no space, parts of blocks are left alone."""
        first, stop = self._base.whole(offset, offset + length)
        if first < stop:
            self._writer.trim(first, stop)

    def _change(self, offset: int, data: memoryview) -> None:
        """Write any bytes. The blocks that are written in part are read from the base before the lock is taken."""
        end = offset + len(data)
        first, stop = offset >> _SHIFT, (end + _MASK) >> _SHIFT
        edges = self._base.edges(offset, end)
        originals: dict[int, bytes] = {}

        def change() -> bool:
            if any(self._writer.blocks.get(block) == CLEAN and block not in originals for block in edges):
                return False
            content = data
            if edges or len(data) & _MASK:
                low = offset - (first << _SHIFT)
                whole = bytearray((stop - first) << _SHIFT)
                for block in edges:
                    place = (block - first) << _SHIFT
                    whole[place : place + CLUSTER_BYTES] = self._content(block, originals)
                whole[low : low + len(data)] = data
                content = memoryview(whole)
            self._writer.store(first, stop, content)
            return True

        while True:
            for block in edges:
                if block not in originals and self._writer.blocks.get(block) == CLEAN:
                    originals[block] = self._base.block(block)
            if self._writer.apply(change):
                return

    def _content(self, block: int, originals: dict[int, bytes]) -> bytes:
        value = self._writer.blocks.get(block)
        if value == CLEAN:
            return originals[block]
        if value == ZERO:
            return bytes(CLUSTER_BYTES)
        return b"".join(self._state.clusters.read(value, 0, CLUSTER_BYTES, block << _SHIFT))

    def flush(self) -> None:
        """See `Device.flush`. EIO when the file's storage fails, and from then on."""
        if not self.read_only:
            self._writer.commit()

    # What changed

    @property
    def held_bytes(self) -> int:
        """Bytes of the blocks that are held, in whole 4 KiB blocks; they count against `max_bytes`."""
        return self._writer.held << _SHIFT

    @property
    def dirty_bytes(self) -> int:
        """The same: every block that is held differs from the base, as far as is known."""
        return self.held_bytes

    def dirty_extents(self) -> ExtentSet:
        """What was changed: every written, discarded or zeroed block, cut to the device's size."""
        with self._writer.lock:
            runs = list(self._writer.blocks.held())
        size = self.size_bytes
        return ExtentSet(
            Extent(first << _SHIFT, min(count << _SHIFT, size - (first << _SHIFT))) for first, _, count in runs
        )

    def reset(self) -> None:
        """Forget every change, all or nothing; that is stable when this returns."""
        self._writer.reset()

    def commit(self, target: Device) -> int:
        """Write every changed block to `target` and flush it; returns the bytes written or zeroed.

        The overlay itself is unchanged, and nobody may write to it meanwhile. Not for its own base, which it would not
        know again: `commit_overlay` is for that. Raises as `Overlay.commit`.
        """
        return copy_held(self._state, target, self.size_bytes)

    def close(self) -> None:
        """See `Device.close`: what was written is committed first, and the log says that this is all."""
        if self._closed:
            return
        self._closed = True
        try:
            if not self.read_only:
                self._writer.close()
        finally:
            self._storage.close()
            if self._owns:
                self.base.close()


def load_for(storage: OverlayStorage, base: Device, *, writable: bool) -> OverlayState:
    """What the file holds, if it may be used over this base. Raises as `OverlayFile.open`."""
    overlay = load(storage, writable=writable)
    header = overlay.journal.header
    if header.state is OverlayFileState.COMMITTING:
        raise DeviceError(
            "a commit into its base has begun and did not end",
            errno=errno.EINVAL,
            where=storage.identity.name,
            hint="commit it again",
        )
    refuse_other_base(header.base, identify(base), storage.identity.name)
    return overlay
