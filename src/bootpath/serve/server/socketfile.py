"""The name of a Unix socket in the file system: claimed, taken over from the dead, and given back.

A server that is killed leaves its socket's file behind, and bind(2) fails where there is anything. So a file that is a
socket on which nobody listens (connect(2): ECONNREFUSED) is replaced; one on which somebody does, and a file that is no
socket, never.

Two servers that start at once must not take each other's new socket for a dead one, which it looks like until
listen(2). So looking, replacing and listening, and removing at the end, are done with the directory locked (flock(2)),
which leaves nothing behind. Where that is not possible nothing is replaced. Programs that are not ours do not know of
the lock: they may still bind a name between our looking and our binding, which then fails.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from bootpath.core.errors import DeviceError

_LOCK_SECONDS = 5.0
_LOCK_STEP_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class SocketFile:
    """The file of a socket that listens."""

    path: str
    made: os.stat_result

    @classmethod
    def listen(cls, listener: socket.socket, path: str, *, mode: int, backlog: int) -> SocketFile:
        """Bind and listen; nobody can connect before the file has its mode. Raises DeviceError."""
        try:
            with _directory_locked(path) as locked:
                _bind(listener, path, may_replace=locked)
                try:
                    os.chmod(path, mode)
                    listener.listen(backlog)
                    return cls(path, os.lstat(path))
                except BaseException:
                    os.unlink(path)
                    raise
        except OSError as error:
            raise not_listening(path, error) from error

    def remove(self) -> None:
        """Remove it, unless another one has taken its place. For before the socket is closed."""
        with _directory_locked(self.path), suppress(OSError):
            if os.path.samestat(os.lstat(self.path), self.made):
                os.unlink(self.path)


def not_listening(where: str, error: OSError, hint: str | None = None) -> DeviceError:
    """The error of a server that cannot listen there."""
    return DeviceError(
        f"the server cannot listen: {error.strerror or error}", errno=error.errno or errno.EIO, where=where, hint=hint
    )


def _bind(listener: socket.socket, path: str, *, may_replace: bool) -> None:
    try:
        listener.bind(path)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        if not _is_socket(path):
            raise not_listening(path, error, "there is a file that is not a socket") from error
        if not _is_dead(path):
            raise not_listening(path, error, "does another server run?") from error
        if not may_replace:
            raise not_listening(path, error, "remove the file: no server listens on it") from error
        os.unlink(path)
        listener.bind(path)


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.lstat(path).st_mode)
    except OSError:
        return False


def _is_dead(path: str) -> bool:
    """True when it is certain that nobody listens there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.setblocking(False)  # a server whose backlog is full is alive
        return client.connect_ex(path) == errno.ECONNREFUSED


@contextmanager
def _directory_locked(path: str) -> Iterator[bool]:
    """Lock the directory of `path` for the time of the block; False when it cannot be, or others hold it for long."""
    try:
        fd = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        yield _lock(fd)
    finally:
        os.close(fd)


def _lock(fd: int) -> bool:
    for _ in range(round(_LOCK_SECONDS / _LOCK_STEP_SECONDS)):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOCK_STEP_SECONDS)
        except OSError:
            return False  # a file system without locks
        else:
            return True
    return False
