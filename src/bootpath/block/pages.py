"""Anonymous memory: reads as zeros, is committed page by page when written, and can be given back.

The mapping is private, never reserved (a 1 TiB device costs address space, not memory) and never uses huge pages: one
4 KiB write must not commit 2 MiB, and page faults of huge pages stall writers.
"""

from __future__ import annotations

import contextlib
import mmap

# The mmap module names MAP_NORESERVE from Python 3.13 on; 0x4000 is Linux's value on every architecture we run on.
_MAP_NORESERVE: int = getattr(mmap, "MAP_NORESERVE", 0x4000)


class Pages:
    """`size_bytes` of zeros. `view` is the memory; it outlives this object while anything refers to it."""

    __slots__ = ("_memory", "size_bytes", "view")

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self._memory = mmap.mmap(
            -1,
            max(size_bytes, 1),
            flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE,
            prot=mmap.PROT_READ | mmap.PROT_WRITE,
        )
        with contextlib.suppress(OSError):  # EINVAL: a kernel without huge pages
            self._memory.madvise(mmap.MADV_NOHUGEPAGE)
        self.view = memoryview(self._memory)[:size_bytes]

    def release(self, start: int, end: int) -> None:
        """Make bytes start..end read as zeros and give their whole pages back to the kernel."""
        page = mmap.PAGESIZE
        first = -(-start // page) * page
        last = end if end == self.size_bytes else end // page * page
        if first >= last:
            self.view[start:end] = bytes(end - start)
            return
        if start < first:
            self.view[start:first] = bytes(first - start)
        if last < end:
            self.view[last:end] = bytes(end - last)
        self._memory.madvise(mmap.MADV_DONTNEED, first, last - first)
