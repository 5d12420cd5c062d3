"""A verity volume: data, hash area and parity, in several places or in one, with a superblock or described by hand.

`image.verity.format` makes one. Source: veritysetup(8).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from bootpath.block.targets.verity import Verity, VerityOptions
from bootpath.block.targets.verityrepair import ParityArea
from bootpath.core.device import Device, read_bytes
from bootpath.core.errors import DeviceError, FormatError, IntegrityError
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
from bootpath.image.verity.parity import FecArea, fec_area
from bootpath.image.verity.tree import Mismatch, Progress, check_tree

_READ_BYTES = 1 << 20


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
    check_block_size("data_block_size", block_size)
    blocks = data_bytes // block_size if limit is None else limit
    if not 0 < blocks * block_size <= data_bytes:
        raise FormatError(
            "data blocks are",
            where="verity",
            found=blocks,
            expected=f"1 to {data_bytes // block_size}: the data has {data_bytes} bytes",
        )
    return blocks


@dataclass(frozen=True, slots=True)
class FecPlace:
    """Where the parity of a volume is to be, or is: the file, the byte in it, and how much of it."""

    path: str | os.PathLike[str]
    offset: int = 0
    roots: int = 2


@dataclass(frozen=True, slots=True)
class Verification:
    """What checking a volume found: the first `mismatches`; `failure` is why it is not verified, None when it is.

    `repaired_blocks` is how many blocks FEC can repair when those are all that do not match, else None.
    """

    mismatches: tuple[Mismatch, ...]
    repaired_blocks: int | None = None
    failure: DeviceError | None = None


@dataclass(frozen=True, slots=True)
class Volume:
    """An open volume; it owns its devices."""

    data: Device
    hashes: Device
    area: HashArea
    root_hash: bytes
    parity: ParityArea | None = None

    @classmethod
    def open(
        cls, data: Device, hashes: Device, area: HashArea, root_hash: str, *, parity: ParityArea | None = None
    ) -> Volume:
        """`root_hash` is hexadecimal. Raises FormatError."""
        return cls(data, hashes, area, parse_root_hash(root_hash, area.parameters), parity)

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

    def verify(self, progress: Progress | None = None, repair_progress: Progress | None = None) -> Verification:
        """Check everything. Blocks that do not match count as good when FEC can repair all of them; nothing is written.

        Raises DeviceError when the devices cannot be read.
        """
        found = tuple(self.check(progress))
        if not found:
            return Verification(found)
        if self.parity is None:
            what = f"the volume is not verified: {found[0]} does not match"
            return Verification(found, failure=IntegrityError(what, where=self.data.identity.name))
        try:
            return Verification(found, repaired_blocks=self.repair(repair_progress))
        except DeviceError as error:
            return Verification(found, failure=error)

    def repair(self, progress: Progress | None = None) -> int:
        """Read everything as the target does; how many blocks FEC had to repair. Raises as the target does."""
        device = self.device()
        step = max(_READ_BYTES, self.area.parameters.data_block_size)
        for offset in range(0, device.size_bytes, step):
            length = min(step, device.size_bytes - offset)
            device.read(offset, length)
            if progress is not None:
                progress(offset + length)
        return device.repaired_blocks

    def device(self, options: VerityOptions | None = None) -> Verity:
        """What the root hash promises, as a device. Raises DeviceError (EINVAL)."""
        return Verity(
            self.data,
            self.hashes,
            self.area.parameters,
            self.root_hash,
            start_block=self.area.start_block,
            options=options,
            parity=self.parity,
        )

    def close(self) -> None:
        """Close the devices."""
        self.data.close()
        self.hashes.close()
        if self.parity is not None:
            self.parity.device.close()


def parity_area(area: HashArea, hash_bytes: int, place: FecPlace, *, on_hash_device: bool) -> FecArea:
    """Where the parity of a volume is whose hashes are on a device of that size. Raises FormatError."""
    return fec_area(
        area.parameters,
        start_block=area.start_block,
        hash_bytes=hash_bytes,
        on_hash_device=on_hash_device,
        offset=place.offset,
        roots=place.roots,
    )


def open_parity(device: Device, area: HashArea, hashes: Device, place: FecPlace, *, on_hash_device: bool) -> ParityArea:
    """The parity on a device, as large as `format_volume` would have made it. Raises FormatError."""
    found = parity_area(area, hashes.size_bytes, place, on_hash_device=on_hash_device)
    return ParityArea(device, found.shape, found.offset)


def described_area(parameters: VerityParameters, data: Device, *, offset: int, limit: int | None) -> HashArea:
    """The area of a volume without a superblock; `parameters` may have any number of data blocks."""
    blocks = data_blocks_of(data.size_bytes, parameters.data_block_size, limit=limit)
    return HashArea(replace(parameters, data_blocks=blocks), offset, None)
