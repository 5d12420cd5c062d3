"""FAT12, FAT16 and FAT32: the boot sector, and the label in the root directory.

Source: Microsoft FAT specification ("Extensible Firmware Initiative FAT32 File System Specification 1.03") §3 to §6.
Little endian, 512 bytes at byte 0::

      0 jump, e9 or eb      3 OEM name, 8     11 sector bytes, u16   13 sectors/cluster, u8   14 reserved sectors, u16
     16 FATs, u8           17 root entries, u16  19 sectors, u16     21 media, u8   22 sectors/FAT, u16
     32 sectors, u32 (where 19 is 0)                                                        510 signature, 55 aa

     FAT12, FAT16:  38 0x29   39 serial, u32   43 label, 11   54 "FAT12   " or "FAT16   "
     FAT32:         36 sectors/FAT, u32   44 root cluster, u32   66 0x29   67 serial   71 label   82 "FAT32   "

It has no checksum and no magic of its own: a sector with the signature, the jump and the word FAT claims to be one;
without the word it is one when every field is right, so that boot code is not taken for a damaged file system. "FAT
type is determined by the count of clusters", never by the word.

The label is the root directory's volume entry, which programs keep up to date, as for libblkid, which does not take the
boot sector's in its place; so many clusters of a FAT32 root directory are looked at as there.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bootpath.core.errors import FormatError
from bootpath.formats.region import Region
from bootpath.formats.superblocks.value import Superblock, fault, power_of_two

BOOT_SECTOR_BYTES = 512
ENTRY_BYTES = 32
NO_NAME = "NO NAME"

_KIND = "vfat"
_SIGNATURE = b"\x55\xaa"
_OTHERS = (b"NTFS    ", b"EXFAT   ", b"-FVE-FS-")
_MAX_ROOT_CLUSTERS = 100
_MAX_ROOT_BYTES = 1 << 20
_ATTRIBUTE_OFFSET = 11
_VOLUME_ID = 0x08
_LONG_NAME = 0x0F


@dataclass(frozen=True, slots=True, kw_only=True)
class FatSuperblock(Superblock):
    """`bits` is 12, 16 or 32; `uuid` the serial number as blkid shows it. `boot_label` is the boot sector's."""

    bits: int
    cluster_bytes: int
    clusters: int
    boot_label: str


@dataclass(frozen=True, slots=True)
class _Layout:
    """The fields that say where things are, in sectors."""

    sector_bytes: int
    cluster_sectors: int
    reserved: int
    fats: int
    root_entries: int
    sectors: int
    fat_sectors: int
    root_cluster: int

    @property
    def root_sectors(self) -> int:
        return -(-self.root_entries * ENTRY_BYTES // self.sector_bytes)

    @property
    def data_start(self) -> int:
        return self.reserved + self.fats * self.fat_sectors + self.root_sectors

    @property
    def clusters(self) -> int:
        return (self.sectors - self.data_start) // self.cluster_sectors

    @property
    def bits(self) -> int:
        # "If the count of clusters is less than 4085, the volume is FAT12, less than 65525 FAT16, otherwise FAT32";
        # without sectors per FAT in 16 bits, and no fixed root, the fields are FAT32's all the same, as in Linux.
        if self.root_entries == 0:
            return 32
        return 12 if self.clusters < 4085 else 16


def probe_fat(region: Region) -> FatSuperblock | None:
    """The FAT file system at byte 0, None when there is none. Raises FormatError when it is damaged, DeviceError."""
    data = region.peek(0, BOOT_SECTOR_BYTES)
    if len(data) < BOOT_SECTOR_BYTES or data[510:512] != _SIGNATURE or data[0] not in (0xE9, 0xEB):
        return None
    if data[3:11] in _OTHERS:
        return None
    claims = data[54:57] == b"FAT" or data[82:85] == b"FAT"
    try:
        layout = _parse_layout(data)
    except FormatError:
        if claims:
            raise
        return None
    extended = 66 if layout.bits == 32 else 38
    serial = label = ""
    # "0x29: indicates that the following three fields are present"; 0x28: the serial number alone.
    if data[extended] in (0x28, 0x29):
        number = int.from_bytes(data[extended + 1 : extended + 5], "little")
        serial = f"{number >> 16:04X}-{number & 0xFFFF:04X}"
    if data[extended] == 0x29:
        label = _label(data[extended + 5 : extended + 16])
        label = "" if label == NO_NAME else label
    return FatSuperblock(
        kind=_KIND,
        offset=0,
        uuid=serial if serial not in ("", "0000-0000") else None,
        label=_label_entry(_root_entries(region, layout)),
        block_bytes=layout.sector_bytes,
        size_bytes=layout.sectors * layout.sector_bytes,
        version=f"FAT{layout.bits}",
        bits=layout.bits,
        cluster_bytes=layout.sector_bytes * layout.cluster_sectors,
        clusters=layout.clusters,
        boot_label=label,
    )


def _parse_layout(data: bytes) -> _Layout:
    sector_bytes, cluster_sectors, reserved, fats, root_entries, sectors, media, fat_sectors = struct.unpack_from(
        "<HBHBHHBH", data, 11
    )
    (sectors_32,) = struct.unpack_from("<I", data, 32)
    root_cluster = 0
    if fat_sectors == 0:
        (fat_sectors,) = struct.unpack_from("<I", data, 36)
        (root_cluster,) = struct.unpack_from("<I", data, 44)
    power_of_two(_KIND, "the sector size", sector_bytes, 512, 4096)
    power_of_two(_KIND, "the number of sectors per cluster", cluster_sectors, 1, 128)
    if reserved == 0:
        raise fault(_KIND, "the number of reserved sectors is zero", 0, "at least one")
    if fats not in (1, 2):
        raise fault(_KIND, "the number of FATs is out of range", fats, "1 or 2")
    if media != 0xF0 and media < 0xF8:
        raise fault(_KIND, "the media byte is not valid", f"0x{media:02x}", "0xf0, or 0xf8 to 0xff")
    if fat_sectors == 0:
        raise fault(_KIND, "the number of sectors per FAT is zero", 0, "at least one")
    layout = _Layout(
        sector_bytes,
        cluster_sectors,
        reserved,
        fats,
        root_entries,
        sectors or sectors_32,
        fat_sectors,
        root_cluster,
    )
    if layout.clusters < 1:
        raise fault(
            _KIND, "the number of sectors is too small", layout.sectors, f"more than {layout.data_start} and a cluster"
        )
    if (root_entries == 0) != (root_cluster >= 2):
        raise fault(
            _KIND,
            "the root directory is in both places, or in none",
            f"{root_entries} entries and cluster {root_cluster}",
            "one of both",
        )
    # A FAT must hold an entry for every cluster, and for the two numbers that stand for none.
    if fat_sectors * sector_bytes * 8 < (layout.clusters + 2) * layout.bits:
        raise fault(
            _KIND, "the number of sectors per FAT is too small", fat_sectors, f"enough for {layout.clusters} clusters"
        )
    return layout


def _root_entries(region: Region, layout: _Layout) -> Iterator[bytes]:
    """The entries of the root directory, as far as they are looked at. Cut off, the device ends before."""
    if layout.bits != 32:
        start = (layout.data_start - layout.root_sectors) * layout.sector_bytes
        yield from _split(region.peek(start, min(layout.root_sectors * layout.sector_bytes, _MAX_ROOT_BYTES)))
        return
    cluster_bytes, data_start = layout.cluster_sectors * layout.sector_bytes, layout.data_start * layout.sector_bytes
    cluster = layout.root_cluster
    for _ in range(min(_MAX_ROOT_CLUSTERS, _MAX_ROOT_BYTES // cluster_bytes)):
        if not 2 <= cluster < layout.clusters + 2:
            return
        yield from _split(region.peek(data_start + (cluster - 2) * cluster_bytes, cluster_bytes))
        link = region.peek(layout.reserved * layout.sector_bytes + 4 * cluster, 4)
        cluster = int.from_bytes(link, "little") & 0x0FFFFFFF


def _split(data: bytes) -> Iterator[bytes]:
    return (data[place : place + ENTRY_BYTES] for place in range(0, len(data) - ENTRY_BYTES + 1, ENTRY_BYTES))


def _label_entry(entries: Iterable[bytes]) -> str:
    """The label among the entries of a root directory, "" where there is none."""
    for entry in entries:
        if entry[0] == 0:  # "there are no allocated directory entries after this one"
            break
        attributes = entry[_ATTRIBUTE_OFFSET]
        if entry[0] == 0xE5 or attributes & 0x3F == _LONG_NAME:
            continue
        if attributes & 0x18 == _VOLUME_ID:
            # "0x05: the actual file name character for this byte is 0xE5"
            first = b"\xe5" if entry[0] == 0x05 else entry[:1]
            return _label(first + entry[1:11])
    return ""


def _label(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode("cp437").rstrip(" ")
