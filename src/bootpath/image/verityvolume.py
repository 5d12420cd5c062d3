"""A verity volume: data, hash area and parity, in several places or in one, with a superblock or described by hand.

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
from bootpath.block.verityrepair import ParityArea
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
from bootpath.image.verityparity import FecArea, build_parity, fec_area
from bootpath.image.veritytree import Mismatch, Progress, build_tree, check_tree

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


@dataclass(frozen=True, slots=True)
class FecPlace:
    """Where the parity of a volume is to be, or is: the file, the byte in it, and how much of it."""

    path: str | os.PathLike[str]
    offset: int = 0
    roots: int = 2


@dataclass(frozen=True, slots=True)
class Formatted:
    """What `format_volume` has made."""

    root_hash: bytes
    area: HashArea
    fec: FecArea | None


def format_volume(
    data_path: str | os.PathLike[str],
    hash_path: str | os.PathLike[str],
    parameters: VerityParameters,
    *,
    uuid: UUID | None,
    offset: int = 0,
    fec: FecPlace | None = None,
    progress: Progress | None = None,
) -> Formatted:
    """Write the hash area of the data, and its parity. Without a `uuid` there is no superblock.

    The files are made, or made longer, when they have to be. Raises DeviceError (EINVAL when an area would lie in
    another), FormatError, OSError.
    """
    superblock = None if uuid is None else VeritySuperblock(parameters, uuid)
    area = HashArea(parameters, offset, superblock)
    with ExitStack() as stack:
        data = FileDevice.open(data_path)
        stack.callback(data.close)
        in_data = _Area(data_path, "data", 0, parameters.data_bytes)
        in_hashes = _Area(hash_path, "hash", offset, area.end_bytes)
        in_hashes.refuse_overlap(in_data)
        if fec is not None:
            # Nothing is written before it is known that everything fits together.
            on_hashes = _same(fec.path, hash_path)
            shape = _fec_area(area, max(_size(hash_path), area.end_bytes), fec, on_hash_device=on_hashes)
            in_fec = _Area(fec.path, "fec", shape.offset, shape.offset + shape.shape.parity_bytes)
            in_fec.refuse_overlap(in_data)
            in_fec.refuse_overlap(in_hashes)
        hashes = _grown(hash_path, area.end_bytes, stack)
        if superblock is not None:
            hashes.write(offset, bytes(SUPERBLOCK_BYTES))
        root_hash = build_tree(data, hashes, parameters, start_block=area.start_block, progress=progress)
        if superblock is not None:
            hashes.flush()
            hashes.write(offset, pack_verity_superblock(superblock))
        hashes.flush()
        if fec is None:
            return Formatted(root_hash, area, None)
        target = _grown(fec.path, in_fec.end, stack)
        build_parity(
            data,
            hashes,
            target,
            shape.shape,
            data_blocks=parameters.data_blocks,
            start_block=area.start_block,
            offset_bytes=shape.offset,
        )
        target.flush()
    return Formatted(root_hash, area, shape)


def _fec_area(area: HashArea, hash_bytes: int, place: FecPlace, *, on_hash_device: bool) -> FecArea:
    return fec_area(
        area.parameters,
        start_block=area.start_block,
        hash_bytes=hash_bytes,
        on_hash_device=on_hash_device,
        offset=place.offset,
        roots=place.roots,
    )


@dataclass(frozen=True, slots=True)
class _Area:
    """A range of a file that something is to be written to, or read from."""

    path: str | os.PathLike[str]
    name: str
    start: int
    end: int

    def refuse_overlap(self, other: _Area) -> None:
        """Raise DeviceError (EINVAL) when the two lie in each other."""
        if _same(self.path, other.path) and self.start < other.end and other.start < self.end:
            raise DeviceError(
                f"the {self.name} area lies in the {other.name}: it begins at byte",
                errno=errno.EINVAL,
                where=str(self.path),
                found=self.start,
                expected=f"{other.end} or more",
                hint=f"give --{self.name}-offset, or another file",
            )


def _same(path: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Whether two names are one file, now or when they are made."""
    try:
        return os.path.samefile(path, other)
    except OSError:
        return os.path.realpath(path) == os.path.realpath(other)


def _size(path: str | os.PathLike[str]) -> int:
    """Of a file or block device; 0 for what does not exist."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        return os.lseek(fd, 0, os.SEEK_END)
    finally:
        os.close(fd)


def _grown(path: str | os.PathLike[str], end: int, stack: ExitStack) -> FileDevice:
    """The file, made when there is none, and at least that long. A device that is too short refuses to grow."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    stack.callback(os.close, fd)
    if os.lseek(fd, 0, os.SEEK_END) < end:
        os.ftruncate(fd, end)
    return FileDevice(fd, writable=True, owns=False)


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
        """Read everything; the first mismatches, whatever parity could do about them. Raises DeviceError."""
        return check_tree(
            self.data,
            self.hashes,
            self.area.parameters,
            self.root_hash,
            start_block=self.area.start_block,
            progress=progress,
        )

    def mend(self, progress: Progress | None = None) -> int:
        """Read everything as the target does; how many blocks parity had to rebuild. Raises as the target does."""
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


def open_parity(device: Device, area: HashArea, hashes: Device, place: FecPlace, *, on_hash_device: bool) -> ParityArea:
    """The parity on a device, as large as `format_volume` would have made it. Raises FormatError."""
    found = _fec_area(area, hashes.size_bytes, place, on_hash_device=on_hash_device)
    return ParityArea(device, found.shape, found.offset)


def described_area(parameters: VerityParameters, data: Device, *, offset: int, limit: int | None) -> HashArea:
    """The area of a volume without a superblock; `parameters` may have any number of data blocks."""
    blocks = data_blocks_of(data.size_bytes, parameters.data_block_size, limit=limit)
    return HashArea(replace(parameters, data_blocks=blocks), offset, None)
