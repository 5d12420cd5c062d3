"""What the native module raises, as the package's errors.

====================================  =====================================================
the crate's errno                     FileSystemError with that errno, at the path
EIO without a failed device, a panic  FormatError: the image is damaged
an image that contradicts itself      FormatError
no header where one was expected      FormatError
password missing, wrong or needless   FileSystemError (ENOKEY, EKEYREJECTED)
====================================  =====================================================

Errors of a device or callback pass through as they are: they never come here.
"""

from __future__ import annotations

import errno
import os
from typing import TypeAlias

from bootpath._native import CrateError, CratePanic, ImageError
from bootpath.core.errors import Error, FileSystemError, FormatError

NativeFault: TypeAlias = CrateError | ImageError | CratePanic
NATIVE_FAULTS = (CrateError, ImageError, CratePanic)

_HINTS = {
    errno.EPERM: "a directory has one name only",
    errno.EFBIG: "a file can have at most 2 TiB",
}


def translate(fault: NativeFault, where: str) -> Error:
    """The error for a fault of an operation at `where` (device and path)."""
    if isinstance(fault, CratePanic):
        message, location = fault.args
        return FormatError(f"the image is corrupt: redoxfs gave up: {message} ({location})", where=where)
    if isinstance(fault, ImageError):
        return FormatError(f"the image is corrupt: {fault.args[0]}", where=where)
    code, block = fault.args
    if code == errno.EIO:
        last = "a block" if block is None else f"block {block}"
        return FormatError(
            f"the image is corrupt: {last} does not match the checksum in the pointer to it", where=where
        )
    return FileSystemError(os.strerror(code).lower(), errno=code, where=where, hint=_HINTS.get(code))


def translate_open(fault: NativeFault, where: str, block: int | None, password: bytes | None) -> Error:
    """The error for a fault of opening the file system at `block` (None: searched for)."""
    if isinstance(fault, CrateError):
        code = fault.args[0]
        if code == errno.ENOENT:
            place = "in the first 256 MiB" if block is None else f"at byte {block * 4096}"
            return FormatError(f"there is no valid RedoxFS header {place}", where=where)
        if code == errno.ENOKEY and password is None:
            return FileSystemError("the file system is encrypted and needs a password", errno=code, where=where)
        if code == errno.ENOKEY:
            return FileSystemError("the password is wrong", errno=code, where=where)
        if code == errno.EKEYREJECTED:
            return FileSystemError(
                "a password was given, but the file system is not encrypted", errno=code, where=where
            )
    return translate(fault, where)
