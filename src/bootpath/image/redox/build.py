"""Build a live disk: partition table, EFI partition, RedoxFS with a directory tree in it.

The image is written under a temporary name beside the final one, synced, and renamed: a build that is killed leaves
nothing under the final name. Only blocks that hold something are written, so the file is sparse. With a given uuid and
``created_ns`` (and no password: its salt is random) the same tree gives the same bytes.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from bootpath.block.leaves.file import FileDevice
from bootpath.block.leaves.wholefile import open_plain, read_whole
from bootpath.block.targets.linear import Linear
from bootpath.core.device import checked
from bootpath.core.errors import Error
from bootpath.formats.partitions.gptwrite import pack_gpt
from bootpath.formats.repart.definition import CopyFiles
from bootpath.fs.redox.redoxfs import RedoxFS, measure
from bootpath.fs.redox.values import BLOCK_BYTES, HostTree
from bootpath.image.filesystems.fatwriter import write_fat
from bootpath.image.filesystems.filetree import collect_tree
from bootpath.image.output import atomic_output, scratch_directory
from bootpath.image.redox.layout import (
    INITFS_MAGIC,
    INITFS_PATH,
    KERNEL_MAGIC,
    KERNEL_PATH,
    MIB,
    REDOX_NAME,
    SECTOR,
    redox_layout,
)
from bootpath.image.sparsecopy import copy_sparse

Progress = Callable[[int, int, str], None]
"""Called with bytes done, bytes in all, and the path being archived."""

_COPY_BYTES = 1 << 20
EFI_LOADER_PATH = "EFI/BOOT/BOOTX64.EFI"


@dataclass(frozen=True, slots=True)
class LiveImage:
    """What to build. Sizes are bytes; `size_bytes` None means just large enough, with a quarter to spare.

    `clamp_mtime_ns` makes the tree's times reproducible (see `RedoxFS.archive`).
    """

    tree: Path
    uuid: UUID
    created_ns: int
    size_bytes: int | None = None
    efi_bytes: int = MIB
    kernel: Path | None = None
    initfs: Path | None = None
    efi_loader: Path | None = None
    bios_loader: Path | None = None
    password: bytes | None = None
    clamp_mtime_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Built:
    """What was built."""

    path: Path
    size_bytes: int
    file_system_offset_bytes: int
    file_system_bytes: int
    used_bytes: int
    allocated_bytes: int
    uuid: UUID
    files: int


def _default_size(tree: HostTree, extra_bytes: int, efi_bytes: int) -> int:
    """Room for the tree and a quarter more: every file and directory is a node block, data is in whole blocks."""
    entries = tree.files + tree.directories + tree.symlinks
    content = tree.data_bytes + extra_bytes + 2 * entries * BLOCK_BYTES
    file_system = content + content // 4 + 16 * MIB
    return -(-(file_system + MIB + efi_bytes + MIB) // MIB) * MIB


def _check_boot_file(path: Path | None, magic: bytes, what: str) -> None:
    if path is None:
        return
    with open_plain(path) as file:
        found = file.read(len(magic))
    if found != magic:
        raise Error(
            f"the file is not a {what}",
            where=str(path),
            expected=f"magic {magic.hex()}",
            found=found.hex() or "nothing",
        )


def _install(fs: RedoxFS, source: Path | None, path: str) -> None:
    """Put a host file at `path`, with the directories on the way, replacing what the tree had there."""
    if source is None:
        return
    parents = path.strip("/").split("/")[:-1]
    for depth in range(1, len(parents) + 1):
        directory = "/" + "/".join(parents[:depth])
        if not fs.exists(directory):
            fs.mkdir(directory, 0o755)
    if fs.exists(path):
        fs.unlink(path)
    fs.mkfile(path, 0o644)
    with open_plain(source) as file:
        offset = 0
        while chunk := file.read(_COPY_BYTES):
            fs.write(path, chunk, offset)
            offset += len(chunk)


def _share(progress: Progress | None, tree: HostTree) -> Callable[[int, int, str], None] | None:
    """The archive's progress, with the total beside it."""
    if progress is None:
        return None
    return lambda done, files, path: progress(done, tree.data_bytes, path)


def _bios_loader(image: LiveImage) -> bytes:
    bios = b"" if image.bios_loader is None else read_whole(image.bios_loader)
    if len(bios) > MIB:
        raise Error(
            "the BIOS loader does not fit before 1 MiB", where=str(image.bios_loader), found=f"{len(bios)} bytes"
        )
    return bios


def _write_esp(image: LiveImage, target: Path) -> None:
    """Write the EFI partition, with the loader in it, to its place in a new disk. Raises Error, OSError."""
    copies = []
    if image.efi_loader is not None:
        # A link is followed: FAT has none.
        copies.append(CopyFiles(os.path.realpath(image.efi_loader, strict=True), f"/{EFI_LOADER_PATH}"))
    tree = collect_tree(copies, base=Path("/"))
    with scratch_directory(Path(tempfile.gettempdir()), "bootpath-esp") as directory:
        volume = directory / "esp"
        try:
            write_fat(volume, image.efi_bytes, tree, serial=image.uuid.fields[0], epoch=0)
        except Error as fault:
            raise fault.at("EFI partition") from None
        with volume.open("rb") as source, target.open("r+b") as disk:
            copy_sparse(source.fileno(), disk.fileno(), MIB, volume.stat().st_size, where=str(volume))


def build_live(image: LiveImage, output: Path, *, progress: Progress | None = None) -> Built:
    """Build `image` at `output`. Raises Error, FileSystemError (ENOSPC names the file), DeviceError, OSError."""
    if not image.tree.is_dir():
        raise Error(
            "the tree is not a directory",
            where=str(image.tree),
            hint="give the directory whose content becomes the root",
        )
    _check_boot_file(image.kernel, KERNEL_MAGIC, "kernel (ELF)")
    _check_boot_file(image.initfs, INITFS_MAGIC, "Redox initfs")
    tree = measure(image.tree)
    extra_bytes = sum(extra.stat().st_size for extra in (image.kernel, image.initfs) if extra is not None)
    size_bytes = image.size_bytes or _default_size(tree, extra_bytes, image.efi_bytes)
    layout = redox_layout(size_bytes, image.uuid, efi_bytes=image.efi_bytes)
    root = next(partition for partition in layout.partitions if partition.name == REDOX_NAME)
    bios = _bios_loader(image)

    with atomic_output(output) as temporary:
        os.truncate(temporary, size_bytes)
        _write_esp(image, temporary)
        with closing(FileDevice.open(temporary, writable=True)) as disk:
            if bios:
                disk.write(0, bios.ljust(-(-len(bios) // SECTOR) * SECTOR, b"\0"))
            for offset, data in pack_gpt(layout, boot_code=bios[:440]):
                disk.write(offset, data)
            place = checked(Linear(disk, root.offset_bytes, root.size_bytes))
            with RedoxFS.create(
                place, password=image.password, uuid=image.uuid, created_ns=image.created_ns, pristine=True
            ) as fs:
                fs.archive(image.tree, progress=_share(progress, tree), clamp_mtime_ns=image.clamp_mtime_ns)
                _install(fs, image.kernel, KERNEL_PATH)
                _install(fs, image.initfs, INITFS_PATH)
                fs.cleanup()
                used_bytes, file_system_bytes = fs.used_bytes, fs.header.size_bytes
            disk.flush()
            allocated_bytes = os.stat(temporary).st_blocks * SECTOR
    return Built(
        path=output,
        size_bytes=size_bytes,
        file_system_offset_bytes=root.offset_bytes,
        file_system_bytes=file_system_bytes,
        used_bytes=used_bytes,
        allocated_bytes=allocated_bytes,
        uuid=image.uuid,
        files=tree.files,
    )
