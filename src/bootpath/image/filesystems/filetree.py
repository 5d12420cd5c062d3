"""The files that go into a new file system: from several places of the host, some left out, some directories added.

A `FileTree` is a list of entries by path in the new file system, parents first, in the order of their names, so that it
does not depend on the order in which a directory gives its files. The source of an entry is None where nothing on the
host stands behind it: a directory that only leads to another one, or that MakeDirectories= asked for; those are made
with mode 0755, owned by root, as repart.d(5) says.

Later sources replace what earlier ones put at the same path, except that directories are merged.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bootpath.core.errors import Error
from bootpath.formats.repart.definition import CopyFiles


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One path of the new file system ("/" is its root), the file on the host behind it, and what lstat says of it."""

    path: str
    source: Path | None
    status: os.stat_result | None

    @property
    def is_directory(self) -> bool:
        """True for a directory, made or copied."""
        return self.status is None or stat.S_ISDIR(self.status.st_mode)

    @property
    def size_bytes(self) -> int:
        """Bytes of a regular file; 0 for anything else."""
        return self.status.st_size if self.status is not None and stat.S_ISREG(self.status.st_mode) else 0


@dataclass(frozen=True, slots=True)
class FileTree:
    """What a file system is made of. `whole` is the one directory that is the tree as it stands, if it is one."""

    entries: tuple[TreeEntry, ...]
    whole: Path | None

    @property
    def data_bytes(self) -> int:
        """Bytes of all regular files; one with several names counts once."""
        seen: dict[tuple[int, int], int] = {}
        for entry in self.entries:
            if entry.status is not None:
                seen[entry.status.st_dev, entry.status.st_ino] = entry.size_bytes
        return sum(seen.values())


def collect_tree(
    copies: Iterable[CopyFiles], *, excluded: Iterable[str] = (), directories: Iterable[str] = (), base: Path
) -> FileTree:
    """The tree of these sources, which are absolute below `base`; and so are those that are left out.

    Raises Error that names the source when it is not there, OSError when it cannot be read.
    """
    copies, left_out = tuple(copies), frozenset(excluded)
    found: dict[str, TreeEntry] = {}
    for copy in copies:
        source = Path(os.path.join(base, copy.source.lstrip("/")))
        if not source.exists() and not source.is_symlink():
            raise Error(
                "the source of CopyFiles= does not exist",
                where=str(source),
            )
        _lead_to(found, copy.target)
        for entry in _walk(source, copy.source, copy.target, left_out):
            before = found.get(entry.path)
            if before is not None and before.is_directory and not entry.is_directory:
                if any(path.startswith(entry.path.rstrip("/") + "/") for path in found):
                    raise Error(
                        "the source would replace a directory by a file", where=str(entry.source), found=entry.path
                    )
            elif before is not None and not before.is_directory and entry.is_directory:
                raise Error("the source would replace a file by a directory", where=str(entry.source), found=entry.path)
            found[entry.path] = entry
    for path in directories:
        _lead_to(found, path)
        if not found.setdefault(path, TreeEntry(path, None, None)).is_directory:
            raise Error("the path is a file, and MakeDirectories= asks for a directory", where=path)
    found.setdefault("/", TreeEntry("/", None, None))
    root = found["/"]
    if not root.is_directory:
        raise Error("a file cannot be the root of a file system", where=str(root.source))
    entries = tuple(found[path] for path in sorted(found, key=lambda path: path.split("/")))
    whole = None
    if len(copies) == 1 and copies[0].target == "/" and not left_out and all(each.source for each in entries):
        whole = root.source
    return FileTree(entries, whole)


def _lead_to(found: dict[str, TreeEntry], path: str) -> None:
    """Make the directories on the way, where they are not there yet."""
    parts = path.strip("/").split("/")[:-1]
    for depth in range(len(parts) + 1):
        parent = "/" + "/".join(parts[:depth])
        if parent != path and not found.setdefault(parent, TreeEntry(parent, None, None)).is_directory:
            raise Error("the path is a file, and a directory is needed there", where=parent)


def _walk(source: Path, name: str, target: str, left_out: frozenset[str]) -> Iterator[TreeEntry]:
    """The source and what is below it; `name` is what it is called where things are left out by name."""
    todo = [(source, name.rstrip("/"), target.rstrip("/"))]
    while todo:
        here, called, path = todo.pop()
        if (called or "/") in left_out:
            continue
        # The root of a file system is a directory, also where the source is a link to one.
        status = here.lstat() if path else here.stat()
        yield TreeEntry(path or "/", here, status)
        if stat.S_ISDIR(status.st_mode) and f"{called}/" not in left_out:
            with os.scandir(here) as scan:
                todo += [(here / child.name, f"{called}/{child.name}", f"{path}/{child.name}") for child in scan]
