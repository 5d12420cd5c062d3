"""What is written into an overlay's file: blocks into clusters, and commits.

The rules that make a crash harmless are those of `overlayfile`; they are kept here. One lock is held while states
change and data is written; commits have another, taken before the first, and only its holder waits for a flush.
"""

from __future__ import annotations

import contextlib
import errno
import threading
from collections.abc import Callable

from bootpath.block.overlay.blockmap import CLEAN, ZERO, BlockMap, merged
from bootpath.block.overlay.journal import log_clusters, too_long
from bootpath.block.overlay.state import Batch, OverlayState, clear_space, new_log, pair
from bootpath.block.overlay.storage import OverlayStorage
from bootpath.core.errors import DeviceError
from bootpath.core.limits import limit_hint, limits
from bootpath.formats.overlayfile import CLUSTER_BYTES, iter_entries, pack_entries

# Commit unasked when so much waits for it: 256 KiB of log, 256 MiB of new data, 64 MiB that could be used again.
_COMMIT_ENTRIES = 16384
_COMMIT_FRESH = 65536
_COMMIT_SUPERSEDED = 16384
_PUNCH_CLUSTERS = 16  # smaller holes are not worth their system call


class _LogFullError(Exception):
    """The log has no room for a record of that size."""

    def __init__(self, log_bytes: int) -> None:
        super().__init__(log_bytes)
        self.log_bytes = log_bytes


class _CapError(DeviceError):
    """More would be held than may be; no commit can help."""


class OverlayWriter:
    """Writes blocks of 4 KiB. `max_clusters` caps how many are held; `name` is for messages."""

    def __init__(self, storage: OverlayStorage, overlay: OverlayState, *, max_clusters: int | None, name: str) -> None:
        self.lock = threading.Lock()
        self.held = overlay.held
        self.reuses = 0  # how often clusters became free: who read meanwhile may have read another block's data
        self._commit_lock = threading.Lock()
        self._storage = storage
        self._state = overlay
        self._max_clusters = max_clusters
        self._name = name
        self._batch = self._new_batch()
        self._committing_bytes = 0  # of the record that is being written
        self._failed: str | None = None
        self._full = False  # the log is too long for more blocks

    @property
    def blocks(self) -> BlockMap:
        """Where each block is; readers need no lock."""
        return self._state.blocks

    def _new_batch(self) -> Batch:
        return Batch(checksums=self._state.journal.header.checksums)

    # Changes

    def apply(self, change: Callable[[], bool]) -> bool:
        """Run `change` under the lock and return what it does. Raises DeviceError.

        It is run again with a new log when the old one is full, and once more when the host's disk is full and a commit
        can set clusters free.
        """
        batch = self._batch
        if (
            len(batch.entries) >= _COMMIT_ENTRIES
            or len(batch.fresh) >= _COMMIT_FRESH
            or batch.superseded_clusters >= _COMMIT_SUPERSEDED
        ):
            self.commit()
        reclaimed = False
        while True:
            log_bytes = 0
            with self.lock:
                self._refuse_failed()
                try:
                    return change()
                except _LogFullError as full:
                    log_bytes = full.log_bytes
                except DeviceError as error:
                    waiting = self._batch.superseded or self._batch.trimmed
                    if error.errno != errno.ENOSPC or isinstance(error, _CapError) or reclaimed or not waiting:
                        raise
                    reclaimed = True
            self.commit(log_bytes)

    def _need_room(self, entries: int, clusters: int = 0) -> None:
        """Refuse when the log has no room for what is being committed, what waits, and so much more."""
        log_bytes = self._batch.log_bytes(entries, clusters)
        if self._committing_bytes + log_bytes > self._state.journal.room_bytes:
            raise _LogFullError(log_bytes)

    def trim(self, first: int, stop: int) -> None:
        """The blocks read as zeros and take no space. Raises DeviceError."""

        def change() -> bool:
            blocks, batch = self._state.blocks, self._batch
            runs = [run for run in blocks.runs(first, stop) if run[1] != ZERO]
            self._need_room(len(runs))
            for block, value, count in runs:
                blocks.set_run(block, ZERO, count)
                batch.add(block, ZERO, count)
                if value != CLEAN:
                    self.held -= count
                    self._drop(value, count)
            return True

        self.apply(change)

    def _drop(self, value: int, count: int) -> None:
        """Clusters lost their block: free at once when no record names them, else after the next commit."""
        batch = self._batch
        for start, size, fresh in batch.by_freshness(value, count):
            if fresh:
                batch.fresh.difference_update(range(start, start + size))
                self.reuses += 1
                self._state.space.release([(start, size)])
            else:
                batch.trimmed.append((start, size))

    def store(self, first: int, stop: int, content: memoryview) -> None:
        """Write whole blocks; called under the lock. ENOSPC with nothing changed.

        New clusters come first: only they can be refused, and nothing refers to them yet.
        """
        blocks, space, batch = self._state.blocks, self._state.space, self._batch
        moved: list[tuple[int, int, int]] = []
        placed: list[tuple[int, int, int]] = []
        for block, value, count in blocks.runs(first, stop):
            if value in (CLEAN, ZERO):
                moved.append((block, value, count))
                continue
            for start, size, fresh in batch.by_freshness(value, count):
                (placed if fresh else moved).append((block + start - value, start, size))
        if moved:
            added = sum(count for _, value, count in moved if value in (CLEAN, ZERO))
            self._need_space(added)
            wanted = sum(count for _, _, count in moved)
            clusters = space.take(wanted)
            rows = list(pair(moved, clusters))
            try:
                self._need_room(len(rows), wanted)
                for block, cluster, count, _ in rows:
                    self._write_blocks(cluster, content, block - first, count)
            except BaseException:
                space.untake(clusters)
                raise
            for block, cluster, count, value in rows:
                blocks.set_run(block, cluster, count)
                batch.add(block, cluster, count)
                batch.fresh.update(range(cluster, cluster + count))
                if value not in (CLEAN, ZERO):
                    batch.superseded.append((value, count))
                    batch.superseded_clusters += count
            self.held += added
        for block, cluster, count in placed:
            self._write_blocks(cluster, content, block - first, count)

    def _need_space(self, added: int) -> None:
        """Raises ENOSPC when more would be held than may be, or than is read again."""
        # A sixteenth is left: who reads the log counts a record before it knows which of its blocks are new.
        if added and self._state.blocks.exceeds(limits().overlay_map_bytes * 15 // 16):
            raise _CapError(
                "the overlay is full: the map of its blocks would be larger than may be read again",
                errno=errno.ENOSPC,
                where=self._name,
                hint=limit_hint("overlay_map_bytes"),
            )
        if added and self._full:
            raise _CapError(
                "the overlay is full: with more blocks its log would be longer than what is read again",
                errno=errno.ENOSPC,
                where=self._name,
                hint=limit_hint("overlay_log_bytes"),
            )
        if self._max_clusters is not None and added and self.held + added > self._max_clusters:
            raise _CapError(
                f"the overlay is full: {self.held} blocks of 4096 bytes are held, {added} more are needed",
                errno=errno.ENOSPC,
                where=self._name,
                expected=f"at most {self._max_clusters}",
            )

    def _write_blocks(self, cluster: int, content: memoryview, index: int, count: int) -> None:
        self._state.clusters.write(cluster, content[index * CLUSTER_BYTES : (index + count) * CLUSTER_BYTES])

    # Commits

    def _refuse_failed(self) -> None:
        if self._failed is not None:
            raise DeviceError(f"nothing can be written after a failure: {self._failed}", where=self._name)

    def commit(self, log_bytes: int = 0) -> None:
        """Make what was written stable, in a new log when the old one has no room for `log_bytes`."""
        journal, space, storage = self._state.journal, self._state.space, self._storage
        with self._commit_lock:
            with self.lock:
                self._refuse_failed()
                batch = self._batch
                restart = log_bytes > journal.room_bytes
                if not batch.entries and not restart:
                    return
                if restart:
                    entries = self._state.blocks.pack()
                    checksums = self._state.clusters.pack(iter_entries(entries))
                    self._full = too_long(entries, checksums)
                    # What waits during the restart is admitted by the old log's room.
                    clusters = log_clusters(entries, checksums, spare_bytes=log_bytes + journal.room_bytes)
                    cluster = new_log(storage, space, clusters)
                    batch.trimmed.append((journal.header.log_cluster, journal.header.log_clusters))
                self._batch = self._new_batch()
                self._committing_bytes = batch.log_bytes()
            try:
                if restart:
                    journal.restart(cluster, clusters, entries, checksums)
                else:
                    entries, checksums = pack_entries(batch.entries), self._state.clusters.pack(batch.entries)
                    storage.flush()
                    journal.append(entries, checksums)
            except BaseException as error:
                self._failed = str(error) or type(error).__name__
                raise
            self._give_back(batch)

    def _give_back(self, batch: Batch) -> None:
        """After a commit: what its batch replaced is free."""
        trimmed = merged(batch.trimmed)
        for first, count in trimmed:
            if count >= _PUNCH_CLUSTERS:
                with contextlib.suppress(DeviceError):  # space is not given back; nothing is lost
                    self._storage.discard(first * CLUSTER_BYTES, count * CLUSTER_BYTES)
        with self.lock:
            self._committing_bytes = 0
            if trimmed or batch.superseded:
                self.reuses += 1
                self._state.space.release(trimmed)
                self._state.space.release(reversed(merged(batch.superseded)))

    def reset(self) -> None:
        """Forget every change, all or nothing; that is stable when this returns. Raises DeviceError."""
        overlay, storage = self._state, self._storage
        with self._commit_lock, self.lock:
            self._refuse_failed()
            clusters = log_clusters()
            cluster = new_log(storage, overlay.space, clusters)
            try:
                overlay.journal.restart(cluster, clusters, b"", b"")
            except BaseException as error:
                self._failed = str(error) or type(error).__name__
                raise
            overlay.blocks = BlockMap(overlay.blocks.blocks)
            self.reuses += 1  # before any cluster is another's
            self._batch = self._new_batch()
            self.held = 0
            clear_space(storage, overlay)

    def close(self) -> None:
        """Commit what waits and say in the log that this is all. After a failed commit there is nothing to do."""
        if self._failed is None:
            self.commit()
            if not self._state.journal.closed:
                self._state.journal.close()
