"""New file systems from file trees: erofs, squashfs and ext4 by their own programs, FAT by `fatwriter`.

Every one is made so that the same tree, UUID and epoch give the same bytes: times are fixed where an epoch is given,
UUIDs and hash seeds are given, and what a program takes from the clock is taken from the epoch. mke2fs copies the
inodes' times from the host, change times too, which nobody can set there; so they are set in the image, with debugfs.

A tree that stands on the host as it is wanted is read from there; any other is laid down in a scratch directory first.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from bootpath.core.errors import Error
from bootpath.formats.repart.definition import FileSystemFormat
from bootpath.formats.repart.values import GRAIN_BYTES
from bootpath.image.filesystems.fatwriter import fat_size, write_fat
from bootpath.image.filesystems.filetree import FileTree
from bootpath.image.filesystems.programs import HostPrograms
from bootpath.image.filesystems.treecopy import copy_tree

DEFAULT_MIN_BYTES = 10 << 20
"""repart.d(5): "By default a minimum size constraint of 10M"."""
COMPRESSIONS: Mapping[FileSystemFormat, tuple[str, ...]] = {
    FileSystemFormat.EROFS: ("lz4", "lz4hc", "lzma", "deflate", "zstd"),
    FileSystemFormat.SQUASHFS: ("gzip", "lzo", "xz", "lz4", "zstd"),
}
_EXT4_BLOCK = 4096
_EXT4_INODE_RATIO = 16384
_EXT4_ATTEMPTS = 4
_ROOT_INODE, _FIRST_INODE = 2, 11
_FREE_INODES = re.compile(r"^\s+Free inodes:(.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class FileSystemRequest:
    """What to make. Sizes are bytes; `minimum_bytes` None is the least that will do; `epoch` seconds or None.

    `sealed` says that it will never be written to, as under dm-verity: it needs no journal.
    """

    format: FileSystemFormat
    tree: FileTree
    uuid: UUID
    label: str
    minimum_bytes: int | None
    epoch: int | None = None
    all_root: bool = False
    sealed: bool = False
    compression: str | None = None
    compression_level: int | None = None


def make_file_system(request: FileSystemRequest, path: Path, *, scratch: Path, programs: HostPrograms) -> None:
    """Make it in the file `path`, whose size is then the file system's, a multiple of 4096.

    `scratch` is a directory for what is needed meanwhile. Raises Error when a program is missing or fails or the format
    cannot hold the tree, OSError.
    """
    known = COMPRESSIONS.get(request.format, ())
    if request.compression is not None and request.compression not in known:
        raise Error(
            "the value of Compression= is not supported",
            where=request.format.value,
            found=request.compression,
            expected=f"one of {', '.join(known)}" if known else "not given",
        )
    if request.format is FileSystemFormat.VFAT:
        _make_vfat(request, path)
    elif request.format is FileSystemFormat.SWAP:
        with path.open("wb") as file:
            file.truncate(request.minimum_bytes or DEFAULT_MIN_BYTES)
        programs.call(["mkswap", "-q", "-U", str(request.uuid), "-L", request.label[:15], str(path)])
    else:
        tree = request.tree.whole
        staged = scratch / "tree"
        if tree is None:
            copy_tree(request.tree, staged, all_root=request.all_root)
            tree = staged
        try:
            _MAKERS[request.format](request, tree, path, programs)
        finally:
            if staged.exists():
                shutil.rmtree(staged)
    size = path.stat().st_size
    if size % GRAIN_BYTES:
        with path.open("r+b") as file:
            file.truncate(-(-size // GRAIN_BYTES) * GRAIN_BYTES)


def _make_erofs(request: FileSystemRequest, tree: Path, path: Path, programs: HostPrograms) -> None:
    command = ["mkfs.erofs", f"-U{request.uuid}"]
    if request.epoch is not None:
        command.append(f"-T{request.epoch}")
    if request.all_root:
        command.append("--all-root")
    if request.compression is not None:
        level = "" if request.compression_level is None else f",{request.compression_level}"
        command.append(f"-z{request.compression}{level}")
    programs.call([*command, str(path), str(tree)])


def _make_squashfs(request: FileSystemRequest, tree: Path, path: Path, programs: HostPrograms) -> None:
    command = ["mksquashfs", str(tree), str(path), "-noappend", "-no-progress", "-quiet"]
    if request.epoch is not None:
        command += ["-mkfs-time", str(request.epoch), "-all-time", str(request.epoch)]
    if request.all_root:
        command.append("-all-root")
    if request.compression is not None:
        command += ["-comp", request.compression]
    if request.compression_level is not None:
        command += ["-Xcompression-level", str(request.compression_level)]
    programs.call(command)


def _make_ext4(request: FileSystemRequest, tree: Path, path: Path, programs: HostPrograms) -> None:
    clock = {} if request.epoch is None else {"E2FSPROGS_FAKE_TIME": str(max(request.epoch, 1))}
    entries = len(request.tree.entries)
    size = max(request.minimum_bytes or 0, _ext4_estimate(request.tree))
    for attempt in range(_EXT4_ATTEMPTS):
        with path.open("wb") as file:
            file.truncate(size)
        inodes = max(size // _EXT4_INODE_RATIO, entries + entries // 8 + 2 * _FIRST_INODE)
        options = f"hash_seed={request.uuid},lazy_itable_init=0,lazy_journal_init=0,nodiscard"
        command = ["mke2fs", "-q", "-F", "-t", "ext4", "-b", str(_EXT4_BLOCK), "-I", "256", "-m", "0"]
        if request.sealed:
            command += ["-O", "^has_journal"]
        command += ["-N", str(inodes), "-U", str(request.uuid), "-L", request.label[:16], "-E", options]
        finished = programs.attempt([*command, "-d", str(tree), str(path)], **clock)
        if not finished.exit_code:
            break
        if "allocate block" not in finished.output or attempt == _EXT4_ATTEMPTS - 1:
            lines = finished.output.strip().splitlines()
            raise Error(f"failed: {lines[-1] if lines else 'silent'}", where="mke2fs")
        size = -(-(size + size // 2) // GRAIN_BYTES) * GRAIN_BYTES
    _settle_ext4(request, path, programs, clock)
    if request.minimum_bytes is None:
        programs.call(["resize2fs", "-M", str(path)], **clock)


def _ext4_estimate(tree: FileTree) -> int:
    """Blocks of files and directories, inodes, and something for tables, journal and the rest."""
    blocks = sum(-(-entry.size_bytes // _EXT4_BLOCK) + 1 for entry in tree.entries)
    content = blocks * _EXT4_BLOCK + len(tree.entries) * 512
    return -(-(content + content // 10 + (8 << 20)) // GRAIN_BYTES) * GRAIN_BYTES


def _settle_ext4(request: FileSystemRequest, path: Path, programs: HostPrograms, clock: Mapping[str, str]) -> None:
    """Set what mke2fs takes from the host or does not take at all: times, owners, the root directory."""
    listing = programs.call(["dumpe2fs", str(path)], **clock)
    fields: dict[str, object] = {}
    if request.epoch is not None:
        fields |= dict.fromkeys(("atime", "ctime", "mtime", "crtime"), f"@{request.epoch}")
        fields |= dict.fromkeys(("atime_extra", "ctime_extra", "mtime_extra", "crtime_extra"), 0)
    if request.all_root:
        fields |= {"uid": 0, "gid": 0}
    root = request.tree.entries[0].status
    lines = [f"set_inode_field <{_ROOT_INODE}> mode 0{0o40755 if root is None else root.st_mode:o}"]
    if root is not None and not request.all_root:
        lines += [f"set_inode_field <{_ROOT_INODE}> {name} {value}" for name, value in _owner(root.st_uid, root.st_gid)]
    if fields:
        for inode in (_ROOT_INODE, *_used_inodes(listing)):
            lines += [f"set_inode_field <{inode}> {name} {value}" for name, value in fields.items()]
    script = path.with_suffix(".debugfs")
    script.write_text("\n".join(lines) + "\n")
    said = programs.call(["debugfs", "-w", "-f", str(script), str(path)], **clock)
    script.unlink()
    wrong = [line for line in said.splitlines() if not line.startswith(("debugfs", "set_inode_field"))]
    if wrong:
        raise Error(f"failed: {wrong[0]}", where="debugfs")


def _owner(uid: int, gid: int) -> tuple[tuple[str, int], ...]:
    return ("uid", uid), ("gid", gid)


def _used_inodes(listing: str) -> list[int]:
    """The inodes of files, from what dumpe2fs says of every group's free ones ("Free inodes: 28-1280, 1290")."""
    match = re.search(r"^Inode count:\s+(\d+)$", listing, re.MULTILINE)
    if match is None:
        raise Error("dumpe2fs does not print the number of inodes", where="dumpe2fs")
    free: set[int] = set()
    for ranges in _FREE_INODES.findall(listing):
        for part in ranges.split(","):
            first, _, last = part.strip().partition("-")
            if first:
                free.update(range(int(first), int(last or first) + 1))
    return [inode for inode in range(_FIRST_INODE, int(match[1]) + 1) if inode not in free]


def _make_vfat(request: FileSystemRequest, path: Path) -> None:
    size = fat_size(request.tree)
    if request.minimum_bytes is not None:
        size = max(request.minimum_bytes, fat_size(request.tree, spare=0.125))
    serial = int.from_bytes(request.uuid.bytes[:4])
    write_fat(path, size, request.tree, serial=serial, label=request.label, epoch=request.epoch)


_MAKERS: Mapping[FileSystemFormat, Callable[[FileSystemRequest, Path, Path, HostPrograms], None]] = {
    FileSystemFormat.EROFS: _make_erofs,
    FileSystemFormat.SQUASHFS: _make_squashfs,
    FileSystemFormat.EXT4: _make_ext4,
}
