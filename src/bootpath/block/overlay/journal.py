"""The headers and the log of one open overlay file: what makes a change of its map all or nothing.

- `append`: one record at the tail of the log, then a flush. Its caller has made stable what the record refers to.
- `restart`: a new log elsewhere that begins with a checkpoint, flush, the one header, flush, the other header, flush.
  Until the first header is stable the old log counts; the old log's clusters are free only when both are.

A record that was not finished is overwritten by the next. So that those which were finished and are damaged later do
not look like it, a file with checksums gets a mark behind each commit, once that is stable, and when it is closed its
header says how many records there are. Nobody waits for the mark, and the next record is written over it.

A header that is damaged, or older because the power went between the two, is written again by `repair`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace

from bootpath.block.overlay.storage import OverlayStorage
from bootpath.core.errors import DeviceError, FormatError
from bootpath.core.limits import check_limit, limits
from bootpath.formats.overlayfile import (
    CHECKSUM_BYTES,
    CLUSTER_BYTES,
    ENTRY,
    FIRST_CLUSTER,
    HEADER_BYTES,
    KEY_BYTES,
    LogRecord,
    OverlayHeader,
    OverlayLog,
    RecordKind,
    choose_header,
    pack_header,
    pack_record,
    parse_log,
    record_bytes,
)

LOG_MIN_BYTES = 256 << 10
_RESERVE_BYTES = 2 * record_bytes(0)  # for the mark that a killed process left, and for the last record of all


def read_header(storage: OverlayStorage) -> tuple[OverlayHeader, bool]:
    """(the header that counts, whether both copies are the same). Raises FormatError that names the file."""
    where = storage.identity.name
    if storage.length() < FIRST_CLUSTER * HEADER_BYTES:
        raise FormatError(
            "the file is too short for an overlay",
            where=where,
            found=f"{storage.length()} bytes",
            expected=f"at least {FIRST_CLUSTER * HEADER_BYTES}",
            hint="is it an overlay, and was its creation finished?",
        )
    data = b"".join(storage.read(0, 2 * HEADER_BYTES))
    try:
        return choose_header(data[:HEADER_BYTES], data[HEADER_BYTES:])
    except FormatError as error:
        raise error.at(where) from None


def read_log(storage: OverlayStorage, header: OverlayHeader) -> OverlayLog:
    """The log that the header names. Raises FormatError that names the file."""
    offset, length = header.log_cluster * CLUSTER_BYTES, header.log_clusters * CLUSTER_BYTES
    where = storage.identity.name
    check_limit("overlay_log_bytes", length, "the log of the overlay is too long", where=where)
    if storage.length() < offset + length:
        raise FormatError(
            "the overlay file is truncated",
            where=where,
            found=f"{storage.length()} bytes",
            expected=f"at least {offset + length}",
        )
    try:
        data = b"".join(storage.read(offset, length))
        return parse_log(data, header.log_key, header.log_sequence, header.log_records)
    except FormatError as error:
        raise error.at(where) from None


class Journal:
    """The log of an open file, from its tail on. One caller at a time."""

    def __init__(
        self, storage: OverlayStorage, header: OverlayHeader, log: OverlayLog, *, random: Callable[[int], bytes]
    ) -> None:
        self.header = header
        self._storage = storage
        self._random = random
        self._tail_bytes = log.tail_bytes
        self._sequence = log.records[-1].sequence + 1
        self.closed = log.closed
        self.room_bytes = self._room()  # what records may still take in this log

    def _room(self) -> int:
        return self.header.log_clusters * CLUSTER_BYTES - self._tail_bytes - _RESERVE_BYTES

    def append(self, entries: bytes, checksums: bytes) -> None:
        """Write a commit, for which there is room, and make it stable. If this fails it may be there, or not."""
        self._append(RecordKind.COMMIT, entries, checksums)
        if self.header.checksums:
            with contextlib.suppress(DeviceError):  # the next flush will say so
                self._write(pack_record(LogRecord(RecordKind.STABLE, self._sequence, b""), self.header.log_key))

    def close(self) -> None:
        """Say in the log that this is all, and in the header how much it is."""
        records = self._sequence - self.header.log_sequence
        self._append(RecordKind.CLOSED, b"", b"")
        if self.header.checksums:
            self.rewrite(replace(self.header, generation=self.header.generation + 1, log_records=records))

    def _append(self, kind: RecordKind, entries: bytes, checksums: bytes) -> None:
        data = pack_record(LogRecord(kind, self._sequence, entries, checksums), self.header.log_key)
        assert kind is RecordKind.CLOSED or len(data) <= self.room_bytes
        self._write(data)
        self._storage.flush()
        self._tail_bytes += len(data)
        self._sequence += 1
        self.closed = kind is RecordKind.CLOSED
        self.room_bytes = self._room()

    def _write(self, data: bytes) -> None:
        self._storage.write(self.header.log_cluster * CLUSTER_BYTES + self._tail_bytes, data)

    def restart(self, cluster: int, clusters: int, entries: bytes, checksums: bytes, **changes: object) -> None:
        """Begin a new log at `cluster` (allocated already) and let the header, with `changes`, name it."""
        header = replace(
            self.header,
            generation=self.header.generation + 1,
            log_cluster=cluster,
            log_clusters=clusters,
            log_sequence=self._sequence,
            log_key=self._random(KEY_BYTES),
            log_records=0,
            **changes,  # type: ignore[arg-type]  # the caller's are fields of the header
        )
        record = LogRecord(RecordKind.CHECKPOINT, self._sequence, entries, checksums)
        data = pack_record(record, header.log_key)
        self._storage.write(cluster * CLUSTER_BYTES, data)
        self._storage.flush()
        self.rewrite(header)
        self._tail_bytes = len(data)
        self._sequence += 1
        self.closed = True
        self.room_bytes = self._room()

    def rewrite(self, header: OverlayHeader) -> None:
        """Replace both headers, one after the other."""
        data = pack_header(header)
        for copy in range(2):
            self._storage.write(copy * HEADER_BYTES, data)
            self._storage.flush()
        self.header = header

    def drop_unfinished(self) -> None:
        """Clear what lies behind the last record, and say that nothing is missing there."""
        self._write(bytes(self.header.log_clusters * CLUSTER_BYTES - self._tail_bytes))
        self.close()

    def repair(self) -> None:
        """Write the copy of the header that is damaged or older again."""
        data = pack_header(self.header)
        for offset in (0, HEADER_BYTES):
            if b"".join(self._storage.read(offset, HEADER_BYTES)) != data:
                self._storage.write(offset, data)
        self._storage.flush()


def log_clusters(entries: bytes = b"", checksums: bytes = b"", *, spare_bytes: int = 0) -> int:
    """How large a log to make that begins with a checkpoint of these: room for as much again, and more.

    Less near the limit of a log that can be opened again: up to three quarters of it while more blocks come to be held
    (`too_long` ends that), so that there is room to change those for as long as anybody wants.
    """
    first = record_bytes(len(entries) // ENTRY.size, len(checksums) // CHECKSUM_BYTES)
    limit = limits().overlay_log_bytes
    spare = max(LOG_MIN_BYTES, min(first, max(limit * 3 // 4 - first, limit // 8)), spare_bytes)
    return -(-(first + spare + _RESERVE_BYTES) // CLUSTER_BYTES)


def too_long(entries: bytes, checksums: bytes) -> bool:
    """True when no more blocks should be held than a checkpoint of these has."""
    return len(entries) + len(checksums) > limits().overlay_log_bytes * 5 // 8


def new_file(
    storage: OverlayStorage, header: Callable[[int, int, bytes], OverlayHeader], *, random: Callable[[int], bytes]
) -> Journal:
    """Lay out an empty overlay; its headers come last, so that a file whose creation was cut short is not one."""
    clusters = log_clusters()
    first = header(FIRST_CLUSTER, clusters, random(KEY_BYTES))
    storage.allocate(0, (FIRST_CLUSTER + clusters) * CLUSTER_BYTES)
    record = LogRecord(RecordKind.CHECKPOINT, first.log_sequence, b"")
    data = pack_record(record, first.log_key)
    storage.write(FIRST_CLUSTER * CLUSTER_BYTES, data)
    storage.flush()
    journal = Journal(storage, first, OverlayLog((record,), len(data), torn=False), random=random)
    journal.rewrite(first)
    return journal
