"""All of a compressed disk, unpacked once into a temporary file that has no name: for what has no index to read by.

The file is in TMPDIR, else in /var/tmp, since /tmp may be memory; runs of zeros are holes in it. It has at most the
size that `core.limits` allows, and leaves room on its file system: a few kilobytes can be packed that become a
terabyte.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterable
from typing import TypeAlias

from bootpath.block.leaves.file import FileDevice
from bootpath.core.device import Device, Identity
from bootpath.core.diskimage import DiskImage
from bootpath.core.errors import DeviceError
from bootpath.core.limits import check_limit
from bootpath.core.units import format_bytes

UnpackProgress: TypeAlias = Callable[[int, int, str], None]
"""Called with (bytes of the file that were unpacked, bytes of the file, its name)."""

_RUN_BYTES = 64 << 10
_ZEROS = bytes(_RUN_BYTES)
_ROOM_BYTES = 1 << 30
_ROOM_SHARE = 20  # a twentieth of the file system, when that is less
_LOOK_BYTES = 64 << 20


class UnpackedDevice(FileDevice):
    """The temporary file. It owns the packed one, which stays open so that it can be said what it was."""

    disk_images: tuple[DiskImage, ...] = ()


def unpack_whole(
    lower: Device,
    pieces: Iterable[tuple[bytes, int]],
    *,
    disk_images: tuple[DiskImage, ...],
    progress: UnpackProgress | None = None,
) -> UnpackedDevice:
    """The disk of which `pieces` are the content in order, each with how much of the file was used up for it so far.

    Closes `lower`. Raises LimitError, FormatError as `pieces`, DeviceError (ENOSPC).
    """
    name = lower.identity.name
    folder = os.environ.get("TMPDIR") or "/var/tmp"  # noqa: S108 - the file has no name there
    try:
        with tempfile.TemporaryFile(dir=folder, prefix="bootpath-") as file:
            total = looked = 0
            for piece, used in pieces:
                check_limit("unpacked_image_bytes", total + len(piece), "the unpacked disk is too large", where=name)
                if total >= looked:
                    _check_room(file.fileno(), folder, name)
                    looked = total + _LOOK_BYTES
                _write_sparsely(file.fileno(), piece, total)
                total += len(piece)
                if progress is not None:
                    progress(used, lower.size_bytes, name)
            os.ftruncate(file.fileno(), total)
            descriptor = os.dup(file.fileno())
    except OSError as fault:
        raise DeviceError(
            f"the disk cannot be unpacked: {fault.strerror}",
            errno=fault.errno or errno.EIO,
            where=name,
            found=folder,
            hint="set TMPDIR to a place with room",
        ) from fault
    try:
        device = UnpackedDevice(descriptor, identity=Identity(name))
    except BaseException:
        os.close(descriptor)
        raise
    device.disk_images = disk_images
    lower.close()
    return device


def _write_sparsely(fd: int, piece: bytes, offset: int) -> None:
    view = memoryview(piece)
    for start in range(0, len(view), _RUN_BYTES):
        run = view[start : start + _RUN_BYTES]
        if run == _ZEROS[: len(run)]:
            continue
        while run:
            run = run[os.pwrite(fd, run, offset + start + len(view[start : start + _RUN_BYTES]) - len(run)) :]


def _check_room(fd: int, folder: str, name: str) -> None:
    state = os.fstatvfs(fd)
    kept = min(_ROOM_BYTES, state.f_blocks * state.f_frsize // _ROOM_SHARE)
    free = state.f_bavail * state.f_frsize
    if free < kept + _LOOK_BYTES:
        raise DeviceError(
            "there is no room to unpack the disk",
            errno=errno.ENOSPC,
            where=name,
            found=f"{format_bytes(free)} free in {folder}",
            expected=f"at least {format_bytes(kept + _LOOK_BYTES)}",
            hint="set TMPDIR to a place with room",
        )
