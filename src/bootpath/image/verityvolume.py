"""A verity volume: data and hash area, in two places or in one, with a superblock or described by hand.

The superblock is written last, so that an interrupted format leaves nothing that looks finished; what there was before
at its place is wiped first.

Source: veritysetup(8).
"""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack
from dataclasses import dataclass, replace
from uuid import UUID

from bootpath.block import FileDevice
from bootpath.block.verity import Verity, VerityOptions
from bootpath.core import Device, DeviceError, FormatError, read_bytes
from bootpath.formats.verity import (
    SUPERBLOCK_BYTES,
    VerityParameters,
    VeritySuperblock,
    pack_verity_superblock,
    parse_root_hash,
    parse_verity_superblock,
    tree_start,
)
from bootpath.image.veritytree import Mismatch, Progress, build_tree, check_tree


@dataclass(frozen=True, slots=True)
class HashArea:
    """Where the hashes of a volume are: `superblock` is None for a volume without one."""

    parameters: VerityParameters
    offset: int
    superblock: VeritySuperblock | None

    @property
    def start_block(self) -> int:
        """The first hash block of the tree."""
        return tree_start(self.offset, self.parameters.hash_block_size, superblock=self.superblock is not None)

    @property
    def end_bytes(self) -> int:
        """Where the tree ends on its device."""
        return (self.start_block + self.parameters.tree_blocks()) * self.parameters.hash_block_size


def read_hash_area(hashes: Device, offset: int = 0) -> HashArea:
    """The area whose superblock is at byte `offset`. Raises FormatError, DeviceError."""
    if offset % SUPERBLOCK_BYTES or offset + SUPERBLOCK_BYTES > hashes.size_bytes:
        raise FormatError(
            "no room for a superblock at byte",
            where=hashes.identity.name,
            found=offset,
            expected=f"a multiple of {SUPERBLOCK_BYTES} below {hashes.size_bytes}",
        )
    try:
        superblock = parse_verity_superblock(read_bytes(hashes, offset, SUPERBLOCK_BYTES))
    except FormatError as error:
        raise FormatError(f"{error}", where=hashes.identity.name, hint="is --hash-offset right?") from error
    return HashArea(superblock.parameters, offset, superblock)


def data_blocks_of(data_bytes: int, block_size: int, *, limit: int | None = None) -> int:
    """Data blocks of a device of that size, or `limit` when that is less. Raises FormatError when there are none."""
    blocks = data_bytes // block_size if limit is None else limit
    if not 0 < blocks * block_size <= data_bytes:
        raise FormatError(
            "data blocks are", where="verity", found=blocks, expected=f"1 to {data_bytes // block_size} in the data"
        )
    return blocks


def format_volume(
    data_path: str | os.PathLike[str],
    hash_path: str | os.PathLike[str],
    parameters: VerityParameters,
    *,
    uuid: UUID | None,
    offset: int = 0,
    progress: Progress | None = None,
) -> tuple[bytes, HashArea]:
    """Write the hash area of the data; the root hash and the area. Without a `uuid` there is no superblock.

    The hash file is made, or made longer, when it has to be. Raises DeviceError (EINVAL when the area would lie in the
    data), FormatError, OSError.
    """
    superblock = None if uuid is None else VeritySuperblock(parameters, uuid)
    area = HashArea(parameters, offset, superblock)
    with ExitStack() as stack:
        data = FileDevice.open(data_path)
        stack.callback(data.close)
        fd = os.open(hash_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        stack.callback(os.close, fd)
        if os.path.samestat(os.stat(data_path), os.fstat(fd)) and offset < parameters.data_bytes:
            raise DeviceError(
                "the hash area lies in the data: it begins at byte",
                errno=errno.EINVAL,
                where=str(hash_path),
                found=offset,
                expected=f"{parameters.data_bytes} or more",
                hint="give --hash-offset, or another file",
            )
        if os.lseek(fd, 0, os.SEEK_END) < area.end_bytes:
            os.ftruncate(fd, area.end_bytes)
        hashes = FileDevice(fd, writable=True, owns=False)
        if superblock is not None:
            hashes.write(offset, bytes(SUPERBLOCK_BYTES))
        root_hash = build_tree(data, hashes, parameters, start_block=area.start_block, progress=progress)
        if superblock is not None:
            hashes.flush()
            hashes.write(offset, pack_verity_superblock(superblock))
        hashes.flush()
    return root_hash, area


@dataclass(frozen=True, slots=True)
class Volume:
    """An open volume; it owns both devices."""

    data: Device
    hashes: Device
    area: HashArea
    root_hash: bytes

    @classmethod
    def open(cls, data: Device, hashes: Device, area: HashArea, root_hash: str) -> Volume:
        """`root_hash` is hexadecimal. Raises FormatError."""
        return cls(data, hashes, area, parse_root_hash(root_hash, area.parameters))

    def check(self, progress: Progress | None = None) -> list[Mismatch]:
        """Read everything; the first mismatches. Raises DeviceError."""
        return check_tree(
            self.data,
            self.hashes,
            self.area.parameters,
            self.root_hash,
            start_block=self.area.start_block,
            progress=progress,
        )

    def device(self, options: VerityOptions | None = None) -> Verity:
        """What the root hash promises, as a device. Raises DeviceError (EINVAL)."""
        return Verity(
            self.data,
            self.hashes,
            self.area.parameters,
            self.root_hash,
            start_block=self.area.start_block,
            options=options,
        )

    def close(self) -> None:
        """Close both devices."""
        self.data.close()
        self.hashes.close()


def described_area(parameters: VerityParameters, data: Device, *, offset: int, limit: int | None) -> HashArea:
    """The area of a volume without a superblock; `parameters` may have any number of data blocks."""
    blocks = data_blocks_of(data.size_bytes, parameters.data_block_size, limit=limit)
    return HashArea(replace(parameters, data_blocks=blocks), offset, None)
