"""The files of whatever file system a device holds: probe, then the reader of its format.

What is there is found out by `formats.superblocks`, and RedoxFS by its ring. Two file systems at once, as when a new
one was made over an old one, are an ambiguity that is reported and never resolved here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from bootpath.core.device import Device
from bootpath.core.errors import FormatError
from bootpath.formats.superblocks.registry import scan_superblocks
from bootpath.fs.readers.erofs.erofs import open_erofs
from bootpath.fs.readers.ext.ext4 import open_ext4
from bootpath.fs.readers.fat.fat import open_fat
from bootpath.fs.readers.files import Files
from bootpath.fs.readers.iso9660.tree import open_iso9660
from bootpath.fs.readers.redoxfiles import RedoxFiles
from bootpath.fs.readers.squashfs.squashfs import open_squashfs
from bootpath.fs.readers.ubifs.ubifs import open_ubifs
from bootpath.fs.redox.redoxfs import RedoxFS
from bootpath.fs.redox.ring import probe_redoxfs

Opener: TypeAlias = Callable[[Device], Files]
"""Raises FormatError, FileSystemError (EOPNOTSUPP), DeviceError."""


def open_redoxfs_files(device: Device) -> RedoxFiles:
    """The files of the RedoxFS at the beginning of `device`; one with a password is for `RedoxFS.open`."""
    return RedoxFiles(RedoxFS.open(device))


READERS: Mapping[str, Opener] = {
    "vfat": open_fat,
    "ext2": open_ext4,
    "ext3": open_ext4,
    "ext4": open_ext4,
    "erofs": open_erofs,
    "squashfs": open_squashfs,
    "iso9660": open_iso9660,
    "ubifs": open_ubifs,
    "redoxfs": open_redoxfs_files,
}
"""A reader for each kind, by blkid's name."""


def open_files(device: Device, kind: str | None = None) -> Files:
    """The files on a device, whose block and alignment rules are respected; it stays the caller's.

    `kind` (a key of `READERS`) is opened without looking for others. Otherwise raises FormatError when there is no file
    system, one that is not read here, more than one, or a damaged one; then whatever its reader raises. ValueError for
    a kind that does not exist.
    """
    if kind is None:
        kind = find_kind(device)
    if kind not in READERS:
        raise ValueError(f"no reader of {kind!r}, only of {', '.join(READERS)}")
    return READERS[kind](device)


def find_kind(device: Device) -> str:
    """The key of `READERS` for what is on a device. Raises FormatError as `open_files` does, DeviceError."""
    where = device.identity.name
    result = scan_superblocks(device)
    kinds = [superblock.kind for superblock in result.found]
    if probe_redoxfs(device) is not None:
        kinds.append("redoxfs")
    readable = [kind for kind in kinds if kind in READERS]
    if len(kinds) + len(result.faults) > 1:
        named = [*kinds, *(f"damaged {fault.where}" for fault in result.faults)]
        raise FormatError(
            f"several file systems are on this device: {', '.join(named)}",
            where=where,
            hint="name one of them, or remove the stale one (wipefs)",
        )
    if result.faults:
        raise result.faults[0].at(where)
    if not readable:
        raise FormatError(
            "the device has no file system that can be read", where=where, found=", ".join(kinds) or "nothing known"
        )
    return readable[0]
