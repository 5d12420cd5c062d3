"""A small FAT volume with the boot loader in it: the EFI system partition of a live disk.

Source: Microsoft "FAT: General Overview of On-Disk Format" 1.03; UEFI 2.10 §13.3 (firmware reads FAT12, FAT16 and
FAT32) and §3.5.1.1 (the loader's place is ``EFI/BOOT/BOOT{machine}.EFI``).

Layout, in sectors of 512 bytes: boot sector, two FATs, a root directory of 512 entries, clusters. FAT12 below 4085
clusters, FAT16 from there; the type follows from the number of clusters alone. Only what an ESP of ours needs: 8.3
upper case names, whole files, no free-space games. The volume is the same for the same input.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from bootpath.core import SECTOR_BYTES, Error

ROOT_ENTRIES = 512
_ROOT_SECTORS = ROOT_ENTRIES * 32 // SECTOR_BYTES
_FAT12_MAX_CLUSTERS = 4084
_FAT16_MAX_CLUSTERS = 65524
_DIRECTORY, _ARCHIVE = 0x10, 0x20
_DOS_EPOCH = 0x0021  # 1980-01-01: FAT has no date before it
_NAME = re.compile(r"[A-Z0-9_-]{1,8}(\.[A-Z0-9_-]{1,3})?")


@dataclass(frozen=True, slots=True)
class _Geometry:
    sectors: int
    cluster_sectors: int
    fat_sectors: int
    clusters: int

    @property
    def fat_bits(self) -> int:
        return 12 if self.clusters <= _FAT12_MAX_CLUSTERS else 16

    @property
    def data_sector(self) -> int:
        return 1 + 2 * self.fat_sectors + _ROOT_SECTORS

    @property
    def cluster_bytes(self) -> int:
        return self.cluster_sectors * SECTOR_BYTES


def _geometry(size_bytes: int) -> _Geometry:
    sectors = size_bytes // SECTOR_BYTES
    for cluster_sectors in (1, 2, 4, 8, 16, 32, 64):
        fat_sectors = 1
        while True:
            clusters = (sectors - 1 - 2 * fat_sectors - _ROOT_SECTORS) // cluster_sectors
            if clusters < 1:
                raise Error(
                    "too small for a FAT volume", where="EFI partition", found=size_bytes, expected="64 KiB or more"
                )
            bits = 12 if clusters <= _FAT12_MAX_CLUSTERS else 16
            needed = -(-((clusters + 2) * bits) // (8 * SECTOR_BYTES))
            if needed <= fat_sectors:
                break
            fat_sectors = needed
        if clusters <= _FAT16_MAX_CLUSTERS and fat_sectors <= 0xFFFF:
            return _Geometry(sectors, cluster_sectors, fat_sectors, clusters)
    raise Error("too large for FAT16", where="EFI partition", found=size_bytes, expected="at most 2 GiB")


class _Volume:
    def __init__(self, size_bytes: int, serial: int) -> None:
        self.geometry = _geometry(size_bytes)
        self.data = bytearray(size_bytes)
        self.chain = [0xFFF8, 0xFFFF]  # FAT entries 0 and 1: media descriptor, end-of-chain mark
        self._boot_sector(serial)

    def _boot_sector(self, serial: int) -> None:
        geometry = self.geometry
        small = geometry.sectors if geometry.sectors < 0x10000 else 0
        large = 0 if small else geometry.sectors
        struct.pack_into(
            "<3s8sHBHBHHBHHHIIBBBI11s8s",
            self.data,
            0,
            b"\xeb\x3c\x90",
            b"BOOTPATH",
            SECTOR_BYTES,
            geometry.cluster_sectors,
            1,  # reserved sectors
            2,  # FATs
            ROOT_ENTRIES,
            small,
            0xF8,
            geometry.fat_sectors,
            32,  # sectors a track and heads: nobody asks
            64,
            0,
            large,
            0x80,
            0,
            0x29,
            serial,
            b"NO NAME    ",
            b"FAT%d   " % geometry.fat_bits,
        )
        self.data[510:512] = b"\x55\xaa"

    def store(self, content: bytes, minimum_clusters: int = 0) -> int:
        """Put `content` into a chain of fresh clusters; its first cluster, 0 for nothing."""
        count = max(-(-len(content) // self.geometry.cluster_bytes), minimum_clusters)
        if count == 0:
            return 0
        first = len(self.chain)
        if first - 2 + count > self.geometry.clusters:
            raise Error(
                "boot loader does not fit",
                where="EFI partition",
                found=f"{len(content)} bytes",
                expected=f"at most {(self.geometry.clusters + 2 - first) * self.geometry.cluster_bytes}",
                hint="make the partition larger with --efi-size",
            )
        self.chain += [*range(first + 1, first + count), 0xFFFF]
        start = self.geometry.data_sector * SECTOR_BYTES + (first - 2) * self.geometry.cluster_bytes
        self.data[start : start + len(content)] = content
        return first

    def finish(self, root: bytes) -> bytes:
        geometry = self.geometry
        if geometry.fat_bits == 16:
            fat = struct.pack(f"<{len(self.chain)}H", *self.chain)
        else:
            packed = bytearray(-(-len(self.chain) * 3 // 2) + 1)
            for index, value in enumerate(self.chain):
                position = index * 3 // 2
                (word,) = struct.unpack_from("<H", packed, position)
                struct.pack_into("<H", packed, position, word | (value & 0xFFF) << (4 if index % 2 else 0) & 0xFFFF)
            fat = bytes(packed)
        for copy in range(2):
            start = (1 + copy * geometry.fat_sectors) * SECTOR_BYTES
            self.data[start : start + len(fat)] = fat
        start = (1 + 2 * geometry.fat_sectors) * SECTOR_BYTES
        self.data[start : start + len(root)] = root
        return bytes(self.data)


def _entry(name: str, attributes: int, cluster: int, size: int) -> bytes:
    if name in (".", ".."):
        short = name.ljust(11)
    elif _NAME.fullmatch(name):
        stem, _, suffix = name.partition(".")
        short = stem.ljust(8) + suffix.ljust(3)
    else:
        raise Error("not an upper-case 8.3 name", where="EFI partition", found=repr(name))
    return struct.pack("<11s B 8x H H H H I", short.encode("ascii"), attributes, 0, 0, _DOS_EPOCH, cluster, size)


def make_esp(size_bytes: int, files: Mapping[str, bytes], *, serial: int = 0) -> bytes:
    """A FAT volume of `size_bytes` that holds `files` (upper-case 8.3 paths with ``/`` to contents).

    Raises Error when a name is not 8.3, or a file or the size does not fit.
    """
    volume = _Volume(size_bytes, serial)
    tree: dict[str, object] = {}
    for path, content in files.items():
        *parents, name = path.split("/")
        directory = tree
        for parent in parents:
            child = directory.setdefault(parent, {})
            if not isinstance(child, dict):
                raise Error("is a file and a directory", where="EFI partition", found=repr(parent))
            directory = child
        directory[name] = content
    return volume.finish(_store_directory(volume, tree, parent=None)[1])


def _store_directory(volume: _Volume, tree: dict[str, object], parent: int | None) -> tuple[int, bytes]:
    """Store the children of a directory, then itself; its first cluster (0 for the root) and its entries."""
    own = 0
    if parent is not None:
        own = volume.store(b"", minimum_clusters=1)
    entries = b""
    if parent is not None:
        entries = _entry(".", _DIRECTORY, own, 0) + _entry("..", _DIRECTORY, parent, 0)
    for name, child in sorted(tree.items()):
        if isinstance(child, dict):
            cluster, _ = _store_directory(volume, child, parent=own)
            entries += _entry(name, _DIRECTORY, cluster, 0)
        else:
            assert isinstance(child, bytes)
            entries += _entry(name, _ARCHIVE, volume.store(child), len(child))
    limit = volume.geometry.cluster_bytes if parent is not None else ROOT_ENTRIES * 32
    if len(entries) > limit:
        raise Error("too many files in one directory", where="EFI partition", found=len(tree))
    if parent is not None:
        start = volume.geometry.data_sector * SECTOR_BYTES + (own - 2) * volume.geometry.cluster_bytes
        volume.data[start : start + len(entries)] = entries
    return own, entries
