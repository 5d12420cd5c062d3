"""Copying a file into a place of another, leaving holes where there is nothing but zeros.

The target has to read as zeros where it is written to: a new file made long enough. Data runs are those that the
source's file system names (SEEK_DATA); within them, pieces of 64 KiB that are all zero are passed over too.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator

from bootpath.core.errors import Error

_READ_BYTES = 1 << 20
_PIECE_BYTES = 64 << 10
_ZEROS = bytes(_PIECE_BYTES)


def copy_sparse(
    source: int, target: int, offset: int, size: int, *, where: str, progress: Callable[[int], None] | None = None
) -> int:
    """Copy the first `size` bytes of file descriptor `source` to byte `offset` of `target`; the bytes written.

    `progress` is called with the bytes done. Raises Error when the source is shorter, OSError.
    """
    written = 0
    if os.lseek(source, 0, os.SEEK_END) < size:
        raise Error("the file is too short", where=where, expected=f"at least {size} bytes")
    for start, end in _data_runs(source, size):
        position = start
        while position < end:
            chunk = os.pread(source, min(_READ_BYTES, end - position), position)
            if not chunk:
                raise Error(
                    "the file became shorter while it was read",
                    where=where,
                    found=f"{position} bytes",
                    expected=f"{size} bytes",
                )
            for piece, count in _pieces(memoryview(chunk)):
                written += _write(target, chunk[piece : piece + count], offset + position + piece)
            position += len(chunk)
            if progress is not None:
                progress(position)
    if progress is not None:
        progress(size)
    return written


def _data_runs(fd: int, size: int) -> Iterator[tuple[int, int]]:
    position = 0
    while position < size:
        try:
            start = os.lseek(fd, position, os.SEEK_DATA)
        except OSError as fault:
            if fault.errno == errno.ENXIO:  # no data from here on
                return
            yield position, size  # a file system, or a device, that does not know holes
            return
        if start >= size:
            return
        position = min(os.lseek(fd, start, os.SEEK_HOLE), size)
        yield start, position


def _pieces(chunk: memoryview) -> Iterator[tuple[int, int]]:
    """Runs of pieces that are not all zero."""
    begin: int | None = None
    for place in range(0, len(chunk), _PIECE_BYTES):
        piece = chunk[place : place + _PIECE_BYTES]
        if piece == _ZEROS[: len(piece)]:
            if begin is not None:
                yield begin, place - begin
                begin = None
        elif begin is None:
            begin = place
    if begin is not None:
        yield begin, len(chunk) - begin


def _write(fd: int, data: bytes, offset: int) -> int:
    view, done = memoryview(data), 0
    while done < len(view):
        done += os.pwrite(fd, view[done:], offset + done)
    return done
