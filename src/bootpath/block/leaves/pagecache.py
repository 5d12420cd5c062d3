"""What of a file is in the page cache: cachestat(2), in Linux from 6.5.

Unlike mincore(2) it needs no mapping, and unlike preadv2(2) with RWF_NOWAIT it copies nothing. Python has no name for
it, so it is called by its number, which is the same on every architecture but Alpha.
"""

from __future__ import annotations

import ctypes
import mmap
from functools import lru_cache

_CACHESTAT = 451


class _Range(ctypes.Structure):
    _fields_ = (("offset", ctypes.c_uint64), ("length", ctypes.c_uint64))


class _Statistics(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("cached", "dirty", "writeback", "evicted", "recently"))


@lru_cache(maxsize=1)
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def is_cached(fd: int, offset: int, length: int) -> bool:
    """True when every page of the bytes is in the page cache; False too when the kernel cannot tell.

    A hole is not in the cache before somebody has read it. The answer can be out of date when it arrives.
    """
    wanted, found = _Range(offset, length), _Statistics()
    if _libc().syscall(_CACHESTAT, fd, ctypes.byref(wanted), ctypes.byref(found), 0):
        return False
    pages = (offset + length + mmap.PAGESIZE - 1) // mmap.PAGESIZE - offset // mmap.PAGESIZE
    return int(found.cached) >= pages
