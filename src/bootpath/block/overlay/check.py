"""An overlay's file read from end to end: what is damaged, what a crash left, what can be repaired.

Which clusters are free is written nowhere, so it cannot be wrong; what is left to repair is little. Data is lost when
its only copy is damaged: a block that does not match its checksum reads EIO until it is written again, and a log that
is damaged in the middle leaves nobody who knows which block is where.

A repair writes in the order in which a power cut between any two writes leaves a file that can be repaired again.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from bootpath.block.overlay.blockmap import ZERO
from bootpath.block.overlay.journal import read_header, read_log
from bootpath.block.overlay.state import OverlayState, load, replay
from bootpath.block.overlay.storage import GrowingFile, OverlayStorage
from bootpath.core.errors import DeviceError, FormatError, LimitError
from bootpath.core.extents import Extent
from bootpath.core.reasons import Explanation, Reason
from bootpath.formats.overlayfile import (
    CLUSTER_BYTES,
    HEADER_BYTES,
    MAGIC,
    OverlayFileState,
    OverlayHeader,
    parse_header,
)

_PIECE = 256  # clusters that are read at a time


class OverlayFault(Reason):
    """What is wrong with an overlay's file, or was left undone."""

    HEADER_DAMAGED = "copy {} of the header is damaged: {}"
    HEADER_OLDER = "copy {} of the header is older than the other: writing it was interrupted"
    UNUSABLE = "the map of the blocks cannot be read: {}"
    RECORD_UNFINISHED = "the record at byte {} of the log was not finished"
    COMMIT_UNFINISHED = "a commit into its base has begun and did not end"
    FILE_SHORT = "the file ends at byte {} and should have {}"
    FILE_LONG = "{} bytes at the end of the file belong to nothing"
    DATA_DAMAGED = "the data does not match its checksum"
    DATA_UNREADABLE = "the data cannot be read"
    DATA_MISSING = "the data would be beyond the end of the file"


class OverlayRepair(Reason):
    """What can be done about it."""

    WRITE_HEADER = "write copy {} of the header again, from the other"
    DROP_RECORD = "drop the record that was not finished"
    CUT = "cut {} bytes at the end of the file"
    EXTEND = "make the file {} bytes longer; reads of what was there fail with EIO"


_DAMAGE = {
    *(OverlayFault.HEADER_DAMAGED, OverlayFault.UNUSABLE, OverlayFault.FILE_SHORT),
    *(OverlayFault.DATA_DAMAGED, OverlayFault.DATA_UNREADABLE, OverlayFault.DATA_MISSING),
}


@dataclass(frozen=True, slots=True)
class LostData:
    """`clusters` adjacent clusters from `cluster` on, which are these bytes of the `disk`."""

    cluster: int
    clusters: int
    disk: Extent


@dataclass(frozen=True, slots=True)
class OverlayFinding:
    """One fault, what can be done about it, and the data that it is about."""

    fault: Explanation[OverlayFault]
    repair: Explanation[OverlayRepair] | None = None
    lost: LostData | None = None

    @property
    def damage(self) -> bool:
        """False for what only a crash leaves, and what harms nothing."""
        return self.fault.reason in _DAMAGE


@dataclass(frozen=True, slots=True)
class OverlayCheck:
    """What was found. All else is None where it is not known any more."""

    findings: tuple[OverlayFinding, ...]
    uuid: UUID | None = None
    checksums: bool | None = None
    closed: bool | None = None
    held_bytes: int | None = None  # of the content that was read

    @property
    def damaged(self) -> bool:
        """True when something is lost, or was and can be repaired."""
        return any(finding.damage for finding in self.findings)

    @property
    def repairs(self) -> tuple[Explanation[OverlayRepair], ...]:
        """What a repair would do."""
        return tuple(finding.repair for finding in self.findings if finding.repair is not None)


def check_overlay(path: str | os.PathLike[str]) -> OverlayCheck:
    """Read all of the file; nothing is written.

    DeviceError (EBUSY) when it is in use, FormatError when it is no overlay, LimitError when it is too large to check.
    """
    storage = GrowingFile.open_locked(path, writable=False)
    try:
        return check_storage(storage)
    finally:
        storage.close()


def repair_overlay(path: str | os.PathLike[str]) -> tuple[tuple[Explanation[OverlayRepair], ...], OverlayCheck]:
    """Repair what can be: (what was done, a check of what there is now). Raises as `check_overlay`."""
    storage = GrowingFile.open_locked(path)
    try:
        return repair_storage(storage)
    finally:
        storage.close()


def repair_storage(storage: OverlayStorage) -> tuple[tuple[Explanation[OverlayRepair], ...], OverlayCheck]:
    """`repair_overlay` of storage that is locked already."""
    before = check_storage(storage)
    repairs = {repair.reason for repair in before.repairs}
    if repairs:
        if OverlayRepair.EXTEND in repairs:
            header, _ = read_header(storage)
            storage.truncate(replay(storage, header, read_log(storage, header)).space.end * CLUSTER_BYTES)
            storage.flush()
        overlay = load(storage, writable=True)  # writes the header again, and cuts
        if OverlayRepair.DROP_RECORD in repairs:
            overlay.journal.drop_unfinished()
        storage.flush()
    return before.repairs, check_storage(storage)


def check_storage(storage: OverlayStorage) -> OverlayCheck:
    """`check_overlay` of storage that is locked already."""
    findings: list[OverlayFinding] = []
    uuid = None
    try:
        header, agreed = read_header(storage)
        uuid = header.uuid
        if not agreed:
            findings += _header_findings(storage, header)
        log = read_log(storage, header)
        overlay = replay(storage, header, log)
    except LimitError:
        raise
    except (FormatError, DeviceError) as error:
        if uuid is None and not any(data.startswith(MAGIC) for data in _header_copies(storage)):
            raise
        unusable = OverlayFinding(OverlayFault.UNUSABLE(error.what))
        return OverlayCheck((*(dataclasses.replace(finding, repair=None) for finding in findings), unusable), uuid)
    if log.torn:
        fault = OverlayFault.RECORD_UNFINISHED(log.tail_bytes)
        findings.append(OverlayFinding(fault, OverlayRepair.DROP_RECORD()))
    if header.state is OverlayFileState.COMMITTING:
        findings.append(OverlayFinding(OverlayFault.COMMIT_UNFINISHED()))
    findings += _length_findings(storage, overlay)
    findings += _data_findings(storage, overlay)
    return OverlayCheck(tuple(findings), uuid, header.checksums, log.closed, overlay.held * CLUSTER_BYTES)


def _header_copies(storage: OverlayStorage) -> tuple[bytes, bytes]:
    data = b"".join(storage.read(0, min(storage.length(), 2 * HEADER_BYTES)))
    return data[:HEADER_BYTES], data[HEADER_BYTES:]


def _header_findings(storage: OverlayStorage, header: OverlayHeader) -> Iterator[OverlayFinding]:
    """One for the copy that is not `header`."""
    for copy, data in enumerate(_header_copies(storage)):
        try:
            if parse_header(data) == header:
                continue
            fault = OverlayFault.HEADER_OLDER(copy)
        except FormatError as error:
            fault = OverlayFault.HEADER_DAMAGED(copy, error.what)
        yield OverlayFinding(fault, OverlayRepair.WRITE_HEADER(copy))


def _length_findings(storage: OverlayStorage, overlay: OverlayState) -> Iterator[OverlayFinding]:
    """One when the file ends where it should not."""
    length, end = storage.length(), overlay.space.end * CLUSTER_BYTES
    if length > end:
        yield OverlayFinding(OverlayFault.FILE_LONG(length - end), OverlayRepair.CUT(length - end))
    elif length < end:
        # Without checksums nobody could tell the zeros that this would add from data.
        extend = OverlayRepair.EXTEND(end - length) if overlay.journal.header.checksums else None
        yield OverlayFinding(OverlayFault.FILE_SHORT(length, end), extend)


def _data_findings(storage: OverlayStorage, overlay: OverlayState) -> list[OverlayFinding]:
    """Adjacent blocks in adjacent clusters with the same fault are one."""
    findings: list[OverlayFinding] = []
    size_bytes = overlay.journal.header.base.size_bytes
    for block, cluster, fault in _damaged_blocks(storage, overlay):
        start = block * CLUSTER_BYTES
        lost = LostData(cluster, 1, Extent(start, min(CLUSTER_BYTES, size_bytes - start)))
        last = findings[-1] if findings else None
        before = None if last is None or last.fault != fault else last.lost
        if before is not None and (before.cluster + before.clusters, before.disk.end) == (cluster, start):
            disk = Extent(before.disk.offset, before.disk.length + lost.disk.length)
            findings.pop()
            lost = LostData(before.cluster, before.clusters + 1, disk)
        findings.append(OverlayFinding(fault, lost=lost))
    return findings


def _damaged_blocks(
    storage: OverlayStorage, overlay: OverlayState
) -> Iterator[tuple[int, int, Explanation[OverlayFault]]]:
    """(block, cluster, what is wrong), in the order of the disk."""
    for block, value, count in overlay.blocks.held():
        for position in range(0, count if value != ZERO else 0, _PIECE):
            first = value + position
            for cluster, fault in _damaged_clusters(storage, overlay, first, min(_PIECE, count - position)):
                yield block + cluster - value, cluster, fault


def _damaged_clusters(
    storage: OverlayStorage, overlay: OverlayState, first: int, count: int
) -> Iterator[tuple[int, Explanation[OverlayFault]]]:
    try:
        for cluster in overlay.clusters.damaged(first, count):
            yield cluster, OverlayFault.DATA_DAMAGED()
    except DeviceError:
        if count > 1:
            for cluster in range(first, first + count):
                yield from _damaged_clusters(storage, overlay, cluster, 1)
        elif (first + 1) * CLUSTER_BYTES > storage.length():
            yield first, OverlayFault.DATA_MISSING()
        else:
            yield first, OverlayFault.DATA_UNREADABLE()
