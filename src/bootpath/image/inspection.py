"""What is on a live disk, as a value: partitions, file system, boot files, where metadata lies, what would boot.

`inspect_disk` reads only what it reports: the partition table, the header ring, the allocator log, two directories and
the first bytes of kernel and initfs.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass

from bootpath.core import Device, Extent, ExtentSet, FileSystemError, FormatError
from bootpath.fs import RING_BYTES, Header, Piece, RedoxFS
from bootpath.image.discovery import Discovery, Place, choose_place, find_redoxfs, place_device
from bootpath.image.layout import INITFS_MAGIC, INITFS_PATH, KERNEL_MAGIC, KERNEL_PATH


@dataclass(frozen=True, slots=True)
class BootFile:
    """A file the loader needs; `magic` is what its first bytes are, `expected` what they must be."""

    path: str
    size_bytes: int
    magic: bytes
    expected: bytes

    @property
    def sound(self) -> bool:
        """True when the magic is right."""
        return self.magic == self.expected


@dataclass(frozen=True, slots=True)
class FileSystemInfo:
    """An opened RedoxFS. Pieces and extents are bytes relative to its start."""

    header: Header
    used_bytes: int
    free_bytes: int
    used: ExtentSet
    metadata: tuple[Piece, ...]
    boot_files: tuple[BootFile, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Inspection:
    """A disk, what was found on it, and the verdict: `problems` is empty when it would boot."""

    name: str
    size_bytes: int
    discovery: Discovery
    place: Place | None
    file_system: FileSystemInfo | None
    locked: bool
    warnings: tuple[str, ...]
    problems: tuple[str, ...]

    @property
    def boots(self) -> bool:
        """True when a loader would find, open and load everything it needs."""
        return not self.problems


def _boot_file(fs: RedoxFS, path: str, expected: bytes) -> BootFile | None:
    try:
        node = fs.lookup(path)
    except FileSystemError as fault:
        if fault.errno in (errno.ENOENT, errno.ENOTDIR):
            return None
        raise
    return BootFile(path, node.size_bytes, fs.read(path, 0, len(expected)), expected)


def describe_file_system(fs: RedoxFS) -> FileSystemInfo:
    """Read what an opened file system says of itself. Raises FormatError, FileSystemError, DeviceError."""
    free = fs.free_extents()
    used = ExtentSet(free.gaps(Extent(0, fs.header.size_bytes)))
    boot_files = []
    missing = []
    for path, magic in ((KERNEL_PATH, KERNEL_MAGIC), (INITFS_PATH, INITFS_MAGIC)):
        found = _boot_file(fs, path, magic)
        if found is None:
            missing.append(path)
        else:
            boot_files.append(found)
    return FileSystemInfo(
        header=fs.header,
        used_bytes=fs.used_bytes,
        free_bytes=fs.free_bytes,
        used=used,
        metadata=(Piece("ring", Extent(0, RING_BYTES)), *fs.log_extents(), *fs.node_extents("/")),
        boot_files=tuple(boot_files),
        missing=tuple(missing),
    )


def inspect_disk(disk: Device, *, password: bytes | None = None) -> Inspection:
    """Look at a whole disk or a bare file system. Raises DeviceError; damage is a finding, not an error.

    A wrong password raises FileSystemError; a missing one leaves the inspection `locked`.
    """
    discovery = find_redoxfs(disk)
    warnings = list(discovery.gpt.warnings) if discovery.gpt is not None else []
    problems: list[str] = []
    place: Place | None = None
    info: FileSystemInfo | None = None
    locked = False
    try:
        place = choose_place(discovery, where=disk.identity.name)
        newest = place.ring.newest
        assert newest is not None
        if newest.encrypted and password is None:
            locked = True
        else:
            with RedoxFS.open(place_device(disk, discovery, place), password=password) as fs:
                info = describe_file_system(fs)
    except FormatError as fault:
        problems.append(str(fault))
    if discovery.gpt_fault is not None:
        warnings.append(str(discovery.gpt_fault))
    for other in discovery.places:
        if other is not place and other.fault is not None and str(other.fault) not in problems:
            warnings.append(str(other.fault))
    if place is not None and place.ring.stale:
        stale = ", ".join(str(header.slot) for header in place.ring.stale)
        warnings.append(f"{place.found_by}: stale headers of another file system in ring slots {stale}")
    if info is not None:
        problems += [f"{path}: missing, a loader needs it" for path in info.missing]
        problems += [
            f"{file.path}: magic {file.magic.hex()}, expected {file.expected.hex()}"
            for file in info.boot_files
            if not file.sound
        ]
    return Inspection(
        name=disk.identity.name,
        size_bytes=disk.size_bytes,
        discovery=discovery,
        place=place,
        file_system=info,
        locked=locked,
        warnings=tuple(warnings),
        problems=tuple(problems),
    )
