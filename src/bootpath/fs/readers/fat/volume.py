"""A FAT volume's geometry and its chains of clusters: FAT12, FAT16 and FAT32.

Source: Microsoft "FAT: General Overview of On-Disk Format" 1.03; EFI firmware and Linux decide as told here. Little
endian, offsets in the first sector::

     11 sector size, u16       13 sectors a cluster, u8    14 reserved sectors, u16   16 FATs, u8
     17 root entries, u16      19 sectors, u16             22 sectors a FAT, u16      32 sectors, u32 (when 19 is 0)
    FAT32: 36 sectors a FAT, u32   40 flags, u16   42 version, u16   44 first cluster of the root, u32
    510 0x55 0xAA

The volume is FAT32 when the 16-bit sectors a FAT are 0; otherwise FAT12 up to 4084 clusters, FAT16 above. Entry n of
the table names the cluster after cluster n; the last 8 values end a chain, the one before says bad.

A file's size says how many clusters of its chain hold it, and what the last of these leads to is read by nobody: EDK2
(FatOFilePosition), U-Boot (get_contents) and Linux (fat_get_cluster) all stop there. So does a chain here; `tail` says
what stands behind. Where a chain ends too early, or leads to what is no cluster of a file, all of them fail.

Invariants: a chain visits no cluster twice and only clusters of the volume, or it is a FormatError (the others would
read a cluster again and again); it is followed only as far as it is asked for.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum

from bootpath.core.errors import FormatError
from bootpath.core.extents import Extent
from bootpath.fs.readers.source import Source

BOOT_SECTOR_BYTES = 512
MAX_CLUSTER_BYTES = 1 << 18  # 256 KiB, with sectors of 4096 bytes
_FAT12_MAX_CLUSTERS = 4084
_FAT16_MAX_CLUSTERS = 65524
_FAT32_MAX_CLUSTERS = (1 << 28) - 11
_BPB = struct.Struct("<HBHBHHBHHHII")


@dataclass(frozen=True, slots=True)
class FatLayout:
    """Where things are. `root_cluster` is 0 for FAT12 and FAT16, whose root has a place of its own."""

    bits: int
    cluster_bytes: int
    clusters: int
    fat: Extent
    root: Extent
    root_cluster: int
    data_start: int

    def cluster_extent(self, first: int, count: int = 1) -> Extent:
        """Where `count` clusters from `first` are; the first one of a volume is number 2."""
        return Extent(self.data_start + (first - 2) * self.cluster_bytes, count * self.cluster_bytes)


def parse_fat_boot_sector(sector: bytes) -> FatLayout:
    """The geometry in the first 512 bytes of a volume. Raises FormatError."""
    if len(sector) < BOOT_SECTOR_BYTES or sector[510:512] != b"\x55\xaa":
        raise _fault("the boot sector has the wrong signature", sector[510:512].hex(), "55aa")
    size, cluster_sectors, reserved, fats, entries, small, _, fat16, _, _, _, large = _BPB.unpack_from(sector, 11)
    if size not in (512, 1024, 2048, 4096):
        raise _fault("the sector size is not valid", size, "512 to 4096, a power of two")
    if cluster_sectors == 0 or cluster_sectors & (cluster_sectors - 1) or cluster_sectors * size > MAX_CLUSTER_BYTES:
        raise _fault(
            "the number of sectors per cluster is not valid", cluster_sectors, "a power of two, at most 256 KiB"
        )
    if reserved == 0 or fats == 0:
        raise _fault("the reserved sectors or the FATs are missing", f"{reserved} and {fats}", "at least one of each")
    fat32, flags, version, root_cluster = struct.unpack_from("<IHHI", sector, 36)
    fat_sectors = fat16 or fat32
    root_sectors = -(-entries * 32 // size)
    data_sector = reserved + fats * fat_sectors + root_sectors
    clusters = ((small or large) - data_sector) // cluster_sectors
    if fat_sectors == 0 or clusters < 1:
        raise _fault("the volume has too few sectors", small or large, f"room for {data_sector} and a cluster")
    active = 0
    if fat16:
        bits = 12 if clusters <= _FAT12_MAX_CLUSTERS else 16
        most, root_cluster = _FAT16_MAX_CLUSTERS, 0
        if entries == 0:
            raise _fault("the volume has no root entries", 0, "some, in FAT12 and FAT16")
    else:
        bits, most = 32, _FAT32_MAX_CLUSTERS
        if version:
            raise _fault("the version of FAT32 is unknown", version, "0")
        # "Bit 7: 0 means the FAT is mirrored at runtime into all FATs; 1 means only one FAT is active", bits 0 to 3
        active = flags & 0xF if flags & 0x80 else 0
        if active >= fats or not 2 <= root_cluster < clusters + 2:
            raise _fault(
                "the active FAT or the root cluster is outside the volume",
                f"{active} and {root_cluster}",
                "in the volume",
            )
    if clusters > most or -(-(clusters + 2) * bits // 8) > fat_sectors * size:
        raise _fault(
            "the volume has the wrong number of clusters",
            clusters,
            f"as many as the FAT has room for, and at most {most}",
        )
    fat = Extent((reserved + active * fat_sectors) * size, fat_sectors * size)
    root = Extent((reserved + fats * fat_sectors) * size, entries * 32)
    return FatLayout(bits, cluster_sectors * size, clusters, fat, root, root_cluster, data_sector * size)


def _fault(what: str, found: object, expected: str) -> FormatError:
    return FormatError(what, where="vfat", found=found, expected=expected)


class Tail(Enum):
    """What the last cluster of a file leads to; the values say what the FAT has it as."""

    END = "the end of the chain"
    CLUSTER = "one with a cluster behind it"
    FREE = "free"
    BAD = "bad"
    RESERVED = "reserved"
    OUTSIDE = "one with a cluster behind it that is outside the volume"


class Chain:
    """The clusters from `first` on, as runs; read from the table when asked for."""

    def __init__(self, source: Source, geometry: FatLayout, first: int) -> None:
        self._source = source
        self._geometry = geometry
        self._next: int | None = first  # None: what `_last` leads to was not looked up yet
        self._last = 0
        self._seen = bytearray()  # a bit for each cluster: a chain may be as long as the volume, in any order
        self.runs: list[Extent] = []
        """(first cluster, number of clusters) of what is known."""
        self.starts: list[int] = []
        """How many clusters of the chain stand before each run."""
        self.known_clusters = 0

    @property
    def ended(self) -> bool:
        """True when `runs` is known to be all of it."""
        return self._next == 0

    def reach(self, clusters: int) -> bool:
        """Know at least `clusters` clusters; False when the chain is shorter. Raises FormatError for a loop."""
        while self.known_clusters < clusters:
            if self._next is None:
                self._next = self._following(self._last)
            if self._next == 0:
                break
            run = self._read_run(self._next, clusters - self.known_clusters)
            start = self.known_clusters
            self.known_clusters += run.length
            if self.runs and self.runs[-1].end == run.offset:
                start = self.starts.pop()
                run = Extent(self.runs[-1].offset, self.runs.pop().length + run.length)
            self.runs.append(run)
            self.starts.append(start)
        return self.known_clusters >= clusters

    def tail(self) -> tuple[int, Tail]:
        """The last cluster that is known, and what it leads to. Raises DeviceError."""
        return self._last, self._entry(self._last)[1]

    def _read_run(self, first: int, most: int) -> Extent:
        """At most so many clusters in a row; what the last of them leads to is not looked up when it need not be."""
        cluster = first
        if not 2 <= cluster < self._geometry.clusters + 2:
            raise self._source.fault(
                "corrupt: a chain leads to a cluster outside the volume",
                found=f"cluster {cluster}",
                expected="a cluster of the volume",
            )
        self._see(cluster)
        while cluster + 1 - first < most:
            value, tail = self._entry(cluster)
            if tail is not Tail.CLUSTER or value != cluster + 1 or self._was_seen(value):
                break
            cluster = value
            self._see(cluster)
        self._last, self._next = cluster, None
        return Extent(first, cluster + 1 - first)

    def _see(self, cluster: int) -> None:
        if self._was_seen(cluster):
            raise self._source.fault(f"corrupt: the chain through cluster {cluster} is a loop")
        place = cluster >> 3
        if place >= len(self._seen):
            self._seen.extend(bytes(place + 1 - len(self._seen)))
        self._seen[place] |= 1 << (cluster & 7)

    def _was_seen(self, cluster: int) -> bool:
        return cluster >> 3 < len(self._seen) and bool(self._seen[cluster >> 3] & 1 << (cluster & 7))

    def _following(self, cluster: int) -> int:
        """The cluster after this one, 0 at the end. Raises FormatError when it leads to what is none of a file's."""
        value, tail = self._entry(cluster)
        if tail is Tail.END:
            return 0
        if tail in (Tail.FREE, Tail.BAD, Tail.RESERVED):
            raise self._source.fault(
                f"corrupt: the chain of a file leads through cluster {cluster}, which the FAT has as {tail.value}",
                found=f"{self.known_clusters} clusters",
                expected="as many as the file has",
            )
        return value  # one outside the volume is refused when it is read

    def _entry(self, cluster: int) -> tuple[int, Tail]:
        """What the FAT says of a cluster, and what that means. Raises DeviceError."""
        bits = self._geometry.bits
        place = self._geometry.fat.offset + cluster * bits // 8
        if bits == 32:
            value = int.from_bytes(self._source.read(place, 4), "little") & 0x0FFFFFFF
            end = 0x0FFFFFF8
        else:
            value = int.from_bytes(self._source.read(place, 2), "little")
            if bits == 12:
                value = value >> 4 if cluster % 2 else value & 0xFFF
            end = (1 << bits) - 8
        if value >= end:
            return value, Tail.END
        if value < 2:
            return value, Tail.RESERVED if value else Tail.FREE
        if value < self._geometry.clusters + 2:
            return value, Tail.CLUSTER
        if value == end - 1:
            return value, Tail.BAD
        return value, Tail.RESERVED if value >= end - 8 else Tail.OUTSIDE
