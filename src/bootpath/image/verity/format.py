"""Making a verity volume: the hash area of some data, and its FEC data.

Nothing is written before it is known that everything fits together. The superblock is written last, so that an
interrupted format leaves nothing that looks finished; what there was before at its place is wiped first, and a file
that was made for a volume which then fails is removed.

Source: veritysetup(8).
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from uuid import UUID

from bootpath.block.leaves.file import FileDevice
from bootpath.block.leaves.open import open_device
from bootpath.core.device import Identity
from bootpath.core.errors import DeviceError
from bootpath.formats.verity.tree import SUPERBLOCK_BYTES, VerityParameters, VeritySuperblock, pack_verity_superblock
from bootpath.image.verity.fec import FecArea, build_fec
from bootpath.image.verity.tree import Progress, build_tree
from bootpath.image.verity.volume import FecOptions, HashArea, lay_out_fec, same_file

MAX_DEVICE_BYTES = 1 << 63


@dataclass(frozen=True, slots=True)
class Formatted:
    """What `format_volume` has made."""

    root_hash: bytes
    area: HashArea
    fec: FecArea | None


def format_volume(
    data_name: str | os.PathLike[str],
    hash_path: str | os.PathLike[str],
    parameters: VerityParameters,
    *,
    uuid: UUID | None,
    offset: int = 0,
    fec: FecOptions | None = None,
    progress: Progress | None = None,
) -> Formatted:
    """Write the hash area of the data, and its FEC data. Without a `uuid` there is no superblock.

    The data is whatever `open_device` opens; the other files are made, or made longer, when they have to be. Raises
    DeviceError (EINVAL when an area would lie in another), FormatError.
    """
    superblock = None if uuid is None else VeritySuperblock(parameters, uuid)
    area = HashArea(parameters, offset, superblock)
    with ExitStack() as stack:
        data = stack.enter_context(closing(open_device(os.fspath(data_name))))
        in_data = _Area(data_name, "data", 0, parameters.data_bytes)
        in_hashes = _Area(hash_path, "hash", offset, area.end_bytes)
        in_hashes.refuse_overlap(in_data)
        if fec is not None:
            on_hashes = same_file(fec.path, hash_path)
            if on_hashes:  # whatever its size is
                _Area(fec.path, "fec", fec.offset, fec.offset + 1).refuse_overlap(in_hashes)
            shape = lay_out_fec(area, max(_size(hash_path), area.end_bytes), fec, on_hash_device=on_hashes)
            in_fec = _Area(fec.path, "fec", shape.offset, shape.offset + shape.shape.parity_bytes)
            in_fec.refuse_overlap(in_data)
            in_fec.refuse_overlap(in_hashes)
        made = stack.enter_context(_Made())
        hashes = made.grown(
            hash_path, area.end_bytes if fec is None or not on_hashes else max(area.end_bytes, fec.offset)
        )
        target = None if fec is None else made.grown(fec.path, in_fec.end)
        if superblock is not None:
            hashes.write(offset, bytes(SUPERBLOCK_BYTES))
        root_hash = build_tree(data, hashes, parameters, start_block=area.start_block, progress=progress)
        if target is not None:
            build_fec(
                data,
                hashes,
                target,
                shape.shape,
                data_blocks=parameters.data_blocks,
                start_block=area.start_block,
                offset_bytes=shape.offset,
            )
            target.flush()
        if superblock is not None:
            hashes.flush()
            hashes.write(offset, pack_verity_superblock(superblock))
        hashes.flush()
        made.keep()
    return Formatted(root_hash, area, None if fec is None else shape)


@dataclass(frozen=True, slots=True)
class _Area:
    """A range of a file that something is to be written to, or read from."""

    path: str | os.PathLike[str]
    name: str
    start: int
    end: int

    def refuse_overlap(self, other: _Area) -> None:
        """Raise DeviceError (EINVAL) when the two lie in each other."""
        if same_file(self.path, other.path) and self.start < other.end and other.start < self.end:
            raise DeviceError(
                f"the {self.name} area lies in the {other.name} area",
                errno=errno.EINVAL,
                where=str(self.path),
                found=f"byte {self.start}",
                expected=f"byte {other.end} or more",
                hint=f"give --{self.name}-offset, or another file",
            )


def _size(path: str | os.PathLike[str]) -> int:
    """Of a file or block device; 0 for what does not exist. Raises DeviceError."""
    if not os.path.lexists(path):
        return 0
    with closing(FileDevice.open(path)) as device:
        return device.size_bytes


class _Made:
    """The files of a volume. Left before `keep`, those that were not there before are removed."""

    def __init__(self) -> None:
        self._opened = ExitStack()
        self._new: list[str | os.PathLike[str]] = []

    def __enter__(self) -> _Made:
        return self

    def __exit__(self, *exception: object) -> None:
        self._opened.close()
        for path in self._new:
            with suppress(FileNotFoundError):
                os.unlink(path)

    def keep(self) -> None:
        """What there is now is a volume."""
        self._new.clear()

    def grown(self, path: str | os.PathLike[str], end: int) -> FileDevice:
        """The file, made when there is none, and at least that long. Raises DeviceError, also for a disk too short."""
        if "://" in os.fspath(path):
            raise DeviceError(
                "the output cannot be written",
                errno=errno.EPERM,
                where=os.fspath(path),
                expected="a file or a block device",
            )
        if end >= MAX_DEVICE_BYTES:
            raise DeviceError(
                "the end of the area is out of range",
                errno=errno.EFBIG,
                where=os.fspath(path),
                found=f"byte {end}",
                expected="less than 2^63",
            )
        try:
            if not os.path.lexists(path):
                self._new.append(path)  # before it is there: no interruption may come between
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o666)
            self._opened.callback(os.close, fd)
            identity = Identity(os.fspath(path))
            device = FileDevice(fd, writable=True, owns=False, identity=identity)  # refuses what is no file
            size = os.lseek(fd, 0, os.SEEK_END)
            if size < end:
                if stat.S_ISBLK(os.fstat(fd).st_mode):
                    raise DeviceError(
                        "the device is too small",
                        errno=errno.ENOSPC,
                        where=os.fspath(path),
                        found=f"{size} bytes",
                        expected=f"at least {end} bytes",
                    )
                os.ftruncate(fd, end)
                device = FileDevice(fd, writable=True, owns=False, identity=identity)
        except OSError as fault:
            code = fault.errno or errno.EIO
            raise DeviceError(
                f"the output cannot be written: {fault.strerror}", errno=code, where=os.fspath(path)
            ) from fault
        return device
