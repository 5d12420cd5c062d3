"""Reading files by their paths: what every file system reader offers, whatever its format.

`Files` is the seam: programs that look for boot entries, kernels and archives take it and do not ask what is below.
RedoxFS offers it through `redoxfiles.RedoxFiles`, the others through `treefiles.TreeFiles`; `open.open_files` finds out
which one it is. All of it is read only, and nothing is mounted.

Paths are str with "/" between names; they start at the root whether they begin with "/" or not. Names that are not
UTF-8 have surrogates (``os.fsdecode``). A symbolic link is followed inside the file system only: an absolute one from
its root, ".." never leaves it, and at most 40 are followed for one path (ELOOP), as by Linux.

Errors: FileSystemError for what is not there or not that kind (ENOENT, ENOTDIR, EISDIR, EINVAL, ELOOP, EFBIG,
EOPNOTSUPP); FormatError for damage; DeviceError passes through unchanged. No call returns zeros for what could not be
read.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from bootpath.core.extents import Extent

MAX_LINKS_FOLLOWED = 40


class FileKind(Enum):
    """What a name leads to."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    CHARACTER_DEVICE = "character device"
    BLOCK_DEVICE = "block device"
    FIFO = "fifo"
    SOCKET = "socket"

    @classmethod
    def of_mode(cls, mode: int) -> FileKind | None:
        """The kind that a mode's type bits say (stat(2)), None when they say nothing known."""
        return _KINDS.get(stat.S_IFMT(mode))


FILE_TYPES = {
    1: FileKind.FILE,
    2: FileKind.DIRECTORY,
    3: FileKind.CHARACTER_DEVICE,
    4: FileKind.BLOCK_DEVICE,
    5: FileKind.FIFO,
    6: FileKind.SOCKET,
    7: FileKind.SYMLINK,
}
"""What ext4 and erofs write beside a name in a directory (Linux fs_types.h, FT_*)."""
_KINDS = {
    stat.S_IFREG: FileKind.FILE,
    stat.S_IFDIR: FileKind.DIRECTORY,
    stat.S_IFLNK: FileKind.SYMLINK,
    stat.S_IFCHR: FileKind.CHARACTER_DEVICE,
    stat.S_IFBLK: FileKind.BLOCK_DEVICE,
    stat.S_IFIFO: FileKind.FIFO,
    stat.S_IFSOCK: FileKind.SOCKET,
}


@dataclass(frozen=True, slots=True)
class FileNode:
    """A file, directory, link or special file. `id` tells nodes of one file system apart; hard links share it.

    `mode` has the type bits too. `mtime_ns` is nanoseconds since 1970; formats without owners say 0.
    """

    id: int
    kind: FileKind
    mode: int
    size_bytes: int
    uid: int = 0
    gid: int = 0
    links: int = 1
    mtime_ns: int = 0

    @property
    def permissions(self) -> int:
        """The mode without the type."""
        return stat.S_IMODE(self.mode)


@dataclass(frozen=True, slots=True)
class DirectoryEntry:
    """A name in a directory, and the kind of what it leads to; "." and ".." are never listed."""

    name: str
    kind: FileKind


class Files(Protocol):
    """The files of one file system. See the module docstring for paths and errors. For one thread at a time."""

    @property
    def format(self) -> str:
        """What it is, by blkid's name: vfat, ext4, erofs, squashfs, redoxfs."""
        ...

    @property
    def warnings(self) -> Sequence[str]:
        """What may make the content stale or wrong although it can be read: a journal that was not replayed."""
        ...

    def lookup(self, path: str, follow: bool = True) -> FileNode:
        """The node at `path`; with `follow`, what a link at its end leads to."""
        ...

    def exists(self, path: str) -> bool:
        """True when `path` leads to a node."""
        ...

    def list(self, path: str = "/") -> Sequence[DirectoryEntry]:
        """The entries of a directory, sorted by name."""
        ...

    def read(self, path: str, offset: int, length: int) -> bytes:
        """Up to `length` bytes of a file from byte `offset`; less only at its end. EISDIR, EINVAL (a special file)."""
        ...

    def read_file(self, path: str, max_bytes: int) -> bytes:
        """A whole file. EFBIG when it has more than `max_bytes`, before anything of it is read."""
        ...

    def readlink(self, path: str) -> str:
        """Where a symbolic link leads. EINVAL when it is none."""
        ...

    def extents(self, path: str) -> Sequence[Extent]:
        """Where on the device a file's data is, in the file's order, without holes; compressed data as it is stored."""
        ...

    def doubts(self, path: str) -> Sequence[str]:
        """What is wrong with how a file is stored, although it can be read; sentences without a subject.

        Raises FormatError when it cannot be read, as far as that is known without its data.
        """
        ...

    def walk(self, path: str = "/") -> Iterator[tuple[str, FileNode]]:
        """`path` and everything below it as (path, node), depth first, sorted; links are not followed.

        Raises FormatError when a directory is reached twice, which no sound file system has.
        """
        ...
