"""A file as a disk: plain, or whatever it is by its very first bytes.

Only regular files are recognised: what is on a block device may have been written by the machine whose disk it is, and
a guest that begins its disk with the header of another format must not have that format opened on the host, which was
QEMU's error for years (CVE-2008-2004). Whoever serves such a guest's raw file says so (`raw`). What is recognised is
only read, so nothing can make of a raw file that is written through bootpath another one.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass

from bootpath.block.leaves.file import FileDevice, empty_disk
from bootpath.block.leaves.images.unpack import UnpackProgress
from bootpath.block.leaves.images.virtual import file_region
from bootpath.core.device import Device
from bootpath.core.diskimage import DiskImage
from bootpath.core.errors import DeviceError, Error, FormatError
from bootpath.formats.diskimages.recognise import COMPRESSED, HEAD_BYTES, VIRTUAL, ImageKind, recognise

RAW = "--raw takes the file as it is"
_MAX_DEPTH = 3


@dataclass(frozen=True, slots=True)
class ImageRules:
    """What may be made of a file: nothing but its bytes (`raw`), and whether an image may name other files.

    `progress` is called while a file is unpacked or checked as a whole.
    """

    raw: bool = False
    allow_backing_file: bool = False
    progress: UnpackProgress | None = None


def open_image(path: str, *, writable: bool, rules: ImageRules) -> Device:
    """The disk in a file, or on a block device. Raises DeviceError (EPERM when what it is cannot be written), Error."""
    opened = FileDevice.open(path, writable=writable)
    if rules.raw or not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
        return opened
    file: Device = opened
    outer: tuple[DiskImage, ...] = ()
    try:
        while True:
            kind = recognise(b"".join(file.read(0, HEAD_BYTES)))
            if kind is None:
                return file
            if writable:
                raise DeviceError(
                    f"the file is of the format {kind.value}, which is only read here",
                    errno=errno.EPERM,
                    where=path,
                    hint=RAW,
                )
            if len(outer) == _MAX_DEPTH:
                raise FormatError(f"the disk is packed more than {_MAX_DEPTH} times", where=path)
            file = _unpacked(file, kind, outer, rules)
            outer = getattr(file, "disk_images", outer)
            if not file.size_bytes:
                raise empty_disk(path)
    except BaseException as fault:
        file.close()
        if isinstance(fault, Error):
            raise fault.at(path) from fault.__cause__
        raise


def _unpacked(file: Device, kind: ImageKind, outer: tuple[DiskImage, ...], rules: ImageRules) -> Device:
    if kind in COMPRESSED:
        from bootpath.block.leaves.images.compressed import open_compressed

        return open_compressed(file, file_region(file), kind, outer, rules.progress)
    if kind in VIRTUAL:
        from bootpath.block.leaves.images.qemu import open_virtual

        return open_virtual(file, kind, outer, allow_backing_file=rules.allow_backing_file, progress=rules.progress)
    if kind is ImageKind.ANDROID_SPARSE:
        from bootpath.block.leaves.images.androidsparse import open_android_sparse

        return open_android_sparse(file, file_region(file), outer, rules.progress)
    raise FormatError(f"the file is of the format {kind.value}, which is not read here", hint=f"unpack it first; {RAW}")
