"""Building a discoverable disk image: what every partition holds is made first, then placed, then copied together.

Source: UAPI.3 (discoverable disk images), UAPI.2 (types, UUIDs from the root hash), repart.d(5).

1. `draft`: partitions with labels, UUIDs and flags, from definitions; pure.
2. `contents`: file systems, hash trees and signatures become files in a scratch directory beside the output.
3. `layout` and `plan`: sizes become places and a partition table; pure. `plan_ddi` ends here.
4. Here everything is copied, without its holes, into a file under another name that takes its own when it is whole.

A plan is exact, root hashes included, because steps 1 to 3 are the same whether or not the image is then written.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bootpath.core.errors import Error
from bootpath.formats.partitions.gptwrite import pack_gpt
from bootpath.image.ddi.contents import SECTOR_BYTES, ImageProgress, PartitionContents
from bootpath.image.ddi.draft import DdiImage, draft_partitions, verity_groups
from bootpath.image.ddi.plan import DdiPlan, make_plan
from bootpath.image.filesystems.programs import HostPrograms
from bootpath.image.output import atomic_output, scratch_directory
from bootpath.image.sparsecopy import copy_sparse


@dataclass(frozen=True, slots=True)
class BuiltDdi:
    """What was built: the image, and a file for each partition that was split off."""

    path: Path
    plan: DdiPlan
    allocated_bytes: int
    split: tuple[Path, ...]


def plan_ddi(
    image: DdiImage, *, programs: HostPrograms, scratch: Path | None = None, progress: ImageProgress | None = None
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
    progress: ImageProgress | None = None,
) -> BuiltDdi:
    """Build the image at `output`, and with `split` each partition in a file beside it.

    Raises Error, FormatError, DeviceError and OSError, and leaves nothing behind then.
    """
    _refuse_inside_source(image, output.parent)
    with ExitStack() as stack:
        temporary = stack.enter_context(atomic_output(output))
        if split and output.exists() and not output.is_file():
            raise Error(
                "the output is not a regular file, so there cannot be others beside it",
                where=str(output),
                hint="omit --split",
            )
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
    image: DdiImage, scratch: Path | None, programs: HostPrograms, progress: ImageProgress | None
) -> Iterator[tuple[DdiPlan, list[Path | None]]]:
    """The plan, and the files with the contents of its partitions, which are there until the block ends."""
    drafts = draft_partitions(image)
    groups = verity_groups(drafts)
    with scratch_directory(scratch or Path(tempfile.gettempdir()), "bootpath-image") as directory:
        contents = PartitionContents(image, directory, programs, progress)
        for draft in drafts:
            contents.make(draft)
        for group in groups:
            contents.protect(group)
        plan = make_plan(image, drafts, contents)
        yield plan, [contents.files.get(draft.number) for draft in drafts]


def _split_paths(plan: DdiPlan, output: Path) -> dict[int, Path]:
    """Where each partition that is split off goes, by its index in the plan. Raises Error when two have one name."""
    found: dict[int, Path] = {}
    for index, planned in enumerate(plan.partitions):
        if planned.split_name is not None:
            path = output.with_name(f"{output.stem}.{planned.split_name}{output.suffix}")
            if path in found.values():
                raise Error(
                    "two partitions would be written to the same file",
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
    target = Path(os.path.realpath(directory))
    for definition in image.definitions:
        for copy in definition.copy_files:
            source = Path(os.path.realpath(image.copy_source / copy.source.lstrip("/")))
            if source.is_dir() and target.is_relative_to(source):
                raise Error("the output is inside a source of the image", where=str(directory), found=str(source))
