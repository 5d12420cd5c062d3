"""Memory that reads as zeros, is committed page by page when written, and can be given back.

It is a file in RAM (memfd_create(2)), mapped: a megabyte of it can be sent to a socket by the kernel, page by page,
without being copied here (`range`), and processes that are forked share it. It is never reserved, so a 1 TiB device
costs address space, not memory, and never uses huge pages: one 4 KiB write must not commit 2 MiB, and page faults of
huge pages stall writers.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import weakref

from bootpath.core.device import FileRange


class Pages:
    """`size_bytes` of zeros. `view` is the memory; it outlives this object while anything refers to it."""

    __slots__ = ("__weakref__", "_fd", "_memory", "size_bytes", "view")

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self._fd = os.memfd_create("bootpath", os.MFD_CLOEXEC)
        weakref.finalize(self, os.close, self._fd)
        os.ftruncate(self._fd, max(size_bytes, 1))
        self._memory = mmap.mmap(self._fd, max(size_bytes, 1))
        with contextlib.suppress(OSError):  # EINVAL: a kernel without huge pages
            self._memory.madvise(mmap.MADV_NOHUGEPAGE)
        self.view = memoryview(self._memory)[:size_bytes]

    def fileno(self) -> int:
        """The descriptor of the memory as a file."""
        return self._fd

    def range(self, offset: int, length: int) -> FileRange:
        """Where a part of the memory is. It keeps the memory."""
        return FileRange(self, offset, length)

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
        # "Free up a given range of pages and its associated backing store" (madvise(2)), for everyone who shares them.
        self._memory.madvise(mmap.MADV_REMOVE, first, last - first)
