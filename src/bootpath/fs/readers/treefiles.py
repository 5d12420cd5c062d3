"""Paths over a tree of nodes: one way to resolve names, links and limits, for every format.

A format gives a `Tree`: its root, the children of a directory and the bytes of a node, each by a reference of its own
choosing (an inode number, a directory entry). `TreeFiles` makes `files.Files` of it, so that no format knows of paths.

Bounds, against file systems made to harm: a directory has at most `MAX_DIRECTORY_BYTES`, a link at most
`MAX_TARGET_BYTES`, a path at most `MAX_PATH_BYTES` (Linux PATH_MAX) before and after each link. A directory in which
something is looked up is read once and kept: all of these have as many names as `core.limits` says. Those that are only
walked are neither kept nor counted.
"""

from __future__ import annotations

import builtins
import errno
import os
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from bootpath.core.errors import FileSystemError
from bootpath.core.extents import Extent
from bootpath.core.limits import check_limit, spend
from bootpath.fs.readers.files import MAX_LINKS_FOLLOWED, DirectoryEntry, FileKind, FileNode
from bootpath.fs.readers.source import Source

MAX_DIRECTORY_BYTES = 16 << 20
MAX_TARGET_BYTES = 4096
MAX_PATH_BYTES = 4096
_COUNTED_NAMES = 256  # so often it is looked whether there are too many

R = TypeVar("R", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Child(Generic[R]):
    """A name in a directory, what it leads to, and a second name that finds it too (a short name of FAT)."""

    name: str
    kind: FileKind
    ref: R
    alias: str | None = None


class Tree(Protocol[R]):
    """What a format has to say. Raises FormatError for damage, FileSystemError for what it cannot read, DeviceError."""

    @property
    def source(self) -> Source:
        """Where it is read from."""
        ...

    @property
    def warnings(self) -> Sequence[str]:
        """See `Files.warnings`."""
        ...

    @property
    def root(self) -> R:
        """The root directory."""
        ...

    def node(self, ref: R) -> FileNode:
        """What is known of a node."""
        ...

    def children(self, ref: R) -> Iterable[Child[R]]:
        """A directory's entries but "." and "..", in any order."""
        ...

    def fold(self, name: str) -> str:
        """The form in which names are compared: the name itself, or upper case where case is ignored."""
        ...

    def read(self, ref: R, offset: int, length: int) -> bytes:
        """The bytes of a file or link; the range is inside its size and not empty."""
        ...

    def extents(self, ref: R) -> Iterable[Extent]:
        """See `Files.extents`."""
        ...

    def doubts(self, ref: R) -> Iterable[str]:
        """See `Files.doubts`."""
        ...


def check_directory(source: Source, node: FileNode, ref: str) -> None:
    """Raise FormatError for a node, called `ref`, that is no directory, or is too large to be one."""
    if node.kind is not FileKind.DIRECTORY:
        raise source.fault(f"corrupt: inode {ref} is a {node.kind.value}", expected="a directory")
    check_directory_size(source, node.size_bytes)


def checked_name(source: Source, name: str) -> str:
    """The name, in which no separator and no NUL can be, since paths are made of names. Raises FormatError."""
    if not name or "/" in name or "\0" in name or name in (".", ".."):
        raise source.fault(
            "corrupt: a directory has an entry with a wrong name", found=repr(name), expected="a file name"
        )
    return name


def check_directory_size(source: Source, size_bytes: int) -> None:
    """Raise FormatError for a directory too large to be one."""
    if size_bytes > MAX_DIRECTORY_BYTES:
        raise source.fault(
            "the directory is too large", found=f"{size_bytes} bytes", expected=f"at most {MAX_DIRECTORY_BYTES} bytes"
        )


class TreeFiles(Generic[R]):
    """`files.Files` over a tree. See there for what the methods do and raise."""

    def __init__(self, tree: Tree[R]) -> None:
        self.tree = tree
        self._name = tree.source.device.identity.name
        self._directories: dict[R, Mapping[str, Child[R]]] = {}
        self._names = 0

    @property
    def format(self) -> str:
        """See `Files.format`."""
        return self.tree.source.format

    @property
    def warnings(self) -> Sequence[str]:
        """See `Files.warnings`."""
        return self.tree.warnings

    def lookup(self, path: str, follow: bool = True) -> FileNode:
        """See `Files.lookup`."""
        return self.tree.node(self._resolve(path, follow=follow))

    def exists(self, path: str) -> bool:
        """See `Files.exists`."""
        try:
            self._resolve(path, follow=True)
        except FileSystemError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                return False
            raise
        return True

    def list(self, path: str = "/") -> builtins.list[DirectoryEntry]:
        """See `Files.list`."""
        ref = self._resolve(path, follow=True)
        if self.tree.node(ref).kind is not FileKind.DIRECTORY:
            raise self._refuse(errno.ENOTDIR, path)
        found = (DirectoryEntry(child.name, child.kind) for child in self._children(ref).values())
        return sorted(set(found), key=lambda entry: os.fsencode(entry.name))

    def read(self, path: str, offset: int, length: int) -> bytes:
        """See `Files.read`. ValueError when `offset` or `length` is negative."""
        if offset < 0 or length < 0:
            raise ValueError(f"offset {offset} or length {length} is negative")
        ref, node = self._file(path)
        length = min(length, node.size_bytes - offset)
        return self.tree.read(ref, offset, length) if length > 0 else b""

    def read_file(self, path: str, max_bytes: int) -> bytes:
        """See `Files.read_file`."""
        ref, node = self._file(path)
        if node.size_bytes > max_bytes:
            raise self._refuse(
                errno.EFBIG, path, hint=f"the file has {node.size_bytes} bytes, and at most {max_bytes} are allowed"
            )
        return self.tree.read(ref, 0, node.size_bytes) if node.size_bytes else b""

    def readlink(self, path: str) -> str:
        """See `Files.readlink`."""
        ref = self._resolve(path, follow=False)
        node = self.tree.node(ref)
        if node.kind is not FileKind.SYMLINK:
            raise self._refuse(errno.EINVAL, path, hint="this is not a symbolic link")
        return self._target(ref, node)

    def extents(self, path: str) -> builtins.list[Extent]:
        """See `Files.extents`."""
        joined: builtins.list[Extent] = []
        for extent in self.tree.extents(self._file(path)[0]):
            if joined and joined[-1].end == extent.offset:
                joined[-1] = Extent(joined[-1].offset, joined[-1].length + extent.length)
            else:
                joined.append(extent)
        return joined

    def doubts(self, path: str) -> Sequence[str]:
        """See `Files.doubts`."""
        return tuple(self.tree.doubts(self._file(path)[0]))

    def walk(self, path: str = "/") -> Iterator[tuple[str, FileNode]]:
        """See `Files.walk`."""
        seen: set[int] = set()
        pending = [("/" + path.strip("/"), self._resolve(path, follow=False))]
        while pending:
            where, ref = pending.pop()
            node = self.tree.node(ref)
            yield where, node
            if node.kind is not FileKind.DIRECTORY:
                continue
            if node.id in seen:
                raise self.tree.source.fault(f"corrupt: the directory {where!r} is reached twice")
            seen.add(node.id)
            prefix = where.rstrip("/")
            found = self._directories.get(ref) or self._read_children(ref)
            children = sorted({child.name: child for child in found.values()}.items(), reverse=True)
            pending.extend((f"{prefix}/{name}", child.ref) for name, child in children)

    def _refuse(self, code: int, path: str, hint: str | None = None) -> FileSystemError:
        return FileSystemError(os.strerror(code).lower(), errno=code, where=f"{self._name}: {path}", hint=hint)

    def _file(self, path: str) -> tuple[R, FileNode]:
        ref = self._resolve(path, follow=True)
        node = self.tree.node(ref)
        if node.kind is FileKind.DIRECTORY:
            raise self._refuse(errno.EISDIR, path)
        if node.kind is not FileKind.FILE:
            raise self._refuse(errno.EINVAL, path, hint=f"this is a {node.kind.value}")
        return ref, node

    def _resolve(self, path: str, *, follow: bool) -> R:
        """path_resolution(7): names one after the other, a link's target in the place of the link."""
        pending = self._split(path, path)
        # The directories from the root to where we are; ".." of the root is the root.
        above: builtins.list[R] = [self.tree.root]
        current = self.tree.root
        kind = FileKind.DIRECTORY
        links = 0
        while pending:
            if kind is not FileKind.DIRECTORY:
                raise self._refuse(errno.ENOTDIR, path)
            name = pending.pop()
            if name == ".":
                continue
            if name == "..":
                if len(above) > 1:
                    above.pop()
                current = above[-1]
                continue
            child = self._children(current).get(self.tree.fold(name))
            if child is None:
                raise self._refuse(errno.ENOENT, path)
            if child.kind is FileKind.SYMLINK and (follow or pending):
                links += 1
                if links > MAX_LINKS_FOLLOWED:
                    raise self._refuse(errno.ELOOP, path)
                target = self._target(child.ref, self.tree.node(child.ref))
                if not target:
                    raise self._refuse(errno.ENOENT, path, hint="a symbolic link leads nowhere")
                if target.startswith("/"):
                    del above[1:]
                    current = above[-1]
                pending += self._split(target, path)
                continue
            current, kind = child.ref, child.kind
            if kind is FileKind.DIRECTORY:
                above.append(current)
        return current

    def _split(self, path: str, whole: str) -> builtins.list[str]:
        """The names of a path, the first one last."""
        if len(path) > MAX_PATH_BYTES:
            raise self._refuse(errno.ENAMETOOLONG, whole[:64] + "...")
        names = [name for name in path.split("/") if name]
        if path.endswith("/") and names:
            names.append(".")
        return names[::-1]

    def _target(self, ref: R, node: FileNode) -> str:
        if node.kind is not FileKind.SYMLINK:
            raise self.tree.source.fault(f"corrupt: the entry of a symbolic link leads to a {node.kind.value}")
        if node.size_bytes > MAX_TARGET_BYTES:
            raise self.tree.source.fault(
                "the target of the symbolic link is too long",
                found=f"{node.size_bytes} bytes",
                expected="at most 4096 bytes",
            )
        return os.fsdecode(self.tree.read(ref, 0, node.size_bytes)) if node.size_bytes else ""

    def _children(self, ref: R) -> Mapping[str, Child[R]]:
        found = self._directories.get(ref)
        if found is None:
            found = self._directories[ref] = self._read_children(ref, counted=True)
        return found

    def _count_name(self) -> None:
        """One more name is kept: of this file system, and of all in the caller's `spending`."""
        self._names += 1
        if self._names % _COUNTED_NAMES == 0:
            what = "the directories have too many names"
            check_limit("directory_names", self._names, what, where=self._name)
            spend("directory_names", _COUNTED_NAMES, what, where=self._name)

    def _read_children(self, ref: R, *, counted: bool = False) -> Mapping[str, Child[R]]:
        found: dict[str, Child[R]] = {}
        aliases: dict[str, Child[R]] = {}
        for child in self.tree.children(ref):
            if counted:
                self._count_name()
            found.setdefault(self.tree.fold(child.name), child)
            if child.alias is not None:
                aliases.setdefault(self.tree.fold(child.alias), child)
        for alias, child in aliases.items():
            found.setdefault(alias, child)
        return found
