"""The short form: an image described by a few options instead of files, as the same definitions.

Source: `formats.repart`; UEFI 2.10 §3.5.1.1 (what firmware starts from an EFI partition); UAPI.1 (EFI/Linux holds
unified kernel images). The definitions, in this order, those that are asked for: ESP, XBOOTLDR, root with its hash tree
and signature. Written down with `pack_repart` they give the same image again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bootpath.block.leaves.file import FileDevice
from bootpath.block.leaves.wholefile import open_plain
from bootpath.core.errors import Error, FormatError
from bootpath.formats.entries.pe import read_pe
from bootpath.formats.entries.uki import read_uki
from bootpath.formats.partitions.dps import Architecture, Designator, type_guid
from bootpath.formats.partitions.gpt import probe_gpt
from bootpath.formats.repart.definition import (
    CopyFiles,
    FileSystemFormat,
    Minimize,
    RepartDefinition,
    VerityRole,
    check_label,
)
from bootpath.formats.superblocks.registry import scan_superblocks

DEFAULT_ESP_BYTES = 64 << 20
LOADER_NAMES: Mapping[Architecture, str] = {
    Architecture.X86_64: "BOOTX64.EFI",
    Architecture.X86: "BOOTIA32.EFI",
    Architecture.ARM64: "BOOTAA64.EFI",
    Architecture.ARM: "BOOTARM.EFI",
    Architecture.RISCV32: "BOOTRISCV32.EFI",
    Architecture.RISCV64: "BOOTRISCV64.EFI",
    Architecture.LOONGARCH64: "BOOTLOONGARCH64.EFI",
    Architecture.IA64: "BOOTIA64.EFI",
}
"""What firmware starts when nothing else is said."""

_READ_ONLY = (FileSystemFormat.EROFS, FileSystemFormat.SQUASHFS)
_MATCH_KEY = "root"


@dataclass(frozen=True, slots=True)
class ShortForm:
    """What to put where; `root` is a directory, or a file with a file system. `name` is the root's label."""

    root: Path | None = None
    format: FileSystemFormat = FileSystemFormat.EROFS
    compression: str | None = None
    verity: bool = False
    signed: bool = False
    root_bytes: int | None = None
    name: str | None = None
    esp: Path | None = None
    esp_bytes: int | None = None
    loader: Path | None = None
    ukis: tuple[Path, ...] = ()
    xbootldr: Path | None = None

    def definitions(self, architecture: Architecture) -> tuple[RepartDefinition, ...]:
        """One definition for each partition. Raises Error when something asks for what it cannot have."""
        found: list[RepartDefinition] = []
        if self.esp is not None or self.loader is not None or self.ukis or self.esp_bytes is not None:
            found.append(self._esp(architecture))
        if self.xbootldr is not None:
            found.append(
                RepartDefinition(
                    "10-xbootldr.conf",
                    type_guid(Designator.XBOOTLDR),
                    format=FileSystemFormat.VFAT,
                    copy_files=(_whole(self.xbootldr),),
                    size_min_bytes=DEFAULT_ESP_BYTES,
                )
            )
        if self.root is not None:
            found += self._root(architecture)
        elif self.verity or self.signed:
            raise Error("there is no root to protect", where="image", hint="give the root's directory or image")
        return tuple(found)

    def warnings(self) -> tuple[str, ...]:
        """What is put where it is of no use, as far as a look at it tells. Raises OSError, DeviceError."""
        found = []
        for path, uki in (
            *((path, True) for path in self.ukis),
            *([] if self.loader is None else [(self.loader, False)]),
        ):
            fault = _pe_fault(path, uki=uki) if path.is_file() else None
            if fault is not None:
                found.append(f"{path} is no {'unified kernel image' if uki else 'program for firmware'}: {fault}")
        if self.root is not None and self.root.is_file() and self.root.stat().st_size:
            fault = _file_system_fault(self.root)
            if fault is not None:
                found.append(f"{self.root} is no image of a file system: {fault}")
        return tuple(found)

    def _esp(self, architecture: Architecture) -> RepartDefinition:
        copies = [] if self.esp is None else [_whole(self.esp)]
        if self.loader is not None:
            if architecture not in LOADER_NAMES:
                raise Error("firmware of this architecture starts no loader by name", where=architecture.value)
            copies.append(CopyFiles(_absolute(self.loader), f"/EFI/BOOT/{LOADER_NAMES[architecture]}"))
        copies += [CopyFiles(_absolute(uki), f"/EFI/Linux/{uki.name}") for uki in self.ukis]
        return RepartDefinition(
            "00-esp.conf",
            type_guid(Designator.ESP),
            format=FileSystemFormat.VFAT,
            copy_files=tuple(copies),
            size_min_bytes=DEFAULT_ESP_BYTES if self.esp_bytes is None else self.esp_bytes,
            size_max_bytes=self.esp_bytes,
        )

    def _root(self, architecture: Architecture) -> list[RepartDefinition]:
        root = self.root
        assert root is not None
        protected = self.verity or self.signed
        role, key = (VerityRole.DATA, _MATCH_KEY) if protected else (VerityRole.OFF, None)
        made = root.is_dir()
        if not made and not root.exists():
            raise Error("the source does not exist", where=str(root), hint="give a directory, or a file system's image")
        shrinks = self.root_bytes is None and (protected or self.format in _READ_ONLY)
        data = RepartDefinition(
            "20-root.conf",
            type_guid(Designator.ROOT, architecture),
            label=self._label(""),
            format=self.format if made else None,
            copy_files=(_whole(root),) if made else (),
            copy_blocks=None if made else _absolute(root),
            compression=self.compression if made else None,
            minimize=Minimize.BEST if shrinks else Minimize.OFF,
            size_min_bytes=self.root_bytes,
            verity=role,
            verity_match_key=key,
        )
        found = [data]
        if protected:
            found.append(
                RepartDefinition(
                    "21-root-verity.conf",
                    type_guid(Designator.ROOT_VERITY, architecture),
                    label=self._label("_verity"),
                    minimize=Minimize.BEST,
                    verity=VerityRole.HASH,
                    verity_match_key=key,
                    # A slot that is larger than what is in it keeps room for the hashes of all of it.
                    size_min_bytes=None if self.root_bytes is None else _hash_bytes(self.root_bytes),
                )
            )
        if self.signed:
            found.append(
                RepartDefinition(
                    "22-root-verity-sig.conf",
                    type_guid(Designator.ROOT_VERITY_SIG, architecture),
                    label=self._label("_verity_sig"),
                    verity=VerityRole.SIGNATURE,
                    verity_match_key=key,
                )
            )
        return found

    def _label(self, suffix: str) -> str | None:
        return None if self.name is None else check_label(self.name + suffix, where="the label of the root")


def _pe_fault(path: Path, *, uki: bool) -> str | None:
    """Why a file is no program for firmware, or no unified kernel image. Raises OSError."""
    with open_plain(path) as file:
        size, read = file.seek(0, os.SEEK_END), partial(_pread, file.fileno())
        try:
            if uki:
                read_uki(read, size)
            else:
                read_pe(read, size)
        except FormatError as fault:
            return str(fault)
    return None


def _pread(descriptor: int, offset: int, length: int) -> bytes:
    return os.pread(descriptor, length, offset)


def _file_system_fault(path: Path) -> str | None:
    """Why a file is no image of a file system. Raises DeviceError."""
    with closing(FileDevice.open(path)) as device:
        if probe_gpt(device):
            return "it begins with a partition table"
        return None if scan_superblocks(device).found else "none that is known here begins it"


def _hash_bytes(data_bytes: int) -> int:
    """The tree of that much data, by 4096 and SHA-256, with its superblock: every level is a 128th, rounded up."""
    blocks, total = -(-data_bytes // 4096), 1
    while blocks > 1:
        blocks = -(-blocks // 128)
        total += blocks
    return total * 4096


def _whole(directory: Path) -> CopyFiles:
    if not directory.is_dir():
        raise Error("the source is no directory", where=str(directory))
    return CopyFiles(_absolute(directory), "/")


def _absolute(path: Path) -> str:
    return os.path.realpath(path)
