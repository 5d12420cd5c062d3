"""Superblocks that the formats layer does not know: RedoxFS, which its crate reads, and UBIFS, which only UBI holds.

Source: redoxfs 0.9.1, `Header`; Linux fs/ubifs/ubifs-media.h. A UBIFS begins with its superblock node, little-endian::

    0 magic 0x06101831   4 CRC-32 of what follows, not inverted   8 sequence number, u64   16 length, u32 = 4096
    20 node type, u8 = 6 (superblock)   32 least I/O bytes, u32   36 LEB bytes, u32   40 LEBs, u32   108 UUID, 16
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID
from zlib import crc32

from bootpath.core.errors import FormatError
from bootpath.formats.region import Region
from bootpath.formats.superblocks.registry import PROBERS, Prober
from bootpath.formats.superblocks.value import Checksum, Superblock
from bootpath.fs.redox.ring import MAGIC, parse_header
from bootpath.fs.redox.values import BLOCK_BYTES, RedoxHeader

_UBIFS_MAGIC = 0x06101831
_UBIFS_NODE = struct.Struct("<IIQIB7xIIII60x16s")
_UBIFS_NODE_BYTES = 4096
_UBIFS_SUPERBLOCK = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class RedoxSuperblock(Superblock):
    """The header in ring slot 0, where every loader starts; the newest one is `fs.scan_ring`'s matter."""

    header: RedoxHeader


def probe_redoxfs_header(region: Region) -> RedoxSuperblock | None:
    """The RedoxFS that begins here, None when there is none. Raises FormatError when its header is damaged."""
    block = region.peek(0, BLOCK_BYTES)
    if not block.startswith(MAGIC):
        return None
    header = parse_header(block, 0) if len(block) == BLOCK_BYTES else None
    if header is None:
        raise FormatError("ring slot 0 holds no valid header", where="redoxfs")
    return RedoxSuperblock(
        kind="redoxfs",
        offset=0,
        uuid=str(header.uuid),
        label="",
        block_bytes=BLOCK_BYTES,
        size_bytes=header.size_bytes,
        checksum=Checksum.VALID,
        version=str(header.version),
        header=header,
    )


def probe_ubifs(region: Region) -> Superblock | None:
    """The UBIFS that begins here, None when there is none. Raises FormatError when its superblock node is damaged."""
    node = region.peek(0, _UBIFS_NODE_BYTES)
    if len(node) < _UBIFS_NODE_BYTES or int.from_bytes(node[:4], "little") != _UBIFS_MAGIC:
        return None
    _, checksum, _, length, kind, _, min_io, leb_bytes, lebs, uuid = _UBIFS_NODE.unpack_from(node)
    if (kind, length) != (_UBIFS_SUPERBLOCK, _UBIFS_NODE_BYTES):
        raise FormatError(
            "the first node is not a superblock node",
            where="ubifs",
            found=f"type {kind}, {length} bytes",
            expected=f"type {_UBIFS_SUPERBLOCK}, {_UBIFS_NODE_BYTES} bytes",
        )
    computed = crc32(node[8:]) ^ 0xFFFFFFFF
    if computed != checksum:
        raise FormatError(
            "the checksum of the superblock node does not match",
            where="ubifs",
            found=f"{computed:#010x}",
            expected=f"{checksum:#010x}",
        )
    return Superblock(
        kind="ubifs",
        offset=0,
        uuid=str(UUID(bytes=uuid)),
        label="",
        block_bytes=min_io,
        size_bytes=leb_bytes * lebs,
        checksum=Checksum.VALID,
    )


IMAGE_PROBERS: Mapping[str, Prober] = {**PROBERS, "redoxfs": probe_redoxfs_header, "ubifs": probe_ubifs}
"""Everything that is looked for in a node."""
