"""Files of a FAT12, FAT16 or FAT32 volume: what firmware reads from an EFI system partition.

Source: Microsoft "FAT: General Overview of On-Disk Format" 1.03, and "Long Filename Specification" in it; UEFI 2.10
§13.3. A directory entry has 32 bytes, little endian::

      0 name 8 + extension 3    11 attributes    12 bits 3 and 4: name, extension are lower case (Windows NT)
     20 cluster, high u16       22 time, u16     24 date, u16    26 cluster, low u16    28 size, u32

An entry with attributes 0x0F holds 13 UTF-16 units of a long name; those of one name stand in descending order before
the entry they belong to, and each has a checksum of its short name. A long name whose order or checksum is wrong
belongs to nobody and is ignored, as firmware does; the short name then stands alone.

Names are compared without case, long and short ones alike. FAT has no owners and no zone: times are taken as UTC, and
modes are 0755 for directories, 0644 or (read only) 0444 for files.
"""

from __future__ import annotations

import calendar
import stat
import struct
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bootpath.core.device import Device
from bootpath.core.extents import Extent
from bootpath.fs.readers.fat.volume import BOOT_SECTOR_BYTES, Chain, FatLayout, Tail, parse_fat_boot_sector
from bootpath.fs.readers.files import FileKind, FileNode
from bootpath.fs.readers.recent import Recent
from bootpath.fs.readers.source import Source
from bootpath.fs.readers.treefiles import Child, TreeFiles, check_directory_size, checked_name

_CACHED_CHAINS = 16
_ENTRY = struct.Struct("<8s3sBBxHHHHHHHI")
_READ_ONLY, _VOLUME, _DIRECTORY, _LONG_NAME = 0x01, 0x08, 0x10, 0x0F
_LOWER_NAME, _LOWER_EXTENSION = 0x08, 0x10
_LAST_PART = 0x40
_MAX_PARTS = 20  # 255 units


@dataclass(frozen=True, slots=True)
class FatEntry:
    """What a directory says of a file. `place` is where on the device (-1: the root), `cluster` the first one or 0."""

    place: int
    cluster: int
    size_bytes: int
    attributes: int
    date: int = 0
    time: int = 0

    @property
    def is_directory(self) -> bool:
        """True for a directory."""
        return bool(self.attributes & _DIRECTORY)


class FatTree:
    """`treefiles.Tree` of a FAT volume."""

    warnings: Sequence[str] = ()

    def __init__(self, source: Source, geometry: FatLayout) -> None:
        self.source = source
        self.geometry = geometry
        self.root = FatEntry(-1, geometry.root_cluster, 0, _DIRECTORY)
        self._chains: Recent[int, Chain] = Recent(_CACHED_CHAINS)

    def node(self, ref: FatEntry) -> FileNode:
        """See `Tree.node`. A directory has no size of its own in FAT: 0."""
        seconds = _seconds(ref.date, ref.time)
        if ref.is_directory:
            # A directory is where its clusters are, by whatever entry it was reached.
            cluster = ref.cluster or self.geometry.root_cluster
            return FileNode(cluster * 32, FileKind.DIRECTORY, stat.S_IFDIR | 0o755, 0, mtime_ns=seconds * 10**9)
        mode = stat.S_IFREG | (0o444 if ref.attributes & _READ_ONLY else 0o644)
        return FileNode(ref.place + 1, FileKind.FILE, mode, ref.size_bytes, mtime_ns=seconds * 10**9)

    def fold(self, name: str) -> str:
        """See `Tree.fold`: upper case, letter by letter, so that no name changes its length."""
        return name.upper() if name.isascii() else "".join(c.upper() if len(c.upper()) == 1 else c for c in name)

    def children(self, ref: FatEntry) -> Iterator[Child[FatEntry]]:
        """See `Tree.children`."""
        if not ref.is_directory:
            raise self.source.fault("corrupt: the entry is not a directory")
        parts: list[bytes] = []
        for place, raw in self._entries(ref):
            if raw[0] == 0xE5:
                parts = []
                continue
            if raw[11] & 0x3F == _LONG_NAME:
                parts = [raw, *parts][:_MAX_PARTS] if not raw[0] & _LAST_PART else [raw]
                continue
            long_name = _long_name(parts, raw[:11])
            parts = []
            stem, extension, attributes, nt, _, _, _, high, time, date, low, size = _ENTRY.unpack(raw)
            if attributes & _VOLUME or raw[0] == ord("."):
                continue
            short = _short_name(stem, extension, nt)
            cluster = low | (high << 16 if self.geometry.bits == 32 else 0)
            entry = FatEntry(place, cluster, size, attributes, date, time)
            kind = FileKind.DIRECTORY if entry.is_directory else FileKind.FILE
            name = short if long_name is None else long_name
            yield Child(checked_name(self.source, name), kind, entry, alias=None if long_name is None else short)

    def _entries(self, ref: FatEntry) -> Iterator[tuple[int, bytes]]:
        """Every 32 bytes of a directory up to the first unused entry, and where they are."""
        for extent in self._directory_extents(ref):
            self.source.spend_directory(extent.length)
            data = self.source.read(extent.offset, extent.length)
            for position in range(0, len(data) - 31, 32):
                if data[position] == 0:
                    return
                yield extent.offset + position, data[position : position + 32]

    def _directory_extents(self, ref: FatEntry) -> Iterator[Extent]:
        """A directory's places, cluster after cluster, for it may end long before its chain."""
        cluster = ref.cluster or self.geometry.root_cluster
        if cluster == 0:
            yield self.geometry.root
            return
        chain = self._chain(cluster)
        total = index = done = 0
        while chain.reach(total + 1):
            check_directory_size(self.source, (total + 1) * self.geometry.cluster_bytes)
            # The last run can have grown since the last turn.
            if done == chain.runs[index].length:
                index, done = index + 1, 0
            yield self.geometry.cluster_extent(chain.runs[index].offset + done)
            done += 1
            total += 1

    def read(self, ref: FatEntry, offset: int, length: int) -> bytes:
        """See `Tree.read`."""
        return b"".join(
            self.source.read_data(extent.offset, extent.length) for extent in self._mapped(ref, offset, length)
        )

    def extents(self, ref: FatEntry) -> Iterator[Extent]:
        """See `Tree.extents`."""
        return self._mapped(ref, 0, ref.size_bytes)

    def doubts(self, ref: FatEntry) -> Iterator[str]:
        """See `Tree.doubts`: whether the chain of a file is as long as its size, and how it ends."""
        if ref.size_bytes == 0:
            return
        self.source.spend_clusters(-(-ref.size_bytes // self.geometry.cluster_bytes))
        chain, needed = self._reach(ref, ref.size_bytes)
        cluster, tail = chain.tail() if chain.known_clusters == needed else (0, Tail.CLUSTER)
        if tail is Tail.CLUSTER:
            yield "has more clusters than its size needs, which loaders and Linux do not read"
        elif tail is not Tail.END:
            yield (
                f"ends in cluster {cluster}, which the FAT has as {tail.value}: loaders and Linux read it all the "
                "same, and whatever is written next may overwrite it"
            )

    def _mapped(self, ref: FatEntry, offset: int, length: int) -> Iterator[Extent]:
        if length == 0:
            return
        chain, _ = self._reach(ref, offset + length)
        index = bisect_right(chain.starts, offset // self.geometry.cluster_bytes) - 1
        position = chain.starts[index] * self.geometry.cluster_bytes
        while position < offset + length:
            run = chain.runs[index]
            extent = self.geometry.cluster_extent(run.offset, run.length)
            skip = max(offset - position, 0)
            take = min(extent.length, offset + length - position) - skip
            if take > 0:
                yield Extent(extent.offset + skip, take)
            position += extent.length
            index += 1

    def _reach(self, ref: FatEntry, size_bytes: int) -> tuple[Chain, int]:
        """The chain of a file, known for so many bytes, and how many clusters these are. Raises FormatError."""
        chain = self._chain(ref.cluster)
        needed = -(-size_bytes // self.geometry.cluster_bytes)
        if needed > self.geometry.clusters or not chain.reach(needed):
            raise self.source.fault(
                "corrupt: the cluster chain of a file is too short",
                found=f"{chain.known_clusters} clusters",
                expected=f"at least {needed} clusters",
            )
        return chain, needed

    def _chain(self, cluster: int) -> Chain:
        return self._chains.get(cluster, lambda first: Chain(self.source, self.geometry, first))


def _long_name(parts: Sequence[bytes], short: bytes) -> str | None:
    """The long name that stands before a short one, None when there is none that belongs to it."""
    if not parts or not parts[-1][0] & _LAST_PART:
        return None
    checksum = 0
    for byte in short:
        checksum = ((checksum & 1) << 7) + (checksum >> 1) + byte & 0xFF
    for number, part in enumerate(parts, 1):
        if part[0] & 0x3F != number or part[13] != checksum:
            return None
    units = b"".join(part[1:11] + part[14:26] + part[28:32] for part in parts)
    for position in range(0, len(units), 2):
        if units[position : position + 2] == b"\0\0":
            units = units[:position]
            break
    try:
        return units.decode("utf-16-le")
    except UnicodeDecodeError:
        return None


def _short_name(stem: bytes, extension: bytes, nt: int) -> str:
    # 0x05 stands for a first byte of 0xE5, which would say that the entry is free.
    first = b"\xe5" + stem[1:] if stem[0] == 0x05 else stem
    name, suffix = first.decode("cp437").rstrip(" "), extension.decode("cp437").rstrip(" ")
    if nt & _LOWER_NAME:
        name = name.lower()
    if nt & _LOWER_EXTENSION:
        suffix = suffix.lower()
    return f"{name}.{suffix}" if suffix else name


def _seconds(date: int, time: int) -> int:
    """Seconds since 1970; 0 for a date that does not exist."""
    year, month, day = 1980 + (date >> 9), date >> 5 & 0xF, date & 0x1F
    hour, minute, second = time >> 11, time >> 5 & 0x3F, (time & 0x1F) * 2
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return 0
    return calendar.timegm((year, month, day, hour, minute, second))


def open_fat(device: Device) -> TreeFiles[FatEntry]:
    """The files of the FAT volume that fills `device`. Raises FormatError, DeviceError."""
    source = Source(device, "vfat")
    geometry = parse_fat_boot_sector(source.read(0, BOOT_SECTOR_BYTES))
    return TreeFiles(FatTree(source, geometry))
