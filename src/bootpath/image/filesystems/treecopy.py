"""A file tree laid down in a directory, for programs that make a file system of one.

Kept are content, mode, times, symbolic links, hard links, extended attributes; owners, devices and the attributes that
only root may set where this runs as root, which is also what such a program could read. Everything is as the sources
say, save the owner where `all_root` asks for root's.

Recursion is the tree's: its paths are what they are, nothing is followed.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path

from bootpath.core.errors import Error
from bootpath.image.filesystems.filetree import FileTree, TreeEntry

_DIRECTORY_MODE = 0o755


def copy_tree(tree: FileTree, directory: Path, *, all_root: bool = False) -> None:
    """Make `directory`, which does not exist, and fill it. Raises Error for what cannot be copied, OSError."""
    links: dict[tuple[int, int], Path] = {}
    for entry in tree.entries:
        target = directory / entry.path.lstrip("/")
        status = entry.status
        if entry.source is None or status is None:
            target.mkdir(mode=_DIRECTORY_MODE)
            continue
        if not entry.is_directory and status.st_nlink > 1:
            first = links.setdefault((status.st_dev, status.st_ino), target)
            if first is not target:
                os.link(first, target, follow_symlinks=False)
                continue
        _make(entry.source, status, target)
        _attributes(entry.source, target)
    # Directories last and deepest first: what is put into one changes its time, and it may not be writable.
    for entry in reversed(tree.entries):
        _finish(entry, directory / entry.path.lstrip("/"), all_root=all_root)


def _make(source: Path, status: os.stat_result, target: Path) -> None:
    mode = status.st_mode
    if stat.S_ISDIR(mode):
        target.mkdir(mode=0o700)
    elif stat.S_ISREG(mode):
        shutil.copyfile(source, target, follow_symlinks=False)
    elif stat.S_ISLNK(mode):
        target.symlink_to(source.readlink())
    elif stat.S_ISFIFO(mode):
        os.mkfifo(target)
    elif stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        try:
            os.mknod(target, mode, status.st_rdev)
        except PermissionError:
            raise Error("a device needs root to be copied", where=str(source)) from None
    else:
        raise Error(
            "the source is a socket, which no file system keeps",
            where=str(source),
            hint="exclude it with ExcludeFiles=",
        )


def _attributes(source: Path, target: Path) -> None:
    try:
        names = os.listxattr(source, follow_symlinks=False)
    except OSError as fault:
        if fault.errno == errno.ENOTSUP:
            return
        raise
    for name in names:
        try:
            os.setxattr(target, name, os.getxattr(source, name, follow_symlinks=False), follow_symlinks=False)
        except OSError as fault:
            # Those of trusted.* and security.* are root's; the kernel answers for what it keeps itself.
            if fault.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENODATA):
                raise


def _finish(entry: TreeEntry, target: Path, *, all_root: bool) -> None:
    status = entry.status
    if status is None:
        target.chmod(_DIRECTORY_MODE)
        return
    if os.geteuid() == 0:
        owner = (0, 0) if all_root else (status.st_uid, status.st_gid)
        os.chown(target, *owner, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        target.chmod(stat.S_IMODE(status.st_mode))  # after the owner, which clears the set-user-ID bit
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)
