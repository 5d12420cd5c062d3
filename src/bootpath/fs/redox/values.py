"""What a RedoxFS holds, as frozen values. Sizes and offsets are bytes; times are nanoseconds since 1970.

Source: `Header` and `Node` of the redoxfs crate 0.9.1. Extents are relative to the start of the file system, where the
ring of headers is, not to the start of the device.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from uuid import UUID

from bootpath.core.extents import Extent

BLOCK_BYTES = 4096
RING_SLOTS = 256
RING_BYTES = RING_SLOTS * BLOCK_BYTES


@dataclass(frozen=True, slots=True)
class RedoxHeader:
    """One header of the ring. A new one is written to the next slot with every transaction.

    The block numbers are where the node tree, the newest block of the allocator log and the release list begin; 0 is
    none. `key_slots` are the indices of the key slots in use.
    """

    uuid: UUID
    version: int
    size_bytes: int
    generation: int
    slot: int
    encrypted: bool
    key_slots: tuple[int, ...]
    tree_block: int
    log_block: int
    release_block: int


@dataclass(frozen=True, slots=True)
class RedoxNode:
    """A file, directory or symbolic link. `blocks` are the 4096-byte blocks it occupies by its own account."""

    id: int
    mode: int
    uid: int
    gid: int
    links: int
    size_bytes: int
    blocks: int
    ctime_ns: int
    mtime_ns: int
    atime_ns: int

    @property
    def is_dir(self) -> bool:
        """True for a directory."""
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        """True for a regular file."""
        return stat.S_ISREG(self.mode)

    @property
    def is_symlink(self) -> bool:
        """True for a symbolic link."""
        return stat.S_ISLNK(self.mode)

    @property
    def permissions(self) -> int:
        """The mode without the type."""
        return stat.S_IMODE(self.mode)


@dataclass(frozen=True, slots=True)
class Entry:
    """A name in a directory and the node it leads to."""

    name: str
    node: RedoxNode


@dataclass(frozen=True, slots=True)
class LabelledExtent:
    """A run of bytes of the file system and what it is: node, tree, data, index, directory, allocator log..."""

    what: str
    extent: Extent


@dataclass(frozen=True, slots=True)
class HostTree:
    """What a host directory holds, or how much of it was archived."""

    data_bytes: int
    files: int
    directories: int
    symlinks: int
