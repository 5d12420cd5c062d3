"""The superblock that the formats layer does not know: RedoxFS, which its crate reads.

Source: redoxfs 0.9.1, `Header`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bootpath.core.errors import FormatError
from bootpath.formats.region import Region
from bootpath.formats.superblocks.registry import PROBERS, Prober
from bootpath.formats.superblocks.value import Checksum, Superblock
from bootpath.fs.redox.ring import MAGIC, parse_header
from bootpath.fs.redox.values import BLOCK_BYTES, RedoxHeader


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


IMAGE_PROBERS: Mapping[str, Prober] = {**PROBERS, "redoxfs": probe_redoxfs_header}
"""Everything that is looked for in a node."""
