"""Making a verity volume: the hash area of some data, and its FEC data.

Nothing is written before it is known that everything fits together. A file that is new, or holds nothing but what is
made here, appears whole or not at all (`image.output`), and what it was stays good until then. What else there is, a
block device, a file with other things in it, the data's own file, is written in place, as veritysetup does, and who
asks hears of it first: the old superblock is wiped and the new one written last, each on the disk before anything else
is, so that no format that was interrupted or killed leaves what looks finished.

Source: veritysetup(8).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from bootpath.block.leaves.file import FileDevice
from bootpath.block.leaves.images.open import ImageRules
from bootpath.block.leaves.open import open_device
from bootpath.core.device import Identity
from bootpath.core.errors import DeviceError
from bootpath.formats.verity.tree import SUPERBLOCK_BYTES, VerityParameters, VeritySuperblock, pack_verity_superblock
from bootpath.image.output import atomic_output
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
    overwrites: Callable[[str], None] | None = None,
    images: ImageRules | None = None,
) -> Formatted:
    """Write the hash area of the data, and its FEC data. Without a `uuid` there is no superblock.

    The data is whatever `open_device` opens, by the rules of `images`; the other files are made, or made longer, when
    they have to be.
    `overwrites` is called with the name of each file of which something is overwritten in place, before that is done.
    Raises DeviceError (EINVAL when an area would lie in another), Error, FormatError.
    """
    superblock = None if uuid is None else VeritySuperblock(parameters, uuid)
    area = HashArea(parameters, offset, superblock)
    with ExitStack() as stack:
        data = stack.enter_context(closing(open_device(os.fspath(data_name), images=images)))
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
        hash_file = _Output.place(in_hashes, stack)
        hashes = hash_file.grown(area.end_bytes if fec is None or not on_hashes else max(area.end_bytes, fec.offset))
        outputs = [hash_file]
        target = None
        if fec is not None:
            fec_file = hash_file if on_hashes else _Output.place(in_fec, stack)
            target = fec_file.grown(in_fec.end)
            outputs += [] if on_hashes else [fec_file]
        for output in outputs:
            if output.overwrites and overwrites is not None:
                overwrites(os.fspath(output.area.path))
        if superblock is not None:
            hashes.write(offset, bytes(SUPERBLOCK_BYTES))
            hashes.flush()
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
    if not os.path.exists(path) or (os.path.isfile(path) and not os.path.getsize(path)):
        return 0
    with closing(FileDevice.open(path)) as device:
        return device.size_bytes - device.padding_bytes


class _Written(FileDevice):
    """A file that blocks are written to, whatever its size is: it is no disk yet, or holds more than that."""

    whole_blocks = False


@dataclass(frozen=True, slots=True)
class _Output:
    """The file that an area is written to: `path` is where, which is not its name yet when it is to appear whole."""

    area: _Area
    path: str | os.PathLike[str]
    overwrites: bool
    stack: ExitStack

    @classmethod
    def place(cls, area: _Area, stack: ExitStack) -> _Output:
        """It is complete, or gone, when `stack` is closed. Raises DeviceError, Error."""
        name = os.fspath(area.path)
        if "://" in name:
            raise DeviceError(
                "the output cannot be written", errno=errno.EPERM, where=name, expected="a file or a block device"
            )
        if area.end >= MAX_DEVICE_BYTES:
            raise DeviceError(
                "the end of the area is out of range",
                errno=errno.EFBIG,
                where=name,
                found=f"byte {area.end}",
                expected="less than 2^63",
            )
        size = _size(name)
        holds_no_more = area.start == 0 and size <= area.end and os.path.isfile(name)
        replaceable = os.access(os.path.dirname(os.path.realpath(name)), os.W_OK | os.X_OK)
        if not os.path.exists(name) or (holds_no_more and replaceable):
            return cls(area, stack.enter_context(atomic_output(Path(name))), False, stack)
        return cls(area, name, size > area.start, stack)

    def grown(self, end: int) -> FileDevice:
        """Open, and at least that long, until the stack is closed. Raises DeviceError, also for a disk too short."""
        name = os.fspath(self.area.path)
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
            self.stack.callback(os.close, fd)
            size = os.lseek(fd, 0, os.SEEK_END)
            if size < end:
                if stat.S_ISBLK(os.fstat(fd).st_mode):
                    raise DeviceError(
                        "the device is too small",
                        errno=errno.ENOSPC,
                        where=name,
                        found=f"{size} bytes",
                        expected=f"at least {end} bytes",
                    )
                os.ftruncate(fd, end)
        except OSError as fault:
            code = fault.errno or errno.EIO
            raise DeviceError(f"the output cannot be written: {fault.strerror}", errno=code, where=name) from fault
        return _Written(fd, writable=True, owns=False, identity=Identity(name))
