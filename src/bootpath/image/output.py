"""Results in files: each appears whole under its name, or not at all.

What is written goes to a file beside the final one, private until it is complete, when it takes the name, and the
permissions of what it replaces; whoever fails or is interrupted leaves the old file as it was. A name may also be that
of a symbolic link, whose target is then replaced and not the link, or of something that takes bytes (a pipe, a
terminal, /dev/null, /dev/stdout): that is never replaced, but given the whole content at the end. A directory and a
block device are refused: a disk is written by who says so.

What is not complete has a name all the same (``.NAME.….partial``), since other programs write into it, and since
linkat(2) of a file without one replaces nothing. Whoever writes holds it locked (flock(2)): after a kill -9 the kernel
lets go of it, and the next who writes NAME there removes it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from bootpath.core.errors import Error

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What only a write meets, so that it is the output's even when the system call does not say which file it was."""


@contextmanager
def atomic_output(path: Path) -> Iterator[Path]:
    """A temporary file that becomes `path` when the block ends well, and is removed when it does not.

    Raises Error when it cannot be written there, is a directory or a block device; what the block raises otherwise.
    """
    final = _final(path)
    directory = final.parent if final is not None else Path(tempfile.gettempdir())
    with _owned(path.name, directory, lambda temporary: _create(temporary, path)) as temporary:
        try:
            yield temporary
            if final is not None:
                _resemble(temporary, final)
                os.replace(temporary, final)
            else:
                _pour(temporary, path)
        except BrokenPipeError:
            raise  # who reads has gone: that is no fault of the file's
        except OSError as fault:
            if fault.filename == str(temporary) or (fault.filename is None and fault.errno in _FULL):
                raise _refusal(path, fault) from fault
            raise


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """A temporary directory that becomes `path` when the block ends well, and is removed when it does not.

    `path` is new, or an empty directory. Raises Error when it is not, or cannot be written there.
    """
    try:
        with scratch_directory(path.parent, path.name) as temporary:
            temporary.chmod(0o777 & ~_umask())
            yield temporary
            temporary.rename(path)
    except OSError as fault:
        raise _refusal(path, fault) from fault


@contextmanager
def scratch_directory(parent: Path, name: str) -> Iterator[Path]:
    """A directory in `parent` for the time of the block, for our eyes only; `name` says what for. Raises OSError."""
    with _owned(name, parent, lambda temporary: temporary.mkdir(0o700)) as temporary:
        yield temporary


def write_whole(files: Iterable[tuple[Path, bytes]]) -> None:
    """Write several files, none of which takes its name before all are complete. Raises as `atomic_output`."""
    with ExitStack() as stack:
        for path, content in files:
            stack.enter_context(atomic_output(path)).write_bytes(content)


def check_output(path: Path) -> None:
    """Raise what `atomic_output` would: before hours of work whose result has nowhere to go."""
    final = _final(path)
    if final is not None and not os.access(final.parent, os.W_OK | os.X_OK):
        code = errno.EACCES if final.parent.is_dir() else errno.ENOENT
        if code == errno.EACCES and os.statvfs(final.parent).f_flag & os.ST_RDONLY:
            code = errno.EROFS
        raise _refusal(path, OSError(code, os.strerror(code)))


def _final(path: Path) -> Path | None:
    """What is to be replaced, links followed; None for what takes bytes and keeps its name. Raises Error."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return Path(os.path.realpath(path)) if path.is_symlink() else path
    except OSError as fault:
        raise _refusal(path, fault) from fault
    if stat.S_ISDIR(mode):
        raise Error("the output is a directory", where=str(path), expected="the name of a file to write")
    if stat.S_ISBLK(mode):
        raise Error(
            "the output is a block device",
            where=str(path),
            expected="a file",
            hint="write a file, and copy that to the device",
        )
    if stat.S_ISREG(mode):
        return Path(os.path.realpath(path)) if path.is_symlink() else path
    return None


@contextmanager
def _owned(name: str, directory: Path, create: Callable[[Path], None]) -> Iterator[Path]:
    """What `create` makes in the directory, locked for the time of the block and then removed; before that, what
    others have left there for `name`."""
    _remove_abandoned(name, directory)
    while True:
        # Known before there is a file, so that no interruption leaves one behind.
        temporary = directory / f".{name}.{secrets.token_hex(6)}.partial"
        try:
            create(temporary)
            with _locked(temporary) as is_ours:
                if is_ours:
                    yield temporary
                    return
        finally:
            _remove(temporary)


@contextmanager
def _locked(temporary: Path) -> Iterator[bool]:
    """Hold the lock for the time of the block; False when somebody took it for abandoned before we had the lock."""
    fd = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # a file system without locks, where nobody removes what is not theirs
            fcntl.flock(fd, fcntl.LOCK_EX)
        try:
            is_ours = os.path.samestat(os.fstat(fd), temporary.stat())
        except FileNotFoundError:
            is_ours = False
        yield is_ours
    finally:
        os.close(fd)


def _remove_abandoned(name: str, directory: Path) -> None:
    """Remove what was being written for `name` by those who were killed: nobody holds its lock."""
    partial = re.compile(rf"\.{re.escape(name)}\.[0-9a-f]{{12}}\.partial")
    try:
        found = [entry for entry in os.listdir(directory) if partial.fullmatch(entry)]
    except OSError:
        return  # whoever creates something there hears why, if it matters
    for entry in found:
        with suppress(OSError):  # it is being written, or belongs to another user
            fd = os.open(directory / entry, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(directory / entry)
            finally:
                os.close(fd)


def _remove(path: Path) -> None:
    if os.path.isdir(path):  # False for what cannot be looked at
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _create(temporary: Path, path: Path) -> None:
    try:
        os.close(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except OSError as fault:
        raise _refusal(path, fault) from fault


def _resemble(temporary: Path, final: Path) -> None:
    """Give it the owner and the permissions of what it will replace, or those of any new file."""
    try:
        before = final.stat()
    except FileNotFoundError:
        os.chmod(temporary, 0o666 & ~_umask())
        return
    with suppress(PermissionError):
        os.chown(temporary, before.st_uid, before.st_gid)
    os.chmod(temporary, before.st_mode & 0o777)


def _umask() -> int:
    umask = os.umask(0)  # it can only be asked for by setting it
    os.umask(umask)
    return umask


def _pour(content: Path, path: Path) -> None:
    with content.open("rb") as source, path.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)


def _refusal(path: Path, fault: OSError) -> Error:
    return Error(f"cannot write there: {fault.strerror}", where=str(path))
