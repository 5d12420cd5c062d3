"""Building a discoverable disk image: what every partition holds is made first, then placed, then copied together.

Source: UAPI.3 (discoverable disk images), UAPI.2 (types, UUIDs from the root hash), repart.d(5).

1. *draft* (`ddiparts`): partitions with labels, UUIDs and flags, from definitions; pure.
2. *contents*: file systems, hash trees and signatures become files in a scratch directory beside the output.
3. *lay out* (`ddilayout`): sizes become places and a partition table; pure. This is the plan, and `plan_ddi` ends here.
4. *write*: everything is copied, without its holes, into a file under another name that takes its own when it is whole.

A plan is exact, root hashes included, because steps 1 to 3 are the same whether or not the image is then written.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from bootpath.core.errors import Error
from bootpath.formats.partitions.dps import data_uuid, hash_uuid
from bootpath.formats.partitions.gpt import Gpt
from bootpath.formats.partitions.gptheader import Partition
from bootpath.formats.partitions.gptwrite import new_gpt, pack_gpt
from bootpath.formats.repart.definition import NO_SPLIT, Minimize, RepartDefinition, VerityRole
from bootpath.formats.repart.values import GRAIN_BYTES, expand_specifiers
from bootpath.image.ddi.draft import DdiImage, Draft, VerityGroup, definition_warnings, draft_partitions, verity_groups
from bootpath.image.ddi.identity import disk_uuid, file_system_uuid
from bootpath.image.ddi.layout import lay_out
from bootpath.image.ddi.protect import SIGNATURE_BYTES, write_hashes, write_signature
from bootpath.image.filesystems.filetree import collect_tree
from bootpath.image.filesystems.make import DEFAULT_MIN_BYTES, FileSystemRequest, make_file_system
from bootpath.image.filesystems.programs import HostPrograms
from bootpath.image.output import atomic_output, scratch_directory
from bootpath.image.sparsecopy import copy_sparse

SECTOR_BYTES = 512
Progress = Callable[[int, int, str], None]
"""Called with bytes done, bytes in all, and what is being worked on."""


@dataclass(frozen=True, slots=True)
class PlannedPartition:
    """One partition: its entry, and what it holds. `content_bytes` is 0 where it holds nothing."""

    partition: Partition
    definition: RepartDefinition
    slot: int
    empty: bool
    content_bytes: int
    root_hash: bytes | None
    split_name: str | None

    @property
    def content(self) -> str:
        """What it holds, in a word: a file system, "hash", "signature", "blocks", "empty" or "nothing"."""
        role, format_ = self.definition.verity, self.definition.populated_format
        if self.empty:
            return "empty"
        if role in (VerityRole.HASH, VerityRole.SIGNATURE):
            return str(role.value)
        if format_ is not None:
            return format_.value
        return "nothing" if self.definition.copy_blocks is None else "blocks"


@dataclass(frozen=True, slots=True)
class DdiPlan:
    """What an image is, or would be."""

    gpt: Gpt
    seed: UUID
    partitions: tuple[PlannedPartition, ...]
    warnings: tuple[str, ...]

    @property
    def size_bytes(self) -> int:
        """Size of the image."""
        return self.gpt.size_bytes

    @property
    def root_hashes(self) -> Mapping[int, bytes]:
        """The root hash of every data partition that has one, by the number of its entry."""
        return {
            each.partition.number: each.root_hash
            for each in self.partitions
            if each.root_hash is not None and each.definition.verity is VerityRole.DATA
        }


@dataclass(frozen=True, slots=True)
class BuiltDdi:
    """What was built: the image, and a file for each partition that was split off."""

    path: Path
    plan: DdiPlan
    allocated_bytes: int
    split: tuple[Path, ...]


def plan_ddi(
    image: DdiImage, *, programs: HostPrograms, scratch: Path | None = None, progress: Progress | None = None
) -> DdiPlan:
    """What `build_ddi` would make. Contents are made below `scratch` (the system's place for such) and removed.

    Raises what `build_ddi` raises, but for its output.
    """
    _refuse_inside_source(image, scratch or Path(tempfile.gettempdir()))
    with _prepared(image, scratch, programs, progress) as (plan, _):
        return plan


def build_ddi(
    image: DdiImage,
    output: Path,
    *,
    programs: HostPrograms,
    split: bool = False,
    progress: Progress | None = None,
) -> BuiltDdi:
    """Build the image at `output`, and with `split` each partition in a file beside it.

    Raises Error, FormatError, DeviceError and OSError, and leaves nothing behind then.
    """
    _refuse_inside_source(image, output.parent)
    with ExitStack() as stack:
        temporary = stack.enter_context(atomic_output(output))
        if split and output.exists() and not output.is_file():
            raise Error("is no file, so none can be beside it", where=str(output), hint="leave out --split")
        plan, contents = stack.enter_context(_prepared(image, temporary.parent, programs, progress))
        total = sum(os.path.getsize(content) for content in contents if content is not None)
        done = 0

        def advance(position: int) -> None:
            if progress is not None:
                progress(done + position, total * (2 if split else 1), "writing")

        parts: list[tuple[int, Path]] = []
        if split:
            parts = [
                (index, stack.enter_context(atomic_output(path))) for index, path in _split_paths(plan, output).items()
            ]
        with temporary.open("r+b") as file:
            file.truncate(plan.size_bytes)
            for offset, data in pack_gpt(plan.gpt):
                os.pwrite(file.fileno(), data, offset)
            for planned, content in zip(plan.partitions, contents, strict=True):
                if content is not None:
                    done += _copy(content, file.fileno(), planned.partition.offset_bytes, advance)
            os.fsync(file.fileno())
            allocated = os.fstat(file.fileno()).st_blocks * SECTOR_BYTES
        for index, path in parts:
            with path.open("r+b") as file:
                file.truncate(plan.partitions[index].partition.size_bytes)
                content = contents[index]
                if content is not None:
                    done += _copy(content, file.fileno(), 0, advance)
                os.fsync(file.fileno())
    return BuiltDdi(output, plan, allocated, tuple(_split_paths(plan, output).values()) if split else ())


@contextmanager
def _prepared(
    image: DdiImage, scratch: Path | None, programs: HostPrograms, progress: Progress | None
) -> Iterator[tuple[DdiPlan, list[Path | None]]]:
    """The plan, and the files with the contents of its partitions, which are there until the block ends."""
    drafts = draft_partitions(image)
    groups = verity_groups(drafts)
    with scratch_directory(scratch or Path(tempfile.gettempdir()), "bootpath-image") as directory:
        contents = _Contents(image, directory, programs, progress)
        for draft in drafts:
            contents.make(draft)
        for group in groups:
            contents.protect(group)
        plan = _plan(image, drafts, contents)
        yield plan, [contents.files.get(draft.number) for draft in drafts]


class _Contents:
    """Makes what partitions hold; `files`, `uuids` and `root_hashes` are by the numbers of the drafts."""

    def __init__(self, image: DdiImage, scratch: Path, programs: HostPrograms, progress: Progress | None) -> None:
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
                    "is to hold a signature, and there is no key",
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
            minimum_bytes=None if definition.minimize is not Minimize.OFF else _least(definition),
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
            raise Error("does not exist", where=str(source), hint="it is named by CopyBlocks=") from None
        if not stat.S_ISREG(mode) and not stat.S_ISBLK(mode):
            raise Error("is neither a file nor a block device", where=str(source))
        with source.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            # "a size that is a multiple of the basic block size 512 and not be empty"
            if not size or size % SECTOR_BYTES:
                raise Error("has", where=str(source), found=f"{size} bytes", expected=f"a multiple of {SECTOR_BYTES}")
            if stat.S_ISREG(mode) and size % GRAIN_BYTES == 0:
                return source
            with self._path(draft).open("wb") as copy:
                copy.truncate(-(-size // GRAIN_BYTES) * GRAIN_BYTES)
                copy_sparse(file.fileno(), copy.fileno(), 0, size, where=str(source))
        return self._path(draft)


def _least(definition: RepartDefinition) -> int:
    """The size a partition has whatever it holds."""
    if definition.size_min_bytes is not None:
        return definition.size_min_bytes
    if definition.minimize is not Minimize.OFF:
        return GRAIN_BYTES
    least = SIGNATURE_BYTES if definition.verity is VerityRole.SIGNATURE else DEFAULT_MIN_BYTES
    return least if definition.size_max_bytes is None else min(least, definition.size_max_bytes)


def _plan(image: DdiImage, drafts: tuple[Draft, ...], contents: _Contents) -> DdiPlan:
    held = {number: path.stat().st_size for number, path in contents.files.items()}
    sizes: dict[str, int] = {}
    for draft in drafts:
        definition = draft.definition
        content = -(-held.get(draft.number, 0) // GRAIN_BYTES) * GRAIN_BYTES
        if definition.size_max_bytes is not None and content > definition.size_max_bytes:
            raise Error(
                "holds more than SizeMaxBytes= allows:",
                where=draft.where,
                found=f"{content} bytes",
                expected=f"at most {definition.size_max_bytes}",
            )
        sizes[definition.name] = max(sizes.get(definition.name, 0), content, _least(definition))
    layout = lay_out(
        [sizes[draft.definition.name] for draft in drafts],
        alignment_bytes=image.alignment_bytes,
        size_bytes=image.size_bytes,
    )
    planned: list[PlannedPartition] = []
    for draft, offset in zip(drafts, layout.offsets, strict=True):
        partition = Partition(
            number=draft.number,
            type_guid=draft.definition.type_guid,
            guid=_guid(draft, contents.root_hashes.get(draft.number)),
            first_lba=offset // SECTOR_BYTES,
            last_lba=(offset + sizes[draft.definition.name]) // SECTOR_BYTES - 1,
            flags=draft.flags,
            name=draft.label,
        )
        planned.append(
            PlannedPartition(
                partition,
                draft.definition,
                draft.slot,
                draft.empty,
                content_bytes=held.get(draft.number, 0),
                root_hash=contents.root_hashes.get(draft.number),
                split_name=_split_name(draft, partition),
            )
        )
    gpt = new_gpt(layout.size_bytes, disk_uuid(image.seed), (each.partition for each in planned))
    warnings = [line for draft in drafts if draft.slot == 1 for line in definition_warnings(draft.definition)]
    if image.signing is not None and not any(draft.definition.verity is VerityRole.SIGNATURE for draft in drafts):
        warnings.append("a key is given, and no partition has Verity=signature: nothing is signed")
    return DdiPlan(gpt, image.seed, tuple(planned), tuple(warnings))


def _guid(draft: Draft, root_hash: bytes | None) -> UUID:
    # "If not explicitly configured, the data partition's UUID will be set to the first 128 bits of the verity root
    # hash. Similarly, ... the hash partition's UUID ... to the final 128 bits".
    if root_hash is not None and (draft.definition.uuid is None or draft.slot > 1):
        if draft.definition.verity is VerityRole.DATA:
            return data_uuid(root_hash)
        if draft.definition.verity is VerityRole.HASH:
            return hash_uuid(root_hash)
    return draft.uuid


def _split_name(draft: Draft, partition: Partition) -> str | None:
    raw = draft.definition.split_name
    if draft.slot > 1 or raw == NO_SPLIT:
        return None
    table = {
        "t": draft.definition.type_name,
        "T": str(partition.type_guid),
        "U": str(partition.guid),
        "n": str(partition.number),
    }
    return expand_specifiers(raw, table, where=f"{draft.definition.name}: SplitName=")


def _split_paths(plan: DdiPlan, output: Path) -> dict[int, Path]:
    """Where each partition that is split off goes, by its place in the plan. Raises Error when two have one name."""
    found: dict[int, Path] = {}
    for index, planned in enumerate(plan.partitions):
        if planned.split_name is not None:
            path = output.with_name(f"{output.stem}.{planned.split_name}{output.suffix}")
            if path in found.values():
                raise Error(
                    "two partitions would be split off to",
                    where=planned.definition.name,
                    found=path.name,
                    hint="give them different SplitName=, or - for none",
                )
            found[index] = path
    return found


def _copy(content: Path, target: int, offset: int, advance: Callable[[int], None]) -> int:
    with content.open("rb") as source:
        size = source.seek(0, os.SEEK_END)
        copy_sparse(source.fileno(), target, offset, size, where=str(content), progress=advance)
    return size


def _refuse_inside_source(image: DdiImage, directory: Path) -> None:
    """What is written into a tree that the image is made of would end up in the image."""
    place = directory.resolve()
    for definition in image.definitions:
        for copy in definition.copy_files:
            source = (image.copy_source / copy.source.lstrip("/")).resolve()
            if source.is_dir() and place.is_relative_to(source):
                raise Error("would be written into what the image is made of", where=str(directory), found=str(source))
