"""What the partitions of an image hold, as files in a scratch directory: file systems, hash trees, signatures.

A further slot has the same file system as the first; its hash tree has a salt of its own.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from bootpath.core.errors import Error
from bootpath.formats.repart.definition import Minimize, RepartDefinition, VerityRole
from bootpath.formats.repart.values import GRAIN_BYTES
from bootpath.image.ddi.draft import DdiImage, Draft, VerityGroup
from bootpath.image.ddi.identity import file_system_uuid
from bootpath.image.ddi.protect import SIGNATURE_BYTES, write_hashes, write_signature
from bootpath.image.filesystems.filetree import collect_tree
from bootpath.image.filesystems.make import DEFAULT_MIN_BYTES, FileSystemRequest, make_file_system
from bootpath.image.filesystems.programs import HostPrograms
from bootpath.image.sparsecopy import copy_sparse

SECTOR_BYTES = 512
ImageProgress = Callable[[int, int, str], None]
"""Called with bytes done, bytes in all, and what is being worked on."""


def least_bytes(definition: RepartDefinition) -> int:
    """The size a partition has whatever it holds."""
    if definition.size_min_bytes is not None:
        return definition.size_min_bytes
    if definition.minimize is not Minimize.OFF:
        return GRAIN_BYTES
    least = SIGNATURE_BYTES if definition.verity is VerityRole.SIGNATURE else DEFAULT_MIN_BYTES
    return least if definition.size_max_bytes is None else min(least, definition.size_max_bytes)


class PartitionContents:
    """Makes what partitions hold; `files` and `root_hashes` are by the numbers of the drafts."""

    def __init__(self, image: DdiImage, scratch: Path, programs: HostPrograms, progress: ImageProgress | None) -> None:
        self.image, self.scratch, self.programs, self.progress = image, scratch, programs, progress
        self.files: dict[int, Path] = {}
        self.root_hashes: dict[int, bytes] = {}
        self._by_definition: dict[str, Path] = {}

    def make(self, draft: Draft) -> None:
        """The file system or the blocks of a partition; a further slot has those of the first."""
        definition = draft.definition
        if draft.empty or (definition.populated_format is None and definition.copy_blocks is None):
            return
        try:
            if definition.name not in self._by_definition:
                self._by_definition[definition.name] = (
                    self._blocks(draft) if definition.copy_blocks is not None else self._file_system(draft)
                )
        except Error as fault:
            raise fault.at(definition.name) from None
        self.files[draft.number] = self._by_definition[definition.name]

    def protect(self, group: VerityGroup) -> None:
        """The hash tree of a data partition, and the signature of its root hash."""
        data, hashes = self.files[group.data.number], self._path(group.hashes)
        total = data.stat().st_size

        def advance(position: int) -> None:
            if self.progress is not None:
                self.progress(position, total, f"hashing {group.data.label}")

        root_hash = write_hashes(
            data, hashes, group.hashes.definition, seed=self.image.seed, slot=group.data.slot, progress=advance
        )
        self.files[group.hashes.number] = hashes
        self.root_hashes[group.data.number] = self.root_hashes[group.hashes.number] = root_hash
        if group.signature is not None:
            if self.image.signing is None:
                raise Error(
                    "the partition has to hold a signature, and there is no key",
                    where=group.signature.where,
                    hint="give --key and --certificate",
                )
            self.files[group.signature.number] = self._path(group.signature)
            self.root_hashes[group.signature.number] = root_hash
            write_signature(root_hash, self.image.signing, self.files[group.signature.number])

    def _path(self, draft: Draft) -> Path:
        return self.scratch / f"{draft.number}.part"

    def _file_system(self, draft: Draft) -> Path:
        definition, image = draft.definition, self.image
        assert definition.populated_format is not None
        if self.progress is not None:
            self.progress(0, 0, f"making {draft.label} ({definition.populated_format.value})")
        tree = collect_tree(
            definition.copy_files,
            excluded=definition.exclude_files,
            directories=definition.make_directories,
            base=image.copy_source,
        )
        request = FileSystemRequest(
            definition.populated_format,
            tree,
            uuid=file_system_uuid(draft.uuid),
            label=draft.label,
            minimum_bytes=None if definition.minimize is not Minimize.OFF else least_bytes(definition),
            epoch=image.epoch,
            all_root=image.all_root,
            sealed=definition.verity is VerityRole.DATA,
            compression=definition.compression,
            compression_level=definition.compression_level,
        )
        make_file_system(request, self._path(draft), scratch=self.scratch, programs=self.programs)
        return self._path(draft)

    def _blocks(self, draft: Draft) -> Path:
        """The file itself where it is whole blocks of 4096; else a copy that is."""
        assert draft.definition.copy_blocks is not None
        source = self.image.copy_source / draft.definition.copy_blocks.lstrip("/")
        try:
            mode = source.stat().st_mode
        except FileNotFoundError:
            raise Error("the source of CopyBlocks= does not exist", where=str(source)) from None
        if not stat.S_ISREG(mode) and not stat.S_ISBLK(mode):
            raise Error("the source of CopyBlocks= is neither a file nor a block device", where=str(source))
        with source.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            # "a size that is a multiple of the basic block size 512 and not be empty"
            if not size or size % SECTOR_BYTES:
                raise Error(
                    "the size of the CopyBlocks= source is not a multiple of the sector size",
                    where=str(source),
                    found=f"{size} bytes",
                    expected=f"a multiple of {SECTOR_BYTES} bytes",
                )
            if stat.S_ISREG(mode) and size % GRAIN_BYTES == 0:
                return source
            with self._path(draft).open("wb") as copy:
                copy.truncate(-(-size // GRAIN_BYTES) * GRAIN_BYTES)
                copy_sparse(file.fileno(), copy.fileno(), 0, size, where=str(source))
        return self._path(draft)
