"""erofs: a file system that is only read.

Source: Linux Documentation/filesystems/erofs.rst and fs/erofs/erofs_fs.h. Little endian, 128 bytes at byte 1024::

      0 magic, u32 = 0xE0F5E1E2   4 checksum, u32   8 feature_compat, u32   12 log2(block size), u8
     13 extension slots, u8      14 root inode, u16 (48bit: blocks, high u16)
     16 inodes, u64              24 build time, u64   36 blocks, u32   48 UUID, 16   64 label, 16
     80 feature_incompat, u32

feature_compat 1: the checksum is a crc32c, from ~0, not inverted, of the rest of the superblock's block, or of a
whole block where blocks are no larger than 1024, taking itself as 0.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from bootpath.core.errors import FormatError
from bootpath.formats.crc32c import crc32c_update
from bootpath.formats.region import Region
from bootpath.formats.superblocks.value import (
    Checksum,
    Superblock,
    checksum_field,
    fault,
    shifted,
    text_field,
    uuid_field,
)

EROFS_OFFSET = 1024
EROFS_BYTES = 128
EROFS_MAGIC = b"\xe2\xe1\xf5\xe0"

_KIND = "erofs"
_COMPAT_CHECKSUM = 0x1
_INCOMPAT_48BIT = 0x80


@dataclass(frozen=True, slots=True, kw_only=True)
class ErofsSuperblock(Superblock):
    """`feature_incompat` has a bit for everything a reader must know."""

    inodes: int
    feature_compat: int
    feature_incompat: int


def probe_erofs(region: Region) -> ErofsSuperblock | None:
    """The superblock at byte 1024, None when it is not there. Raises FormatError when it is damaged, DeviceError."""
    data = region.peek(EROFS_OFFSET, EROFS_BYTES)
    if len(data) < EROFS_BYTES or not data.startswith(EROFS_MAGIC):
        return None
    stored, compat, block_bits, _, high = struct.unpack_from("<IIBBH", data, 4)
    block_bytes = shifted(_KIND, "the block size", block_bits, 9, 16)
    checksum = Checksum.NONE
    if compat & _COMPAT_CHECKSUM:
        length = block_bytes - EROFS_OFFSET if block_bytes > EROFS_OFFSET else block_bytes
        try:
            block = region.read(EROFS_OFFSET, length, "what the checksum covers")
        except FormatError as error:
            raise error.at(_KIND) from None
        computed = crc32c_update(crc32c_update(0xFFFFFFFF, EROFS_MAGIC + bytes(4)), block[8:])
        checksum = checksum_field(_KIND, stored, computed)
    (inodes,) = struct.unpack_from("<Q", data, 16)
    (blocks,) = struct.unpack_from("<I", data, 36)
    (incompat,) = struct.unpack_from("<I", data, 80)
    if incompat & _INCOMPAT_48BIT:
        blocks |= high << 32
    if not blocks:
        raise fault(_KIND, "the number of blocks is zero", 0, "at least one")
    return ErofsSuperblock(
        kind=_KIND,
        offset=EROFS_OFFSET,
        uuid=uuid_field(data[48:64]),
        label=text_field(data[64:80]),
        block_bytes=block_bytes,
        size_bytes=blocks * block_bytes,
        read_only=True,
        checksum=checksum,
        inodes=inodes,
        feature_compat=compat,
        feature_incompat=incompat,
    )
