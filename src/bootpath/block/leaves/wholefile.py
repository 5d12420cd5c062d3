"""A file that is read whole: a key, a plan, a table, whatever an option names.

Whoever names it may be wrong: it may be a device that never ends, a pipe that nobody writes to, or have the size of a
disk. So at most a limit's worth is read, and nothing of a regular file that is larger; a pipe may stay silent for as
long as a limit says (``<(…)`` of a shell is one, and is read like a file).
"""

from __future__ import annotations

import errno
import os
import select
import stat
from collections.abc import Callable
from typing import BinaryIO, TypeVar

from bootpath.core.errors import Error, LimitError
from bootpath.core.limits import check_limit, format_limit, limit_hint, limits

_PIECE_BYTES = 1 << 20

T = TypeVar("T")


def read_whole(path: str | os.PathLike[str], limit: str = "file_bytes") -> bytes:
    """All of a file. Raises LimitError when it has more than the limit of that name allows, OSError."""
    name = os.fspath(path)
    # A pipe without a writer would keep a blocking open from returning.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        kind = os.fstat(descriptor)
        if stat.S_ISREG(kind.st_mode):
            check_limit(limit, kind.st_size, "the file is too large", where=name)
        waits = stat.S_ISFIFO(kind.st_mode)

        def read(length: int) -> bytes:
            if waits:
                _wait(descriptor, name)
            return os.read(descriptor, length)

        return _read(read, name, limit)
    except OSError as error:
        error.filename = name
        raise
    finally:
        os.close(descriptor)


def read_beginning(path: str | os.PathLike[str], limit: str = "file_bytes") -> bytes:
    """As much of a regular file as the limit allows, else as `read_whole`, and raises as that."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        return read_whole(path, limit)
    with open(path, "rb") as file:
        return file.read(getattr(limits(), limit))


def read_parsed(path: str | os.PathLike[str], parse: Callable[[bytes], T], limit: str = "file_bytes") -> T:
    """What `parse` makes of all of a file; its errors name the file. Raises as `read_whole` and `parse`."""
    data = read_whole(path, limit)
    try:
        return parse(data)
    except Error as fault:
        raise fault.at(os.fspath(path)) from None


def read_stream(stream: BinaryIO, name: str, limit: str = "file_bytes") -> bytes:
    """All that a stream still gives, however long that takes. Raises as `read_whole`."""
    return _read(stream.read, name, limit)


def open_plain(path: str | os.PathLike[str]) -> BinaryIO:
    """A file to read in pieces, or a block device. Raises Error for what has no size, OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode) or stat.S_ISBLK(mode):
        return open(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    raise Error("what is read is neither a file nor a block device", where=os.fspath(path))


def _read(read: Callable[[int], bytes], name: str, limit: str) -> bytes:
    allowed: int = getattr(limits(), limit)
    data = bytearray()
    while True:
        piece = read(min(_PIECE_BYTES, allowed + 1 - len(data)))
        if not piece:
            return bytes(data)
        data += piece
        if len(data) > allowed:
            raise LimitError(
                "the file is too large",
                where=name,
                expected=f"at most {format_limit(limit, allowed)}",
                hint=limit_hint(limit),
            )


def _wait(descriptor: int, name: str) -> None:
    seconds = limits().file_wait_seconds
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    if not poll.poll(seconds * 1000):
        raise LimitError(
            f"nothing was written to the pipe for {format_limit('file_wait_seconds', seconds)}",
            where=name,
            hint=limit_hint("file_wait_seconds"),
        )
