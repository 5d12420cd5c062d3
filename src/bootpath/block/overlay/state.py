"""What an overlay's file holds, without its base: laid out, loaded, emptied, copied, and waiting for a commit."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from bootpath.block.overlay.base import identify
from bootpath.block.overlay.blockmap import ZERO, BlockMap, Space
from bootpath.block.overlay.blocks import commit_target
from bootpath.block.overlay.clusters import Clusters
from bootpath.block.overlay.journal import Journal, log_clusters, new_file, read_header, read_log
from bootpath.block.overlay.storage import OverlayStorage
from bootpath.core.device import Buffer, Device
from bootpath.core.errors import DeviceError, FormatError
from bootpath.core.limits import check_limit, limit_hint, limits
from bootpath.formats.overlayfile import (
    CLUSTER_BYTES,
    FIRST_CLUSTER,
    OverlayFileState,
    OverlayHeader,
    OverlayLog,
    iter_entries,
    record_bytes,
)

MAX_BASE_BYTES = (1 << 44) - CLUSTER_BYTES  # block numbers of 32 bits
_COPY_BYTES = 1 << 20


@dataclass(slots=True)
class OverlayState:
    """The journal, the map of blocks, their content and the use of clusters of one open file; `held` hold a block."""

    journal: Journal
    blocks: BlockMap
    clusters: Clusters
    space: Space
    held: int = 0


class Batch:
    """What was changed since the last commit, in order, and what the commit will set free.

    `checksums` says whether its record will have them.
    """

    __slots__ = ("_checksums", "_summed", "entries", "fresh", "superseded", "superseded_clusters", "trimmed")

    def __init__(self, *, checksums: bool) -> None:
        self._checksums = checksums
        self._summed = 0  # checksums that the record of the entries has
        self.entries: list[tuple[int, int, int]] = []
        self.fresh: set[int] = set()  # clusters that no record names yet
        self.superseded: list[tuple[int, int]] = []  # rewritten: used again soon
        self.superseded_clusters = 0
        self.trimmed: list[tuple[int, int]] = []  # discarded: given back to the host

    def add(self, first: int, value: int, count: int) -> None:
        """Blocks from `first` have a new value."""
        if self._checksums and value != ZERO:
            self._summed += count
        if self.entries:
            last, head, size = self.entries[-1]
            if last + size == first and value == (ZERO if head == ZERO else head + size):
                self.entries[-1] = (last, head, size + count)
                return
        self.entries.append((first, value, count))

    def log_bytes(self, entries: int = 0, clusters: int = 0) -> int:
        """The size of its record with so many entries more, of so many clusters."""
        return record_bytes(len(self.entries) + entries, self._summed + clusters if self._checksums else 0)

    def by_freshness(self, value: int, count: int) -> Iterator[tuple[int, int, bool]]:
        """The run of clusters, cut where it is fresh or not: (first cluster, clusters, fresh)."""
        fresh = self.fresh
        if not fresh or count == 1:
            yield value, count, value in fresh
            return
        start, state = value, value in fresh
        for cluster in range(value + 1, value + count):
            if (cluster in fresh) != state:
                yield start, cluster - start, state
                start, state = cluster, not state
        yield start, value + count - start, state


def lay_out(
    storage: OverlayStorage, base: Device, *, checksums: bool = True, random: Callable[[int], bytes] = os.urandom
) -> OverlayState:
    """Make empty storage an overlay of `base` that holds nothing. Reads the base's first MiB."""
    if base.size_bytes > MAX_BASE_BYTES:
        raise DeviceError(
            "the base is too large for an overlay file",
            errno=errno.EINVAL,
            where=base.identity.name,
            found=f"{base.size_bytes} bytes",
            expected=f"at most {MAX_BASE_BYTES}",
        )
    known = identify(base)
    uuid = UUID(bytes=random(16), version=4)
    journal = new_file(
        storage,
        lambda first, count, key: OverlayHeader(
            1, uuid, OverlayFileState.READY, first, count, 1, key, known, checksums
        ),
        random=random,
    )
    return OverlayState(
        journal,
        BlockMap(block_count(base.size_bytes)),
        Clusters(storage, checksums=checksums),
        Space(FIRST_CLUSTER + journal.header.log_clusters),
    )


def load(storage: OverlayStorage, *, writable: bool, random: Callable[[int], bytes] = os.urandom) -> OverlayState:
    """What an overlay's file says. When `writable`, what a crash left unfinished is cleared away and what is believed
    is made stable. Raises FormatError that names the file."""
    header, agreed = read_header(storage)
    overlay = replay(storage, header, read_log(storage, header), random=random)
    end = overlay.space.end * CLUSTER_BYTES
    if end > storage.length():
        raise FormatError(
            "the overlay file is truncated",
            where=storage.identity.name,
            found=f"{storage.length()} bytes",
            expected=f"at least {end}",
        )
    if writable:
        # After kill -9 a record may be here that no flush has made stable; what it replaced is free from now on.
        storage.flush()
        if not agreed:
            overlay.journal.repair()
        if storage.length() > end:
            storage.truncate(end)
    return overlay


def replay(
    storage: OverlayStorage,
    header: OverlayHeader,
    log: OverlayLog,
    *,
    random: Callable[[int], bytes] = os.urandom,
) -> OverlayState:
    """What header and log say, which may be more than the file has. Raises FormatError that names the file."""
    blocks = BlockMap(block_count(header.base.size_bytes))
    clusters = Clusters(storage, checksums=header.checksums)
    try:
        map_bytes = 0
        for record in log.records:
            more = _map_bytes(record.entries)
            if map_bytes + more > limits().overlay_map_bytes:
                map_bytes = blocks.memory_bytes()  # it may have named the same blocks again and again
            map_bytes += more
            check_limit("overlay_map_bytes", map_bytes, "the log of the overlay maps too many blocks", where="overlay")
            blocks.replay(iter_entries(record.entries))
            clusters.replay(record)
        used = [value << 32 | count for _, value, count in blocks.held() if value != ZERO]
        held = sum(both & 0xFFFFFFFF for both in used)
        used.append(header.log_cluster << 32 | header.log_clusters)
        space = Space.rebuild(used)
    except FormatError as error:
        raise error.at(storage.identity.name) from None
    return OverlayState(Journal(storage, header, log, random=random), blocks, clusters, space, held=held)


def _map_bytes(entries: bytes) -> int:
    """About what the entries take in a `BlockMap`: four bytes a block, or a place for 1024 that read as zeros."""
    return sum(count // 8 if value == ZERO else count * 4 for _, value, count in iter_entries(entries))


def new_log(storage: OverlayStorage, space: Space, clusters: int) -> int:
    """The first of so many adjacent clusters that read as zeros and have their space. ENOSPC, with nothing changed,
    also for a log that would be too long to be read again."""
    if clusters * CLUSTER_BYTES > limits().overlay_log_bytes:
        raise DeviceError(
            "the overlay is full: its log would be longer than may be read again",
            errno=errno.ENOSPC,
            where=storage.identity.name,
            hint=limit_hint("overlay_log_bytes"),
        )
    first = space.take_run(clusters)
    offset, length = first * CLUSTER_BYTES, clusters * CLUSTER_BYTES
    try:
        if first + clusters < space.end:
            storage.discard(offset, length)
        storage.allocate(offset, length)
    except DeviceError:
        space.untake([(first, clusters)])
        with contextlib.suppress(DeviceError):
            if storage.length() > space.end * CLUSTER_BYTES:
                storage.truncate(space.end * CLUSTER_BYTES)
        raise
    return first


def empty(storage: OverlayStorage, overlay: OverlayState, **changes: object) -> None:
    """Start a log with an empty map, all or nothing; the header gets `changes`. The clusters stay taken."""
    clusters = log_clusters()
    first = new_log(storage, overlay.space, clusters)
    overlay.journal.restart(first, clusters, b"", b"", **changes)
    overlay.blocks = BlockMap(overlay.blocks.blocks)
    overlay.held = 0


def clear_space(storage: OverlayStorage, overlay: OverlayState) -> None:
    """After `empty`: everything but the headers and the log is free, and goes back to the host."""
    header = overlay.journal.header
    low, high = header.log_cluster, header.log_cluster + header.log_clusters
    with contextlib.suppress(DeviceError):  # space is not given back; nothing is lost
        if low > FIRST_CLUSTER:
            storage.discard(FIRST_CLUSTER * CLUSTER_BYTES, (low - FIRST_CLUSTER) * CLUSTER_BYTES)
        if storage.length() > high * CLUSTER_BYTES:
            storage.truncate(high * CLUSTER_BYTES)
    overlay.space = Space(high)
    if low > FIRST_CLUSTER:
        overlay.space.release([(FIRST_CLUSTER, low - FIRST_CLUSTER)])


def held_content(overlay: OverlayState, size_bytes: int) -> Iterator[tuple[int, int, Sequence[Buffer] | None]]:
    """(offset, length, content) of everything that is held, in pieces; None for zeros. Raises as a read."""
    for block, value, count in overlay.blocks.held():
        start = block * CLUSTER_BYTES
        size = min(count * CLUSTER_BYTES, size_bytes - start)
        if value == ZERO:
            yield start, size, None
            continue
        for position in range(0, size, _COPY_BYTES):
            low, length = start + position, min(_COPY_BYTES, size - position)
            yield low, length, overlay.clusters.read(value + position // CLUSTER_BYTES, 0, length, low)


def copy_held(overlay: OverlayState, target: Device, size_bytes: int) -> int:
    """Write what is held to `target` and flush it; the bytes written or zeroed."""
    target = commit_target(target, size_bytes)
    total = 0
    for start, size, views in held_content(overlay, size_bytes):
        if views is None:
            target.zero(start, size)
        else:
            target.write(start, views[0] if len(views) == 1 else b"".join(views))
        total += size
    target.flush()
    return total


def pair(
    moved: Iterable[tuple[int, int, int]], clusters: Iterable[tuple[int, int]]
) -> Iterator[tuple[int, int, int, int]]:
    """Give (first block, old value, blocks) runs the clusters: (block, new cluster, blocks, old value) rows."""
    supply = iter(clusters)
    cluster, left = 0, 0
    for block, value, count in moved:
        while count:
            if not left:
                cluster, left = next(supply)
            size = min(count, left)
            yield block, cluster, size, value
            block += size
            cluster += size
            left -= size
            count -= size
            if value > ZERO:
                value += size


def block_count(size_bytes: int) -> int:
    """Blocks of a disk; the last may be a short one."""
    return -(-size_bytes // CLUSTER_BYTES)
