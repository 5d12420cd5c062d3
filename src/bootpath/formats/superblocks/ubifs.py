"""UBIFS: the file system of raw flash, in a volume of UBI.

Source: Linux fs/ubifs/ubifs-media.h and sb.c. Little endian. Logical eraseblock (LEB) 0 begins with the superblock
node, 4096 bytes; a LEB may have any size that is a multiple of 8::

      0 magic 0x06101831  4 CRC-32 of what follows it, not inverted at its end   8 sequence number, u64
     16 length, u32 = 4096   20 node type, u8 = 6   26 hash of keys, u8 (0 R5, 1 test)   27 format of keys, u8 = 0
     28 flags, u32   32 least I/O bytes, u32   36 LEB bytes   40 LEBs   44 most LEBs   48 most bytes in the journal, u64
     56 log LEBs   60 LPT LEBs   64 orphan LEBs   68 journal heads of data   72 fanout   76 lsave   80 format version
     84 compression, u16   104 time granularity, u32   108 UUID, 16   124 read-only compatible version, u32
    256 hash algorithm, u16, where the file system is authenticated

The areas follow each other: superblock (1 LEB), master nodes (2), log, LPT, orphans, main area.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntFlag
from zlib import crc32

from bootpath.formats.region import Region
from bootpath.formats.superblocks.value import Checksum, Superblock, fault, power_of_two, uuid_field

UBIFS_MAGIC = 0x06101831
MASTER_LEB = 1
LOG_LEB = 3

_KIND = "ubifs"
_NODE_BYTES = 4096
_SUPERBLOCK_NODE = 6
_HEADER = struct.Struct("<IIQIB")
_FIELDS = struct.Struct("<BBIIIIIQIIIIIII")  # from byte 26
_FIELDS_PLACE = 26
_TAIL = struct.Struct("<16sI")  # from byte 108
_TAIL_PLACE = 108
_HASH_ALGORITHM_PLACE = 256
_MIN_LEB_BYTES = 15 << 10
_MAX_LEB_BYTES = 16 << 20
_MAX_LEBS = 1 << 20
_KEY_HASHES = 2
_SPEC = "Linux fs/ubifs/sb.c"


class UbifsFlag(IntFlag):
    """Flags of the superblock node."""

    BIG_LPT = 2
    SPACE_FIXUP = 4
    DOUBLE_HASH = 8
    ENCRYPTION = 16
    AUTHENTICATION = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class UbifsSuperblock(Superblock):
    """`flags` may have bits that are not known. `max_lebs`: to so many LEBs it grows with its volume.

    `heads` are all heads of the journal: that of the garbage collector, the base's, and those of data.
    """

    flags: int
    leb_bytes: int
    lebs: int
    max_lebs: int
    log_lebs: int
    lpt_lebs: int
    orphan_lebs: int
    heads: int
    format_version: int
    read_only_version: int
    hash_algorithm: int

    @property
    def main_first(self) -> int:
        """The first LEB with files and index."""
        return LOG_LEB + self.log_lebs + self.lpt_lebs + self.orphan_lebs


def probe_ubifs(region: Region) -> UbifsSuperblock | None:
    """The UBIFS that begins here, None when there is none. Raises FormatError when its superblock is damaged."""
    node = region.peek(0, _NODE_BYTES)
    if len(node) < _NODE_BYTES or int.from_bytes(node[:4], "little") != UBIFS_MAGIC:
        return None
    _, checksum, _, length, kind = _HEADER.unpack_from(node)
    if (kind, length) != (_SUPERBLOCK_NODE, _NODE_BYTES):
        raise fault(
            _KIND,
            "the first node is not a superblock node",
            f"type {kind}, {length} bytes",
            f"type {_SUPERBLOCK_NODE}, {_NODE_BYTES} bytes",
        )
    computed = crc32(node[8:]) ^ 0xFFFFFFFF
    if computed != checksum:
        raise fault(
            _KIND, "the checksum of the superblock node does not match", f"{computed:#010x}", f"{checksum:#010x}"
        )
    key_hash, key_format, flags, min_io, leb_bytes, lebs, max_lebs, _, log, lpt, orphans, heads, _, _, version = (
        _FIELDS.unpack_from(node, _FIELDS_PLACE)
    )
    uuid, read_only_version = _TAIL.unpack_from(node, _TAIL_PLACE)
    power_of_two(_KIND, "the size of the smallest write", min_io, 8, 1 << 18)
    for what, value, least, most in (
        ("the size of a logical eraseblock is out of range", leb_bytes, _MIN_LEB_BYTES, _MAX_LEB_BYTES),
        ("the number of logical eraseblocks is out of range", lebs, LOG_LEB + 1, _MAX_LEBS),
        ("the largest number of logical eraseblocks is out of range", max_lebs, lebs, _MAX_LEBS),
        ("the log is too small, or too large", log, 2, lebs),
        ("the LEB properties area is too small, or too large", lpt, 2, lebs),
        ("the orphan area is too small, or too large", orphans, 1, lebs),
        ("the number of journal heads is out of range", heads, 1, 1),
        ("the format of the keys is unknown", key_format, 0, 0),
        ("the hash of the keys is unknown", key_hash, 0, _KEY_HASHES - 1),
    ):
        if not least <= value <= most:
            raise fault(_KIND, what, value, f"{least} to {most}", spec=_SPEC)
    if leb_bytes % min_io:
        raise fault(
            _KIND, "the size of a logical eraseblock is not one of whole writes", leb_bytes, f"a multiple of {min_io}"
        )
    if LOG_LEB + log + lpt + orphans >= lebs:
        raise fault(_KIND, "the areas are larger than the file system", log + lpt + orphans, f"less than {lebs}")
    return UbifsSuperblock(
        kind=_KIND,
        offset=0,
        uuid=uuid_field(uuid),
        label="",
        block_bytes=min_io,
        size_bytes=leb_bytes * lebs,
        checksum=Checksum.VALID,
        version=f"w{version}r{read_only_version}",
        flags=flags,
        leb_bytes=leb_bytes,
        lebs=lebs,
        max_lebs=max_lebs,
        log_lebs=log,
        lpt_lebs=lpt,
        orphan_lebs=orphans,
        heads=heads + 2,
        format_version=version,
        read_only_version=read_only_version,
        hash_algorithm=int.from_bytes(node[_HASH_ALGORITHM_PLACE : _HASH_ALGORITHM_PLACE + 2], "little"),
    )
