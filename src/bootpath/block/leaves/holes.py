"""Holes of a file: fallocate(2) to make them, SEEK_DATA and SEEK_HOLE to see them.

Python's os module has no fallocate with a mode, so it is called in the C library.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator

# linux/falloc.h
_KEEP_SIZE = 0x01
_PUNCH_HOLE = 0x02
_ZERO_RANGE = 0x10

_UNSUPPORTED = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.ENODEV, errno.EINVAL, errno.ENOTTY})


def _fallocate(fd: int, mode: int, offset: int, length: int) -> bool:
    """True when done, False when the file system or the device cannot. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        fallocate = libc.fallocate64
    except AttributeError:  # musl: off_t has 64 bits everywhere
        fallocate = libc.fallocate
    fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    fallocate.restype = ctypes.c_int
    while fallocate(fd, mode, offset, length):
        code = ctypes.get_errno()
        if code == errno.EINTR:
            continue
        if code in _UNSUPPORTED:
            return False
        raise OSError(code, os.strerror(code))
    return True


def punch(fd: int, offset: int, length: int) -> bool:
    """Make the range a hole that reads as zeros; False when that cannot be done here. Raises OSError."""
    return _fallocate(fd, _PUNCH_HOLE | _KEEP_SIZE, offset, length)


def zero_range(fd: int, offset: int, length: int) -> bool:
    """Make the range read as zeros, keeping it allocated; False when that cannot be done here. Raises OSError."""
    return _fallocate(fd, _ZERO_RANGE | _KEEP_SIZE, offset, length)


def data_runs(fd: int, offset: int, length: int, granularity: int) -> Iterator[tuple[int, int, bool]]:
    """(offset, length, has data) for the range, in order, widened so that every edge is on the granularity.

    A file system that knows no holes, and a block device, are all data. Raises OSError.
    """
    end = offset + length
    while offset < end:
        try:
            data = os.lseek(fd, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.EINVAL:
                yield offset, end - offset, True
                return
            if error.errno != errno.ENXIO:  # ENXIO: "offset is beyond the last data" (lseek(2))
                raise
            data = end
        data = max(offset, data - data % granularity)
        if data >= end:
            yield offset, end - offset, False
            return
        if data > offset:
            yield offset, data - offset, False
        hole = os.lseek(fd, data, os.SEEK_HOLE)
        hole = min(end, -(-hole // granularity) * granularity)
        yield data, hole - data, True
        offset = hole
