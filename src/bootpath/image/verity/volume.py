"""A verity volume: data, hash area and FEC data, on several devices or on one, with a superblock or described by hand.

`image.verity.format` makes one. Source: veritysetup(8).
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, replace

from bootpath.block.targets.verity.repair import ParityArea
from bootpath.block.targets.verity.verity import Verity, VerityOptions
from bootpath.core.device import Device, read_bytes
from bootpath.core.errors import DeviceError, FormatError
from bootpath.formats.verity.tree import (
    SUPERBLOCK_BYTES,
    VerityParameters,
    VeritySuperblock,
    area_end,
    check_block_size,
    parse_root_hash,
    parse_verity_superblock,
    tree_start,
)
from bootpath.image.verity.fec import FecArea, fec_area
from bootpath.image.verity.tree import Mismatch, Progress, check_tree


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
        """Where it ends on its device."""
        return area_end(self.parameters, self.offset, superblock=self.superblock is not None)


def read_hash_area(hashes: Device, offset: int = 0) -> HashArea:
    """The area whose superblock is at byte `offset`. Raises FormatError, DeviceError."""
    if offset % SUPERBLOCK_BYTES or offset + SUPERBLOCK_BYTES > hashes.size_bytes:
        raise FormatError(
            "the offset of the hash area is not valid",
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
    check_block_size("data_block_size", block_size)
    if data_bytes < block_size:
        raise FormatError(
            "the data is smaller than a block",
            where="verity",
            found=f"{data_bytes} bytes",
            expected=f"at least {block_size} bytes",
        )
    blocks = data_bytes // block_size if limit is None else limit
    if not 0 < blocks * block_size <= data_bytes:
        raise FormatError(
            "the number of data blocks is out of range",
            where="verity",
            found=blocks,
            expected=f"1 to {data_bytes // block_size}: the data has {data_bytes} bytes",
        )
    return blocks


@dataclass(frozen=True, slots=True)
class FecOptions:
    """Where the FEC data of a volume is to be, or is: the file, the byte in it, and how much of it."""

    path: str | os.PathLike[str]
    offset: int = 0
    roots: int = 2


@dataclass(frozen=True, slots=True)
class VerityVolume:
    """An open volume; it owns its devices."""

    data: Device
    hashes: Device
    area: HashArea
    root_hash: bytes
    fec: ParityArea | None = None

    @classmethod
    def open(
        cls, data: Device, hashes: Device, area: HashArea, root_hash: str, *, fec: ParityArea | None = None
    ) -> VerityVolume:
        """`root_hash` is hexadecimal. Raises FormatError."""
        return cls(data, hashes, area, parse_root_hash(root_hash, area.parameters), fec)

    def check(self, progress: Progress | None = None) -> list[Mismatch]:
        """Read everything; the first mismatches, whatever FEC could do about them. Raises DeviceError."""
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
            parity=self.fec,
        )

    def close(self) -> None:
        """Close the devices."""
        self.data.close()
        self.hashes.close()
        if self.fec is not None:
            self.fec.device.close()


def lay_out_fec(area: HashArea, hash_bytes: int, options: FecOptions, *, on_hash_device: bool) -> FecArea:
    """Where the FEC data of a volume is whose hashes are on a device of that size. Raises FormatError."""
    return fec_area(
        area.parameters,
        start_block=area.start_block,
        hash_bytes=hash_bytes,
        on_hash_device=on_hash_device,
        offset=options.offset,
        roots=options.roots,
    )


def open_fec(
    device: Device, area: HashArea, hashes: Device, options: FecOptions, *, on_hash_device: bool
) -> ParityArea:
    """The FEC data on a device, as large as `format_volume` would have made it. Raises FormatError.

    DeviceError (EINVAL) when the hash area does not fit on its device, where nobody can tell what FEC covers.
    """
    if area.end_bytes > hashes.size_bytes:
        raise DeviceError(
            "the hash tree ends beyond the device",
            errno=errno.EINVAL,
            where=hashes.identity.name,
            found=f"byte {area.end_bytes}",
            expected=f"at most byte {hashes.size_bytes}",
        )
    found = lay_out_fec(area, hashes.size_bytes, options, on_hash_device=on_hash_device)
    return ParityArea(device, found.shape, found.offset)


def described_area(parameters: VerityParameters, data: Device, *, offset: int, limit: int | None) -> HashArea:
    """The area of a volume without a superblock; `parameters` may have any number of data blocks."""
    blocks = data_blocks_of(data.size_bytes, parameters.data_block_size, limit=limit)
    return HashArea(replace(parameters, data_blocks=blocks), offset, None)


def same_file(path: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Whether two names are one file, now or when they are made; URIs when they are equal."""
    if "://" in os.fspath(path) or "://" in os.fspath(other):
        return os.fspath(path) == os.fspath(other)
    try:
        return os.path.samefile(path, other)
    except OSError:
        return os.path.realpath(path) == os.path.realpath(other)
