"""The content of an overlay file's clusters, and the CRC-32 of each where the file keeps them.

All content goes through `Clusters`: what is written is summed, what is read is compared, so that a cluster that the
host's disk changed or lost is EIO and never data. A cluster is read whole for that. In memory a checksum takes 4 bytes,
in regions of 128 that exist where clusters do; in the file it stands in the record that names its cluster, so that both
count from the same moment on.

Readers need no lock. One that meets a cluster while it is written in place finds that it does not match: whether it is
damaged is found out under the writers' lock.
"""

from __future__ import annotations

import contextlib
from array import array
from collections.abc import Iterable, Sequence
from zlib import crc32

from bootpath.block.overlay.storage import OverlayStorage
from bootpath.core.device import Buffer
from bootpath.core.errors import DeviceError, FormatError, IntegrityError
from bootpath.formats.overlayfile import (
    CHECKSUM_BYTES,
    CLUSTER_BYTES,
    ZERO_CLUSTER,
    LogRecord,
    iter_entries,
    pack_checksums,
    unpack_checksums,
)

_CODE = "I"  # 32 bits on every platform CPython runs on
_REGION = 128
_UNKNOWN = array(_CODE, bytes(4 * _REGION))
_SKIP_MASK = CLUSTER_BYTES - 1


class Checksums:
    """A value for each cluster of a file."""

    __slots__ = ("_regions",)

    def __init__(self) -> None:
        self._regions: dict[int, array[int]] = {}

    def put(self, cluster: int, values: array[int]) -> None:
        """The clusters from `cluster` on have these."""
        index = 0
        while index < len(values):
            number, low = divmod(cluster + index, _REGION)
            region = self._regions.get(number)
            if region is None:
                region = self._regions[number] = array(_CODE, _UNKNOWN)
            part = values[index : index + _REGION - low]
            region[low : low + len(part)] = part
            index += len(part)

    def of(self, cluster: int) -> int:
        """What one cluster has."""
        return self._regions.get(cluster // _REGION, _UNKNOWN)[cluster % _REGION]

    def get(self, cluster: int, count: int) -> array[int]:
        """What `count` clusters have."""
        number, low = divmod(cluster, _REGION)
        values = self._regions.get(number, _UNKNOWN)[low : low + count]
        while len(values) < count:
            number += 1
            values += self._regions.get(number, _UNKNOWN)[: count - len(values)]
        return values

    def pack(self, entries: Iterable[tuple[int, int, int]]) -> bytes:
        """Those of the entries' clusters, as a record has them."""
        return b"".join(pack_checksums(self.get(value, count)) for _, value, count in entries if value != ZERO_CLUSTER)


def _sums(content: memoryview) -> array[int]:
    return array(_CODE, [crc32(content[low : low + CLUSTER_BYTES]) for low in range(0, len(content), CLUSTER_BYTES)])


class Clusters:
    """The content of clusters of `storage`; `checksums` is None when the file keeps none."""

    __slots__ = ("_storage", "checksums")

    def __init__(self, storage: OverlayStorage, *, checksums: bool) -> None:
        self._storage = storage
        self.checksums = Checksums() if checksums else None

    def replay(self, record: LogRecord) -> None:
        """Take a record's checksums over. Raises FormatError when they are not those of its entries' clusters."""
        runs = [(value, count) for _, value, count in iter_entries(record.entries) if value != ZERO_CLUSTER]
        expected = 0 if self.checksums is None else sum(count for _, count in runs)
        found = len(record.checksums) // CHECKSUM_BYTES
        if found != expected:
            raise FormatError(
                f"record {record.sequence} of the log has another number of checksums than of clusters",
                where="overlay",
                found=found,
                expected=expected,
            )
        if self.checksums is not None:
            values, index = unpack_checksums(record.checksums), 0
            for value, count in runs:
                self.checksums.put(value, values[index : index + count])
                index += count

    def pack(self, entries: Iterable[tuple[int, int, int]]) -> bytes:
        """The checksums for a record with these entries."""
        return b"" if self.checksums is None else self.checksums.pack(entries)

    def write(self, cluster: int, content: memoryview) -> None:
        """Write whole clusters. Raises as the storage; the clusters then hold a part of it, and that is read."""
        offset = cluster * CLUSTER_BYTES
        if self.checksums is None:
            self._storage.write(offset, content)
            return
        try:
            self._storage.write(offset, content)
        except DeviceError:
            # A write that failed may be there in part, on every disk. It is no damage: what is there now counts.
            with contextlib.suppress(DeviceError):
                self.checksums.put(cluster, _sums(_whole(self._storage.read(offset, len(content)))))
            raise
        self.checksums.put(cluster, _sums(content))

    def read(self, cluster: int, skip: int, length: int, start: int) -> Sequence[Buffer]:
        """`length` bytes from byte `skip` of `cluster` on, which are those from byte `start` of the disk on.

        Raises IntegrityError when a cluster among them does not match its checksum, or as the storage.
        """
        offset = cluster * CLUSTER_BYTES
        if self.checksums is None:
            return self._storage.read(offset + skip, length)
        content = _whole(self._storage.read(offset, _rounded(skip + length)))
        for index in self._differing(cluster, content):
            low = (start & ~_SKIP_MASK) + index * CLUSTER_BYTES
            raise IntegrityError(
                f"cluster {cluster + index} does not match its checksum: "
                f"bytes {low} to {low + CLUSTER_BYTES - 1} of the disk are damaged",
                where=self._storage.identity.name,
                hint="see what else is damaged with `bootpath overlay check`",
            )
        return (content[skip : skip + length],)

    def read_resident(self, cluster: int, skip: int, length: int) -> Sequence[Buffer] | None:
        """The same if it need not be waited for, else None; so when it does not match."""
        offset = cluster * CLUSTER_BYTES
        if self.checksums is None:
            return self._storage.read_resident(offset + skip, length)
        views = self._storage.read_resident(offset, _rounded(skip + length))
        if views is None:
            return None
        content = _whole(views)
        return None if self._differing(cluster, content) else (content[skip : skip + length],)

    def damaged(self, cluster: int, count: int) -> list[int]:
        """Which of these clusters do not match. All are read; raises as the storage."""
        content = _whole(self._storage.read(cluster * CLUSTER_BYTES, count * CLUSTER_BYTES))
        return [] if self.checksums is None else [cluster + index for index in self._differing(cluster, content)]

    def _differing(self, cluster: int, content: memoryview) -> list[int]:
        """The indices of those clusters, from `cluster` on, whose content does not match."""
        assert self.checksums is not None
        if len(content) == CLUSTER_BYTES:
            return [] if self.checksums.of(cluster) == crc32(content) else [0]
        found = _sums(content)
        expected = self.checksums.get(cluster, len(found))
        if found == expected:
            return []
        return [index for index, value in enumerate(found) if value != expected[index]]


def _whole(views: Sequence[Buffer]) -> memoryview:
    return memoryview(views[0] if len(views) == 1 else b"".join(views))


def _rounded(length: int) -> int:
    return (length + _SKIP_MASK) & ~_SKIP_MASK
