"""A RedoxFS as `files.Files`, so that whoever reads boot files does not ask which file system they are in.

`redoxfs.RedoxFS` has the same verbs; what differs is what they return (nodes with the crate's fields, entries with
whole nodes), and that ".." of a path is removed by its letters.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence

from bootpath.core.errors import FileSystemError, FormatError
from bootpath.core.extents import Extent
from bootpath.fs.readers.files import DirectoryEntry, FileKind, FileNode
from bootpath.fs.redox.redoxfs import RedoxFS
from bootpath.fs.redox.values import RedoxNode


class RedoxFiles:
    """The files of an open RedoxFS, which stays the caller's. See `files.Files` for what the methods do and raise."""

    format = "redoxfs"
    warnings: Sequence[str] = ()

    def __init__(self, fs: RedoxFS) -> None:
        self.fs = fs

    def lookup(self, path: str, follow: bool = True) -> FileNode:
        """See `Files.lookup`."""
        return _file_node(self.fs.lookup(path, follow))

    def exists(self, path: str) -> bool:
        """See `Files.exists`."""
        return self.fs.exists(path)

    def list(self, path: str = "/") -> Sequence[DirectoryEntry]:
        """See `Files.list`."""
        return [DirectoryEntry(entry.name, _file_node(entry.node).kind) for entry in self.fs.list(path)]

    def read(self, path: str, offset: int, length: int) -> bytes:
        """See `Files.read`."""
        return self.fs.read(path, offset, length)

    def read_file(self, path: str, max_bytes: int) -> bytes:
        """See `Files.read_file`."""
        size = self.fs.lookup(path).size_bytes
        if size > max_bytes:
            hint = f"it has {size} bytes, {max_bytes} are allowed"
            raise FileSystemError(os.strerror(errno.EFBIG).lower(), errno=errno.EFBIG, where=path, hint=hint)
        return self.fs.read(path, 0, size)

    def readlink(self, path: str) -> str:
        """See `Files.readlink`."""
        return self.fs.readlink(path)

    def extents(self, path: str) -> Sequence[Extent]:
        """See `Files.extents`."""
        start = self.fs.start_bytes
        return [piece.extent.shift(start) for piece in self.fs.node_extents(path) if piece.what == "data"]

    def doubts(self, path: str) -> Sequence[str]:
        """See `Files.doubts`: every block has a checksum, so there are none."""
        return ()

    def walk(self, path: str = "/") -> Iterator[tuple[str, FileNode]]:
        """See `Files.walk`."""
        return ((where, _file_node(node)) for where, node in self.fs.walk(path))


def _file_node(node: RedoxNode) -> FileNode:
    kind = FileKind.of_mode(node.mode)
    if kind is None:
        raise FormatError(f"corrupt: node {node.id} has an unknown mode", where="redoxfs", found=f"{node.mode:#o}")
    return FileNode(node.id, kind, node.mode, node.size_bytes, node.uid, node.gid, node.links, node.mtime_ns)
