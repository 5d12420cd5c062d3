"""ext2, ext3 and ext4: one superblock, told apart by their features.

Source: Linux Documentation/filesystems/ext4/super.rst. Little endian, 1024 bytes at byte 1024::

      0 inodes, u32       4 blocks, u32        20 first data block, u32     24 log2(block size) - 10, u32
     32 blocks/group     40 inodes/group       56 magic, u16 = 0xEF53       58 state, u16 (1 clean, 2 errors)
     76 revision, u32    88 inode size, u16    92 compat  96 incompat  100 ro_compat, u32 each
    104 UUID, 16        120 label, 16         336 blocks, high u32 (64bit)
    373 checksum type, u8 = 1 (crc32c)       1020 checksum, u32, of bytes 0 to 1019, from ~0, not inverted

Rules for the name, as in libblkid: a journal device is `jbd`; a feature that ext3 does not know makes it ext4; a
journal makes it ext3.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntFlag

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

EXT_OFFSET = 1024
EXT_BYTES = 1024
EXT_MAGIC = 0xEF53
MAX_LOG_BLOCK = 16  # 64 KiB

_KIND = "ext"
_CRC32C = 1


class Compat(IntFlag):
    """s_feature_compat: what a reader and a writer may ignore."""

    HAS_JOURNAL = 0x4


class Incompat(IntFlag):
    """s_feature_incompat: what a reader must know."""

    COMPRESSION = 0x1
    FILETYPE = 0x2
    RECOVER = 0x4
    JOURNAL_DEV = 0x8
    META_BG = 0x10
    EXTENTS = 0x40
    BITS64 = 0x80
    MMP = 0x100
    FLEX_BG = 0x200
    EA_INODE = 0x400
    DIRDATA = 0x1000
    CSUM_SEED = 0x2000
    LARGEDIR = 0x4000
    INLINE_DATA = 0x8000
    ENCRYPT = 0x10000
    CASEFOLD = 0x20000


class RoCompat(IntFlag):
    """s_feature_ro_compat: what a writer must know."""

    SPARSE_SUPER = 0x1
    LARGE_FILE = 0x2
    BTREE_DIR = 0x4
    METADATA_CSUM = 0x400


_EXT3_INCOMPAT = Incompat.FILETYPE | Incompat.RECOVER | Incompat.META_BG
_EXT3_RO_COMPAT = RoCompat.SPARSE_SUPER | RoCompat.LARGE_FILE | RoCompat.BTREE_DIR


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtSuperblock(Superblock):
    """`clean` is the state flag; `needs_recovery` says that the journal must be replayed to see what was written."""

    inodes: int
    inode_bytes: int
    compat: int
    incompat: int
    ro_compat: int
    clean: bool
    needs_recovery: bool


def probe_ext(region: Region) -> ExtSuperblock | None:
    """The superblock at byte 1024, None when it is not there. Raises FormatError when it is damaged, DeviceError."""
    data = region.peek(EXT_OFFSET, EXT_BYTES)
    if len(data) < EXT_BYTES or struct.unpack_from("<H", data, 56)[0] != EXT_MAGIC:
        return None
    inodes, blocks = struct.unpack_from("<II", data)
    (first_block, log_block) = struct.unpack_from("<II", data, 20)
    (revision,) = struct.unpack_from("<I", data, 76)
    inode_bytes, _, compat, incompat, ro_compat = struct.unpack_from("<HHIII", data, 88)
    # "Revision 0: the original format; revision 1: v2 format with dynamic inode sizes", and with features.
    if revision > 1 or (revision == 0 and (compat or incompat or ro_compat)):
        raise fault(_KIND, "the revision is not supported", revision, "1, or 0 and no features")
    if revision == 0:
        inode_bytes = 128
    checksum = Checksum.NONE
    if ro_compat & RoCompat.METADATA_CSUM:
        if data[373] != _CRC32C:
            raise fault(_KIND, "the checksum type is unknown", data[373], f"{_CRC32C}, crc32c")
        stored = struct.unpack_from("<I", data, 1020)[0]
        checksum = checksum_field(_KIND, stored, crc32c_update(0xFFFFFFFF, data[:1020]))
    block_bytes = shifted(_KIND, "the block size", log_block + 10, 10, MAX_LOG_BLOCK)
    if incompat & Incompat.BITS64:
        blocks |= struct.unpack_from("<I", data, 336)[0] << 32
    if blocks <= first_block:
        raise fault(
            _KIND, "the number of blocks is out of range", blocks, f"more than the first data block, {first_block}"
        )
    if blocks * block_bytes >= 1 << 63:
        raise fault(
            _KIND, "the number of blocks is out of range", blocks, f"less than 2^63 bytes in blocks of {block_bytes}"
        )
    if not incompat & Incompat.JOURNAL_DEV and (
        inode_bytes & (inode_bytes - 1) or not 128 <= inode_bytes <= block_bytes
    ):
        raise fault(_KIND, "the inode size is not valid", inode_bytes, f"a power of two from 128 to {block_bytes}")
    (state,) = struct.unpack_from("<H", data, 58)
    return ExtSuperblock(
        kind=_kind(compat, incompat, ro_compat),
        offset=EXT_OFFSET,
        uuid=uuid_field(data[104:120]),
        label=text_field(data[120:136]),
        block_bytes=block_bytes,
        size_bytes=blocks * block_bytes,
        checksum=checksum,
        version=f"{revision}.{struct.unpack_from('<H', data, 62)[0]}",
        inodes=inodes,
        inode_bytes=inode_bytes,
        compat=compat,
        incompat=incompat,
        ro_compat=ro_compat,
        clean=state & 3 == 1,
        needs_recovery=bool(incompat & Incompat.RECOVER),
    )


def _kind(compat: int, incompat: int, ro_compat: int) -> str:
    if incompat & Incompat.JOURNAL_DEV:
        return "jbd"
    if incompat & ~_EXT3_INCOMPAT or ro_compat & ~_EXT3_RO_COMPAT:
        return "ext4"
    return "ext3" if compat & Compat.HAS_JOURNAL else "ext2"
