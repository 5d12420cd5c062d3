"""A file that grows, with a lock: what a persistent overlay is kept in.

`OverlayStorage` is the seam: everything an overlay does to its file goes through it, so that a test can cut the power
between any two of its calls. `GrowingFile` is the real one.

flock(2) keeps a second writer away, also one of the same process; readers share the lock among themselves.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Sequence
from typing import Protocol

from bootpath.block.leaves.file import FileDevice
from bootpath.core.device import Buffer, Identity
from bootpath.core.errors import DeviceError


class OverlayStorage(Protocol):
    """Bytes with an end that moves. Every method raises DeviceError; writes are stable only after `flush`."""

    @property
    def identity(self) -> Identity:
        """Its name, for messages."""
        ...

    def length(self) -> int:
        """Where it ends, in bytes."""
        ...

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        """Exactly `length` bytes; EIO past the end."""
        ...

    def read_resident(self, offset: int, length: int) -> Sequence[Buffer] | None:
        """The same if it need not be waited for, else None."""
        ...

    def write(self, offset: int, data: Buffer) -> None:
        """All of `data`; past the end it grows. ENOSPC when it cannot."""
        ...

    def flush(self) -> None:
        """Everything written so far, and the end, is stable."""
        ...

    def discard(self, offset: int, length: int) -> None:
        """Give the bytes back: they read as zeros, or as before where that cannot be."""
        ...

    def allocate(self, offset: int, length: int) -> None:
        """Grow to hold these bytes, and have room for them: writing them will not be ENOSPC."""
        ...

    def truncate(self, length: int) -> None:
        """End at `length` bytes."""
        ...

    def close(self) -> None:
        """Release it and its lock."""
        ...


class GrowingFile(FileDevice):
    """An open, locked file. Made by `open` and `create`."""

    whole_blocks = False

    @classmethod
    def open_locked(cls, path: str | os.PathLike[str], *, writable: bool = True) -> GrowingFile:
        """Open an existing file: alone when `writable`, else with other readers. EBUSY when it is in use."""
        return cls._open(path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_NONBLOCK, writable)

    @classmethod
    def peek(cls, path: str | os.PathLike[str]) -> GrowingFile:
        """Open a file to read, whoever is writing it: what is read may be of several moments."""
        return cls._open(path, os.O_RDONLY | os.O_NONBLOCK, False, locked=False)

    @classmethod
    def create(cls, path: str | os.PathLike[str]) -> GrowingFile:
        """Make a new, empty file, whose name is stable when this returns. EEXIST when there is one."""
        file = cls._open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, True)
        try:
            _sync_folder(path)
        except BaseException:
            file.close()
            with contextlib.suppress(OSError):
                os.unlink(path)
            raise
        return file

    @classmethod
    def _open(cls, path: str | os.PathLike[str], flags: int, writable: bool, *, locked: bool = True) -> GrowingFile:
        name = os.fspath(path)
        try:
            fd = os.open(path, flags | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise DeviceError(
                f"the file cannot be opened: {error.strerror}", errno=error.errno or errno.EIO, where=name
            ) from error
        try:
            if locked:
                lock(fd, name, exclusive=writable)
            return cls(fd, writable=writable, identity=Identity(name))
        except BaseException:
            os.close(fd)
            raise

    def allocated_bytes(self) -> int:
        """What the file takes on its disk."""
        return os.fstat(self._fd).st_blocks * 512

    def length(self) -> int:
        """See `OverlayStorage.length`."""
        try:
            return os.lseek(self._fd, 0, os.SEEK_END)
        except OSError as error:
            raise self._error("the size cannot be found", error) from error

    def allocate(self, offset: int, length: int) -> None:
        """See `OverlayStorage.allocate`: posix_fallocate(3), which writes where the file system cannot allocate."""
        try:
            os.posix_fallocate(self._fd, offset, length)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # musl does not write in its place
                full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
                code = errno.ENOSPC if full else errno.EIO
                raise self._error(f"{length} bytes at {offset} cannot be allocated", error, code) from error
            self.write(offset, bytes(length))

    def truncate(self, length: int) -> None:
        """See `OverlayStorage.truncate`."""
        try:
            os.ftruncate(self._fd, length)
        except OSError as error:
            raise self._error(f"the file cannot be cut to {length} bytes", error) from error


def lock(fd: int, name: str, *, exclusive: bool) -> None:
    """Take the file's lock or raise DeviceError (EBUSY). It goes with the descriptor."""
    try:
        fcntl.flock(fd, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DeviceError("the file is in use by another process or device", errno=errno.EBUSY, where=name) from None
    except OSError as error:
        raise DeviceError(
            f"the file cannot be locked: {error.strerror}", errno=error.errno or errno.EIO, where=name
        ) from error


def _sync_folder(path: str | os.PathLike[str]) -> None:
    folder = os.path.dirname(os.fspath(path)) or os.curdir
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with contextlib.suppress(PermissionError):
                os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise DeviceError(
            f"the folder cannot be made stable: {error.strerror}", errno=error.errno or errno.EIO, where=folder
        ) from error
