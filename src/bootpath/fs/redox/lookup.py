"""From paths to nodes: what a `RedoxFS` knows of names and links, and the errors of its calls.

Paths are str, with "/" between names; they start at the root whether they begin with "/" or not, and ".." is removed by
its letters, before any link is followed. A symbolic link is followed inside the image, an absolute one from its root,
at most 40 of them (ELOOP).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from bootpath import _native
from bootpath.core.errors import FileSystemError, FormatError
from bootpath.fs.redox.faults import NATIVE_FAULTS, translate
from bootpath.fs.redox.values import BLOCK_BYTES

_P = ParamSpec("_P")
_T = TypeVar("_T")

ROOT_ID = 1
MAX_LINKS_FOLLOWED = 40


def _normal(parts: list[str]) -> list[str]:
    """Names without empty ones, "." and "..", which removes the name before it."""
    names: list[str] = []
    for part in parts:
        if part == "..":
            del names[-1:]
        elif part not in ("", "."):
            names.append(part)
    return names


class Lookup:
    """Finds the nodes of an open file system, whose errors are those of the device `name`."""

    def __init__(self, native: _native.FileSystem, name: str) -> None:
        self.native = native
        self._name = name

    def call(self, path: str, method: Callable[_P, _T], *args: _P.args, **keywords: _P.kwargs) -> _T:
        """Call a method of the native module for `path`. Raises its faults as our errors."""
        try:
            return method(*args, **keywords)
        except NATIVE_FAULTS as fault:
            raise translate(fault, self.where(path)) from fault

    def where(self, path: str) -> str:
        """The device and the path, for an error."""
        return f"{self._name}: {path}" if path else self._name

    def refuse(self, code: int, path: str, hint: str | None = None) -> FileSystemError:
        """The error of a call that is refused here."""
        return FileSystemError(os.strerror(code).lower(), errno=code, where=self.where(path), hint=hint)

    def resolve(self, path: str, *, follow: bool) -> tuple[list[str], _native.Stat]:
        """The names that lead to a node without links, and its fields."""
        names = self._names(path)
        links = 0
        while True:
            fields = self.call("/", self.native.stat, ROOT_ID)
            for index, name in enumerate(names):
                fields = self.call(path, self.native.find, fields[0], name)
                last = index == len(names) - 1
                if not stat.S_ISLNK(fields[1]) or (last and not follow):
                    continue
                links += 1
                if links > MAX_LINKS_FOLLOWED:
                    raise self.refuse(errno.ELOOP, path)
                target = self.target_of(path, fields).split("/")
                before = [] if target[0] == "" else names[:index]
                names = _normal([*before, *target, *names[index + 1 :]])
                break
            else:
                return names, fields

    def _names(self, path: str) -> list[str]:
        try:
            path.encode()
        except UnicodeEncodeError:
            raise self.refuse(errno.EILSEQ, ascii(path)) from None
        return _normal(path.split("/"))

    def parent_of(self, path: str) -> tuple[list[str], int, str]:
        """The directory a path is in, as names and id, and the last name."""
        names = self._names(path)
        if not names:
            raise self.refuse(errno.EBUSY, path, hint="this is the root directory")
        directory, fields = self.resolve("/".join(names[:-1]), follow=True)
        if not stat.S_ISDIR(fields[1]):
            raise self.refuse(errno.ENOTDIR, path)
        return directory, fields[0], names[-1]

    def id_of(self, path: str, *, follow: bool = True) -> int:
        """The id of the node at `path`."""
        return self.resolve(path, follow=follow)[1][0]

    def target_of(self, path: str, fields: _native.Stat) -> str:
        """Where a link leads. Linux has no targets longer than 4095 bytes."""
        if fields[5] > BLOCK_BYTES:
            raise FormatError(
                "the target of the symbolic link is too long",
                where=self.where(path),
                expected=f"at most {BLOCK_BYTES} bytes",
                found=fields[5],
            )
        return self.call(path, self.native.read, fields[0], 0, fields[5]).decode(errors="surrogateescape")
