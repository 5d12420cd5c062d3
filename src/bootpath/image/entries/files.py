"""The files a boot entry names: found without leaving their file system, and read in pieces.

Source: UAPI.1: "Inode types other than directories and regular files are not allowed as any part of the paths defined
by this specification", so on a boot partition no symbolic link is followed. In a root file system they are, where they
stay inside: an absolute one begins at the root of its file system, which will be the root of the system. One with too
many ".." is refused.

A `FilePart` is a whole file or a section of one, so that kernel and initrds of files and of a UKI look the same.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass

from bootpath.core.errors import DeviceError, Error, FileSystemError, FormatError
from bootpath.core.limits import check_limit, limits
from bootpath.core.reasons import Explanation
from bootpath.formats.entries.pe import PeSection, ReadAt
from bootpath.fs.readers.files import MAX_LINKS_FOLLOWED, DirectoryEntry, FileKind, Files
from bootpath.image.entries.costs import EntryCosts
from bootpath.image.entries.reasons import FileReason

PIECE_BYTES = 4 << 20
_MISSING = (errno.ENOENT, errno.ENOTDIR)


@dataclass(frozen=True, slots=True)
class FilePart:
    """A run of a file: `size_bytes` from byte `offset`, or None and `fault`, which says why it cannot be read.

    `section` is the name of the UKI's section that it is, "" for a whole file. `doubts` are what is wrong with how the
    file is stored.
    """

    path: str
    offset: int = 0
    size_bytes: int | None = None
    section: str = ""
    fault: Explanation[FileReason] | None = None
    doubts: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.path} {self.section}".rstrip()


def real_path(files: Files, path: str, *, follow: bool, costs: EntryCosts | None = None) -> str:
    """The path with its links resolved; `follow` allows those that stay in the file system.

    Raises FileSystemError (ENOENT, ENOTDIR, ELOOP), FormatError when it leaves its place, DeviceError.
    """
    pending = _names(path)
    names: list[str] = []
    links = 0
    while pending:
        if costs is not None:
            costs.steps(len(names) + 1)  # each name is looked up from the root again
        name = pending.pop()
        if name == "..":
            if not names:
                raise _refusal(path, "a symbolic link leads out of its file system")
            names.pop()
            continue
        current = "/" + "/".join((*names, name))
        if files.lookup(current, follow=False).kind is not FileKind.SYMLINK:
            names.append(name)
            continue
        links += 1
        if not follow:
            raise _refusal(path, f"{current} is a symbolic link, which is not allowed on a boot partition")
        if links > MAX_LINKS_FOLLOWED:
            raise FileSystemError("the path has too many symbolic links", errno=errno.ELOOP, where=path)
        target = files.readlink(current)
        if "\\" in target or not target:
            raise _refusal(path, f"{current} is a symbolic link to {target!r}, which is no path")
        if target.startswith("/"):
            names.clear()
        pending += _names(target)
    return "/" + "/".join(names)


def whole_file(files: Files, path: str, *, follow: bool, costs: EntryCosts | None = None) -> FilePart:
    """The whole file at `path`; one that is not there, or cannot be reached, with its fault."""
    try:
        real = real_path(files, path, follow=follow, costs=costs)
        node = files.lookup(real)
        doubts = files.doubts(real) if node.kind is FileKind.FILE else ()
    except FileSystemError as error:
        return FilePart(path, fault=FileReason.MISSING() if error.errno in _MISSING else FileReason.UNREADABLE(error))
    except Error as error:
        return FilePart(path, fault=FileReason.UNREADABLE(error))
    if node.kind is not FileKind.FILE:
        return FilePart(path, fault=FileReason.NOT_A_FILE(node.kind.value))
    return FilePart(real, size_bytes=node.size_bytes, doubts=tuple(doubts))


def section_part(path: str, section: PeSection) -> FilePart:
    """A section of the PE file at `path`."""
    return FilePart(path, section.offset, section.size_bytes, section.name)


def read_part(files: Files, piece: FilePart) -> bytes:
    """All of a part. Raises as `read_pieces`."""
    return b"".join(read_pieces(files, piece))


def read_pieces(files: Files, piece: FilePart) -> Iterator[bytes]:
    """The bytes of a part, some MiB at a time. Raises FileSystemError for its fault, FormatError, DeviceError."""
    if piece.size_bytes is None:
        raise FileSystemError(f"the file {piece.fault}", errno=errno.ENOENT, where=piece.path)
    end = piece.offset + piece.size_bytes
    for offset in range(piece.offset, end, PIECE_BYTES):
        length = min(PIECE_BYTES, end - offset)
        data = files.read(piece.path, offset, length)
        if len(data) != length:
            raise DeviceError(f"read of {length} bytes returned {len(data)}", where=str(piece))
        yield data


def reader_of(files: Files, path: str) -> ReadAt:
    """A file as parsers of formats take it."""
    return lambda offset, length: files.read(path, offset, length)


def list_files(
    files: Files, directory: str, suffix: str, *, follow: bool, costs: EntryCosts | None = None
) -> Iterator[DirectoryEntry]:
    """What in a directory ends in `suffix`, in any case, sorted by name; nothing where there is no such directory.

    As many as a disk may have boot entries, then LimitError. Raises also what reading the directory does.
    """
    try:
        real = real_path(files, directory, follow=follow, costs=costs)
        if files.lookup(real).kind is not FileKind.DIRECTORY:
            return
    except FileSystemError as error:
        if error.errno in _MISSING:
            return
        raise
    listed = files.list(real)
    if costs is not None:
        costs.names(len(listed))
    matching = [entry for entry in listed if entry.name.lower().endswith(suffix)]
    yield from matching[: limits().boot_entries]
    check_limit("boot_entries", len(matching), f"{directory} has too many names")


def _names(path: str) -> list[str]:
    """The names of a path, the first one last."""
    return [name for name in path.split("/") if name not in ("", ".")][::-1]


def _refusal(path: str, why: str) -> FormatError:
    return FormatError(why, where=path)
