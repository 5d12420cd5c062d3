"""A FAT volume with a file tree in it: EFI system and boot loader partitions of any size, with long names.

Source: Microsoft "FAT: General Overview of On-Disk Format" 1.03; UEFI 2.10 §13.3 (firmware reads FAT12, FAT16, FAT32).
In sectors of 512 bytes::

    reserved: boot sector (FAT32: FSInfo at 1, copies of both at 6 and 7, 32 in all)
    two FATs
    root directory of 512 entries (FAT12, FAT16)
    clusters, from number 2 (FAT32: the root directory is the first)

"The FAT type is determined by the count of clusters": FAT12 below 4085, FAT16 below 65525, FAT32 from there.
Directories come before what is in them, files lie in one piece each, everything in the order of the names: the same
tree gives the same bytes. Only what holds something is written, so the rest of the file stays a hole.
"""

from __future__ import annotations

import os
import stat
import struct
import sys
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bootpath.core.device import SECTOR_BYTES
from bootpath.core.errors import Error
from bootpath.image.filesystems.fatnames import (
    ATTRIBUTE_ARCHIVE,
    ATTRIBUTE_DIRECTORY,
    ATTRIBUTE_VOLUME,
    ENTRY_BYTES,
    entry_count,
    pack_entry,
    pack_long,
    short_names,
)
from bootpath.image.filesystems.filetree import FileTree, TreeEntry

_CLUSTERS = {12: (64, 4085), 16: (4085, 65525), 32: (65525, 0x0FFFFFF0)}
_ROOT_ENTRIES = 512
_MAX_DIRECTORY_BYTES = 65536 * ENTRY_BYTES
_MAX_FILE_BYTES = (1 << 32) - 1
_COPY_BYTES = 1 << 20
_MIB = 1 << 20

Stamp = Callable[[float], tuple[int, int]]


@dataclass(frozen=True, slots=True)
class FatShape:
    """The shape of a volume; everything but `bits` in sectors or clusters."""

    sectors: int
    bits: int
    reserved: int
    fat_sectors: int
    root_sectors: int
    cluster_sectors: int
    clusters: int

    @property
    def data_sector(self) -> int:
        """Where cluster 2 begins."""
        return self.reserved + 2 * self.fat_sectors + self.root_sectors

    @property
    def cluster_bytes(self) -> int:
        """Bytes of a cluster."""
        return self.cluster_sectors * SECTOR_BYTES


def fat_geometry(size_bytes: int) -> FatShape:
    """The shape of a volume of that size: the smallest clusters that its FAT type allows, as mkfs.fat does it.

    Raises Error when the size is too small or too large.
    """
    sectors = size_bytes // SECTOR_BYTES
    # Doubled clusters close the gaps between the types, where a larger table leaves too few clusters.
    candidates = ((12, 1), (12, 2), (16, 1), (16, 2 if size_bytes < 40 * _MIB else 1))
    # From 260 MiB on, 4 KiB clusters keep FAT32's table small.
    for bits, cluster_sectors in (*candidates, (32, 8 if size_bytes > 260 * _MIB else 1)):
        geometry = _shape(sectors, bits, cluster_sectors)
        low, high = _CLUSTERS[bits]
        if low <= geometry.clusters < high and sectors < 1 << 32:
            return geometry
    raise Error(
        "the size of the FAT volume is out of range",
        where="FAT",
        found=f"{size_bytes} bytes",
        expected="64 KiB to 2 TiB",
    )


def _shape(sectors: int, bits: int, cluster_sectors: int) -> FatShape:
    reserved = 32 if bits == 32 else 1
    root_sectors = 0 if bits == 32 else _ROOT_ENTRIES * ENTRY_BYTES // SECTOR_BYTES
    fat_sectors = 1
    while True:
        clusters = (sectors - reserved - 2 * fat_sectors - root_sectors) // cluster_sectors
        needed = -(-(max(clusters, 0) + 2) * bits // (8 * SECTOR_BYTES))
        if needed <= fat_sectors:
            return FatShape(sectors, bits, reserved, fat_sectors, root_sectors, cluster_sectors, clusters)
        fat_sectors = needed


@dataclass(slots=True)
class _Node:
    """A file or directory on its way into the volume."""

    entry: TreeEntry
    parent: _Node | None = None
    children: dict[str, _Node] = field(default_factory=dict)
    first: int = 0
    clusters: int = 0

    @property
    def directory_bytes(self) -> int:
        return (2 + sum(map(entry_count, self.children))) * ENTRY_BYTES


def write_fat(
    path: Path, size_bytes: int, tree: FileTree, *, serial: int, label: str = "", epoch: int | None = None
) -> FatShape:
    """Write a volume with the tree to `path`, a new file. `epoch` is the time of everything, in seconds; else its own.

    `label` is cut to eleven characters, in upper case. Raises Error when the tree does not fit or FAT cannot hold it,
    OSError.
    """
    geometry = fat_geometry(size_bytes)
    root = _nodes(tree)
    _allocate(root, geometry)
    volume_label = "".join(each if each.isalnum() or each in "-_ " else "_" for each in label.upper())[:11]
    volume_label = volume_label.encode("ascii", "replace").decode().replace("?", "_").strip()

    def stamp(seconds: float) -> tuple[int, int]:
        return fat_stamp(seconds if epoch is None else epoch)

    with path.open("wb") as file:
        file.truncate(geometry.sectors * SECTOR_BYTES)
        fd = file.fileno()
        _write_boot(fd, geometry, serial, volume_label or "NO NAME", _used(root))
        _write_table(fd, geometry, root)
        for node in _walk(root):
            if node.entry.is_directory:
                _write_directory(fd, geometry, node, volume_label, stamp)
            else:
                _write_file(fd, geometry, node)
    return geometry


def fat_size(tree: FileTree, *, spare: float = 0.0) -> int:
    """A size, in whole MiB, at which the tree fits and `spare` of its own size (0.25: a quarter) is left over."""
    wanted = int(tree.data_bytes * (1 + spare))
    size = _MIB
    root = _nodes(tree)
    while True:
        geometry = fat_geometry(size)
        need = sum(_cluster_count(node, geometry, node is root) for node in _walk(root))
        if need <= geometry.clusters and wanted <= geometry.clusters * geometry.cluster_bytes:
            return size
        size += max(_MIB, (need - geometry.clusters) * geometry.cluster_bytes // _MIB * _MIB)


def fat_stamp(seconds: float) -> tuple[int, int]:
    """Date and time, UTC. FAT knows 1980 to 2107, by two seconds."""
    moment = datetime.fromtimestamp(min(max(seconds, 315532800), 4354819198), UTC)
    date = (moment.year - 1980) << 9 | moment.month << 5 | moment.day
    return date, moment.hour << 11 | moment.minute << 5 | moment.second // 2


def _nodes(tree: FileTree) -> _Node:
    root: _Node | None = None
    for entry in tree.entries:
        if entry.path == "/":
            root = _Node(entry)
            continue
        assert root is not None  # a tree begins with its root
        *parents, name = entry.path.strip("/").split("/")
        place = root
        for parent in parents:
            place = place.children[parent]
        if not entry.is_directory:
            assert entry.status is not None
            if not stat.S_ISREG(entry.status.st_mode):
                raise Error("the source is no file and no directory, and FAT has nothing else", where=str(entry.source))
            if entry.size_bytes > _MAX_FILE_BYTES:
                raise Error(
                    "the file is too large for FAT",
                    where=str(entry.source),
                    found=f"{entry.size_bytes} bytes",
                    expected="less than 4 GiB",
                )
        place.children[name] = _Node(entry, place)
    assert root is not None
    return root


def _walk(node: _Node) -> list[_Node]:
    found, todo = [], [node]
    while todo:
        here = todo.pop()
        found.append(here)
        todo += [here.children[name] for name in sorted(here.children, reverse=True)]
    return found


def _cluster_count(node: _Node, geometry: FatShape, is_root: bool) -> int:
    if node.entry.is_directory:
        size = node.directory_bytes
        if size > (_ROOT_ENTRIES * ENTRY_BYTES if is_root and geometry.bits != 32 else _MAX_DIRECTORY_BYTES):
            raise Error("the directory has too many files for FAT", where=node.entry.path, found=len(node.children))
        return 0 if is_root and geometry.bits != 32 else -(-size // geometry.cluster_bytes)
    return -(-node.entry.size_bytes // geometry.cluster_bytes)


def _allocate(root: _Node, geometry: FatShape) -> None:
    nodes = _walk(root)
    cluster = 2
    for node in nodes:
        node.clusters = _cluster_count(node, geometry, node is root)
        node.first = cluster if node.clusters else 0
        cluster += node.clusters
    if cluster - 2 > geometry.clusters:
        raise Error(
            "the files do not fit into the partition",
            where="FAT",
            found=f"{(cluster - 2) * geometry.cluster_bytes} bytes",
            expected=f"at most {geometry.clusters * geometry.cluster_bytes} bytes",
            hint="make the partition larger",
        )


def _used(root: _Node) -> int:
    return sum(node.clusters for node in _walk(root))


def _write_boot(fd: int, geometry: FatShape, serial: int, label: str, used: int) -> None:
    wide = geometry.bits == 32
    small = geometry.sectors if geometry.sectors < 0x10000 and not wide else 0
    boot = struct.pack(
        "<3s8sHBHBHHBHHHII",
        b"\xeb\x58\x90" if wide else b"\xeb\x3c\x90",
        b"BOOTPATH",
        SECTOR_BYTES,
        geometry.cluster_sectors,
        geometry.reserved,
        2,  # FATs
        0 if wide else _ROOT_ENTRIES,
        small,
        0xF8,
        0 if wide else geometry.fat_sectors,
        32,  # sectors a track and heads: nobody asks
        64,
        0,
        0 if small else geometry.sectors,
    )
    if wide:
        boot += struct.pack("<IHHIHH12x", geometry.fat_sectors, 0, 0, 2, 1, 6)
    name = b"FAT%d" % geometry.bits
    boot += struct.pack("<BBBI11s8s", 0x80, 0, 0x29, serial, label.encode().ljust(11), name.ljust(8))
    boot = boot.ljust(510, b"\0") + b"\x55\xaa"
    os.pwrite(fd, boot, 0)
    if wide:
        info = struct.pack("<I480xIII12xI", 0x41615252, 0x61417272, geometry.clusters - used, 2 + used, 0xAA550000)
        for sector, data in ((1, info), (6, boot), (7, info)):
            os.pwrite(fd, data, sector * SECTOR_BYTES)


def _write_table(fd: int, geometry: FatShape, root: _Node) -> None:
    """Every chain is a row of neighbours."""
    end = (1 << geometry.bits if geometry.bits != 32 else 1 << 28) - 1
    entries = array("L" if array("L").itemsize == 4 else "I", (end - 7, end))  # media descriptor, end-of-chain mark
    for node in _walk(root):
        if node.clusters:
            entries.extend(range(node.first + 1, node.first + node.clusters))
            entries.append(end)
    if geometry.bits == 12:
        if len(entries) % 2:
            entries.append(0)
        table = b"".join(
            (low | high << 12).to_bytes(3, "little") for low, high in zip(entries[::2], entries[1::2], strict=True)
        )
    else:
        if geometry.bits == 16:
            entries = array("H", entries)
        if sys.byteorder == "big":
            entries.byteswap()
        table = entries.tobytes()
    for copy in range(2):
        os.pwrite(fd, table, (geometry.reserved + copy * geometry.fat_sectors) * SECTOR_BYTES)


def _write_directory(fd: int, geometry: FatShape, node: _Node, label: str, stamp: Stamp) -> None:
    short = short_names(node.children, where=node.entry.path)
    content = bytearray()
    if node.parent is not None:
        above = 0 if node.parent.parent is None else node.parent.first  # the root is 0 here, also on FAT32
        content += pack_entry(b".".ljust(11), ATTRIBUTE_DIRECTORY, node.first, 0, _time(node, stamp))
        content += pack_entry(b"..".ljust(11), ATTRIBUTE_DIRECTORY, above, 0, _time(node.parent, stamp))
    elif label:
        content += pack_entry(label.encode().ljust(11), ATTRIBUTE_VOLUME, 0, 0, _time(node, stamp))
    for name in sorted(node.children):
        child = node.children[name]
        attribute = ATTRIBUTE_DIRECTORY if child.entry.is_directory else ATTRIBUTE_ARCHIVE
        content += pack_long(name, short[name])
        content += pack_entry(short[name], attribute, child.first, child.entry.size_bytes, _time(child, stamp))
    fixed = (geometry.data_sector - geometry.root_sectors) * SECTOR_BYTES
    os.pwrite(fd, content, _offset(geometry, node) if node.clusters else fixed)


def _write_file(fd: int, geometry: FatShape, node: _Node) -> None:
    source, position, left = node.entry.source, _offset(geometry, node), node.entry.size_bytes
    assert source is not None
    with source.open("rb") as file:
        while left:
            chunk = file.read(min(_COPY_BYTES, left))
            if not chunk:
                raise Error("the file became shorter while it was read", where=str(source))
            os.pwrite(fd, chunk, position)
            position, left = position + len(chunk), left - len(chunk)


def _time(node: _Node, stamp: Stamp) -> tuple[int, int]:
    return stamp(0 if node.entry.status is None else node.entry.status.st_mtime)


def _offset(geometry: FatShape, node: _Node) -> int:
    return geometry.data_sector * SECTOR_BYTES + (node.first - 2) * geometry.cluster_bytes
