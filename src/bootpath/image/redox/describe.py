"""What an opened RedoxFS says of itself: its header, what is used, its metadata, and the files that a loader needs."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from bootpath.core.errors import FileSystemError
from bootpath.core.extents import Extent, ExtentSet
from bootpath.fs.redox.redoxfs import RedoxFS
from bootpath.fs.redox.values import RING_BYTES, LabelledExtent, RedoxHeader
from bootpath.image.redox.bootfiles import LINUX, BootFile, find_boot_files


@dataclass(frozen=True, slots=True)
class FileMagic:
    """A file the loader needs; `magic` are the bytes that tell what it is, and `file` says which they must be."""

    file: BootFile
    size_bytes: int
    magic: bytes

    @property
    def path(self) -> str:
        """Where it is."""
        return self.file.path

    @property
    def sound(self) -> bool:
        """True when the magic is right."""
        return self.magic.startswith(self.file.magics)


@dataclass(frozen=True, slots=True)
class FileSystemInfo:
    """An opened RedoxFS. Pieces and extents are bytes relative to its start; `linux` when its kernel is a Linux."""

    header: RedoxHeader
    used_bytes: int
    free_bytes: int
    used: ExtentSet
    metadata: tuple[LabelledExtent, ...]
    linux: bool
    boot_files: tuple[FileMagic, ...]
    missing: tuple[str, ...]


def describe_file_system(fs: RedoxFS) -> FileSystemInfo:
    """Read what an opened file system says of itself. Raises FormatError, FileSystemError, DeviceError."""
    free = fs.free_extents()
    expected = find_boot_files(fs)
    found = [(file, _read_magic(fs, file)) for file in expected]
    return FileSystemInfo(
        header=fs.header,
        used_bytes=fs.used_bytes,
        free_bytes=fs.free_bytes,
        used=ExtentSet(free.gaps(Extent(0, fs.header.size_bytes))),
        metadata=(LabelledExtent("ring", Extent(0, RING_BYTES)), *fs.log_extents(), *fs.node_extents("/")),
        linux=expected is LINUX,
        boot_files=tuple(magic for _, magic in found if magic is not None),
        missing=tuple(file.path for file, magic in found if magic is None),
    )


def _read_magic(fs: RedoxFS, file: BootFile) -> FileMagic | None:
    try:
        node = fs.lookup(file.path)
    except FileSystemError as fault:
        if fault.errno in (errno.ENOENT, errno.ENOTDIR):
            return None
        raise
    return FileMagic(file, node.size_bytes, fs.read(file.path, file.magic_offset, file.magic_bytes))
