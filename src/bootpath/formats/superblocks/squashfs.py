"""squashfs 4.0: a compressed file system that is only read.

Source: Linux Documentation/filesystems/squashfs.rst and fs/squashfs/squashfs_fs.h. Little endian, 96 bytes at byte 0::

      0 magic, 4 = "hsqs"       4 inodes, u32            8 time, u32        12 block size, u32   16 fragments, u32
     20 compressor, u16        22 log2(block size), u16  24 flags, u16      26 ids, u16
     28 major, u16 = 4         30 minor, u16 = 0         32 root inode, u64 40 bytes used, u64
     48 id table, u64          56 xattr table            64 inode table     72 directory table
     80 fragment table         88 export table           (all ones: there is none)

It has neither checksum nor UUID nor label. Older versions, and big-endian ones ("sqsh"), are other formats.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from bootpath.formats.region import Region
from bootpath.formats.superblocks.value import Superblock, fault, power_of_two

SQUASHFS_MAGIC = b"hsqs"
SQUASHFS_BYTES = 96
COMPRESSORS: Mapping[int, str] = {1: "gzip", 2: "lzma", 3: "lzo", 4: "xz", 5: "lz4", 6: "zstd"}

_KIND = "squashfs"
_SUPERBLOCK = struct.Struct("<4sIIIIHHHHHHQQQQQQQQ")
_NONE = 2**64 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SquashfsSuperblock(Superblock):
    """`compressor` by its name."""

    inodes: int
    compressor: str
    flags: int


def probe_squashfs(region: Region) -> SquashfsSuperblock | None:
    """The superblock at byte 0, None when it is not there. Raises FormatError when it is damaged, DeviceError."""
    data = region.peek(0, SQUASHFS_BYTES)
    if len(data) < SQUASHFS_BYTES or not data.startswith(SQUASHFS_MAGIC):
        return None
    (
        _,
        inodes,
        _,
        block_bytes,
        _,
        compressor,
        block_bits,
        flags,
        _,
        major,
        minor,
        _,
        bytes_used,
        id_table,
        xattr_table,
        inode_table,
        directory_table,
        fragment_table,
        export_table,
    ) = _SUPERBLOCK.unpack(data)
    if (major, minor) != (4, 0):
        raise fault(_KIND, "the version is not supported", f"{major}.{minor}", "4.0")
    power_of_two(_KIND, "the block size", block_bytes, 4 << 10, 1 << 20)
    if block_bytes != 1 << min(block_bits, 64):
        raise fault(
            _KIND, "log2 of the block size does not match the block size", block_bits, block_bytes.bit_length() - 1
        )
    if compressor not in COMPRESSORS:
        raise fault(_KIND, "the compressor is unknown", compressor, "1 to 6")
    if not SQUASHFS_BYTES < bytes_used < 1 << 63:
        raise fault(
            _KIND,
            "the number of bytes used is out of range",
            bytes_used,
            f"more than {SQUASHFS_BYTES} and less than 2^63",
        )
    for name, place in (("id", id_table), ("inode", inode_table), ("directory", directory_table)):
        if not SQUASHFS_BYTES <= place <= bytes_used:
            raise fault(
                _KIND,
                f"the {name} table is outside the file system",
                f"byte {place}",
                f"byte {SQUASHFS_BYTES} to {bytes_used}",
            )
    for name, place in (("xattr", xattr_table), ("fragment", fragment_table), ("export", export_table)):
        if place != _NONE and not SQUASHFS_BYTES <= place <= bytes_used:
            raise fault(
                _KIND,
                f"the {name} table is outside the file system",
                f"byte {place}",
                f"byte {SQUASHFS_BYTES} to {bytes_used}",
            )
    return SquashfsSuperblock(
        kind=_KIND,
        offset=0,
        uuid=None,
        label="",
        block_bytes=block_bytes,
        size_bytes=bytes_used,
        read_only=True,
        version=f"{major}.{minor}",
        inodes=inodes,
        compressor=COMPRESSORS[compressor],
        flags=flags,
    )
