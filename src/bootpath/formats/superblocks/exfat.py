"""exFAT: the main boot region, and the label in the root directory.

Source: Microsoft, "exFAT file system specification", §3 and §7.3. Little endian, at byte 0::

      0 jump, eb 76 90      3 name, 8 = "EXFAT   "    11 zeros, 53    72 sectors of the volume, u64
     80 FAT's first sector, u32   84 FAT's sectors    88 cluster heap's first sector   92 clusters
     96 root's first cluster     100 serial, u32     104 revision, u16 (high byte: major)   106 flags, u16
    108 log2(sector size), u8    109 log2(sectors/cluster), u8    110 FATs, u8             510 signature, 55 aa

Sector 11 repeats the 32-bit checksum of sectors 0 to 10, which leaves out bytes 106, 107 (flags) and 112 (percent in
use) of sector 0: the sum is rotated right by one, and the next byte is added.

The label is an entry of the root directory, at any place in it; its clusters are a chain in the FAT, as many as
libblkid looks at.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bootpath.core.errors import FormatError
from bootpath.formats.region import Region
from bootpath.formats.superblocks.value import Checksum, Superblock, checksum_field, fault, shifted

_KIND = "exfat"
_NAME = b"EXFAT   "
_SECTORS = 11
_ENTRY_BYTES = 32
_LABEL_ENTRY = 0x83
_LABEL_MAX = 11
_MAX_ROOT_BYTES = 10_000 * _ENTRY_BYTES
_LAST_CLUSTER = 0xFFFFFFF7
"""From here on: a bad cluster, or the end of a chain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExfatSuperblock(Superblock):
    """`uuid` is the serial number as blkid shows it; `dirty` is VolumeDirty."""

    cluster_bytes: int
    clusters: int
    dirty: bool


def probe_exfat(region: Region) -> ExfatSuperblock | None:
    """The file system at byte 0, None when it is not there. Raises FormatError when it is damaged, DeviceError."""
    data = region.peek(0, 512)
    if len(data) < 512 or data[3:11] != _NAME or data[510:512] != b"\x55\xaa":
        return None
    (sectors,) = struct.unpack_from("<Q", data, 72)
    (fat,) = struct.unpack_from("<I", data, 80)
    heap, clusters, root, serial, revision, flags = struct.unpack_from("<IIIIHH", data, 88)
    sector_bytes = shifted(_KIND, "the sector size", data[108], 9, 12)
    cluster_bytes = shifted(_KIND, "the cluster size", data[108] + data[109], data[108], 25)
    if revision >> 8 != 1:
        raise fault(_KIND, "the revision is not supported", f"{revision >> 8}.{revision & 0xFF:02d}", "1.xx")
    checksum = _check(region, sector_bytes)
    if not (heap * sector_bytes + clusters * cluster_bytes <= sectors * sector_bytes < 1 << 63) or not clusters:
        raise fault(
            _KIND,
            "the clusters do not fit into the volume",
            f"{sectors} sectors",
            f"{clusters} clusters from sector {heap} on",
        )
    if not 2 <= root < clusters + 2:
        raise fault(_KIND, "the root directory's first cluster is out of range", root, f"2 to {clusters + 1}")
    layout = _Layout(fat * sector_bytes, heap * sector_bytes, cluster_bytes, clusters)
    return ExfatSuperblock(
        kind=_KIND,
        offset=0,
        uuid=f"{serial >> 16:04X}-{serial & 0xFFFF:04X}" if serial else None,
        label=_label(_entries(region, layout, root)),
        block_bytes=sector_bytes,
        size_bytes=sectors * sector_bytes,
        checksum=checksum,
        version=f"{revision >> 8}.{revision & 0xFF}",
        cluster_bytes=cluster_bytes,
        clusters=clusters,
        dirty=bool(flags & 2),
    )


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the FAT and the clusters are, in bytes."""

    fat: int
    heap: int
    cluster_bytes: int
    clusters: int


def _entries(region: Region, layout: _Layout, cluster: int) -> Iterator[bytes]:
    """The entries of the directory that begins at a cluster, to the end of the chain, or of what is looked at."""
    left = _MAX_ROOT_BYTES
    while left > 0 and 2 <= cluster < min(layout.clusters + 2, _LAST_CLUSTER):
        length = min(layout.cluster_bytes, left)
        data = region.peek(layout.heap + (cluster - 2) * layout.cluster_bytes, length)
        for place in range(0, len(data) - _ENTRY_BYTES + 1, _ENTRY_BYTES):
            yield data[place : place + _ENTRY_BYTES]
        left -= length
        cluster = int.from_bytes(region.peek(layout.fat + 4 * cluster, 4), "little")


def _check(region: Region, sector_bytes: int) -> Checksum:
    try:
        boot = region.read(0, (_SECTORS + 1) * sector_bytes, "the boot region")
    except FormatError as error:
        raise error.at(_KIND) from None
    total = 0
    for index in range(_SECTORS * sector_bytes):
        if index not in (106, 107, 112):
            total = ((total >> 1 | total << 31) + boot[index]) & 0xFFFFFFFF
    (stored,) = struct.unpack_from("<I", boot, _SECTORS * sector_bytes)
    return checksum_field(_KIND, stored, total)


def _label(entries: Iterable[bytes]) -> str:
    for entry in entries:
        kind, count = entry[0], entry[1]
        if kind == 0:
            break
        if kind == _LABEL_ENTRY and count <= _LABEL_MAX:
            return entry[2 : 2 + 2 * count].decode("utf-16-le", "replace")
    return ""
