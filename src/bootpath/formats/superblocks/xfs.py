"""XFS: the superblock of the first allocation group.

Source: Linux fs/xfs/libxfs/xfs_format.h (struct xfs_dsb), "XFS Filesystem Disk Structures". Big endian, a sector at
byte 0::

      0 magic, 4 = "XFSB"   4 block size, u32   8 blocks, u64     32 UUID, 16    84 blocks of a group, u32
     88 groups, u32       100 version, u16 (the low four bits: 4 or 5)
    102 sector size, u16  104 inode size, u16  108 label, 12     120 log2: block, u8  121 sector  122 inode
    126 being made, u8    208 compat, u32      212 ro_compat     216 incompat        220 log_incompat
    224 crc, u32, little endian: crc32c of the sector, taking itself as 0 (version 5)
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from bootpath.core.errors import FormatError
from bootpath.formats.crc32c import crc32c
from bootpath.formats.region import Region
from bootpath.formats.superblocks.value import (
    Checksum,
    Superblock,
    checksum_field,
    fault,
    power_of_two,
    text_field,
    uuid_field,
)

XFS_MAGIC = b"XFSB"
XFS_BYTES = 264

_KIND = "xfs"
_CRC_OFFSET = 224


@dataclass(frozen=True, slots=True, kw_only=True)
class XfsSuperblock(Superblock):
    """`version` 5 has checksums everywhere, 4 has none. `being_made` is set until mkfs has ended."""

    sector_bytes: int
    inode_bytes: int
    groups: int
    incompat: int
    being_made: bool


def probe_xfs(region: Region) -> XfsSuperblock | None:
    """The superblock at byte 0, None when it is not there. Raises FormatError when it is damaged, DeviceError."""
    data = region.peek(0, XFS_BYTES)
    if len(data) < XFS_BYTES or not data.startswith(XFS_MAGIC):
        return None
    block_bytes, blocks = struct.unpack_from(">IQ", data, 4)
    group_blocks, groups = struct.unpack_from(">II", data, 84)
    version, sector_bytes, inode_bytes = struct.unpack_from(">HHH", data, 100)
    if version & 15 not in (4, 5):
        raise fault(_KIND, "the version is not supported", version & 15, "4 or 5")
    power_of_two(_KIND, "the sector size", sector_bytes, 512, 32 << 10)
    checksum = Checksum.NONE
    incompat = 0
    if version & 15 == 5:
        try:
            sector = region.read(0, sector_bytes, "the superblock")
        except FormatError as error:
            raise error.at(_KIND) from None
        (stored,) = struct.unpack_from("<I", sector, _CRC_OFFSET)
        covered = sector[:_CRC_OFFSET] + bytes(4) + sector[_CRC_OFFSET + 4 :]
        checksum = checksum_field(_KIND, stored, crc32c(covered))
        (incompat,) = struct.unpack_from(">I", data, 216)
    power_of_two(_KIND, "the block size", block_bytes, 512, 64 << 10)
    power_of_two(_KIND, "the inode size", inode_bytes, 256, 2048)
    for name, size, bits in (("block", block_bytes, data[120]), ("sector", sector_bytes, data[121])):
        if size.bit_length() - 1 != bits:
            raise fault(_KIND, f"log2 of the {name} size does not match the {name} size", bits, size.bit_length() - 1)
    # "sb_dblocks": every group but the last is whole.
    if not groups or not (groups - 1) * group_blocks < blocks <= groups * group_blocks:
        raise fault(
            _KIND,
            "the number of blocks does not match the groups",
            blocks,
            f"what {groups} groups of {group_blocks} have",
        )
    if blocks * block_bytes >= 1 << 63:
        raise fault(
            _KIND, "the number of blocks is out of range", blocks, f"less than 2^63 bytes in blocks of {block_bytes}"
        )
    return XfsSuperblock(
        kind=_KIND,
        offset=0,
        uuid=uuid_field(data[32:48]),
        label=text_field(data[108:120]),
        block_bytes=block_bytes,
        size_bytes=blocks * block_bytes,
        checksum=checksum,
        version=str(version & 15),
        sector_bytes=sector_bytes,
        inode_bytes=inode_bytes,
        groups=groups,
        incompat=incompat,
        being_made=bool(data[126]),
    )
