"""The plan of an image: sizes become places and a partition table, with the UUIDs that follow from root hashes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from bootpath.core.errors import Error
from bootpath.formats.partitions.dps import data_uuid, hash_uuid
from bootpath.formats.partitions.gpt import Gpt
from bootpath.formats.partitions.gptheader import Partition
from bootpath.formats.partitions.gptwrite import new_gpt
from bootpath.formats.repart.definition import NO_SPLIT, RepartDefinition, VerityRole
from bootpath.formats.repart.values import GRAIN_BYTES, expand_specifiers
from bootpath.image.ddi.contents import SECTOR_BYTES, PartitionContents, least_bytes
from bootpath.image.ddi.draft import DdiImage, Draft, definition_warnings
from bootpath.image.ddi.identity import disk_uuid
from bootpath.image.ddi.layout import lay_out


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


def make_plan(image: DdiImage, drafts: tuple[Draft, ...], contents: PartitionContents) -> DdiPlan:
    """The plan of an image whose contents are made. Raises Error when something does not fit, FormatError."""
    held = {number: path.stat().st_size for number, path in contents.files.items()}
    sizes: dict[str, int] = {}
    for draft in drafts:
        definition = draft.definition
        content = -(-held.get(draft.number, 0) // GRAIN_BYTES) * GRAIN_BYTES
        if definition.size_max_bytes is not None and content > definition.size_max_bytes:
            raise Error(
                "the content is too large for the partition",
                where=draft.where,
                found=f"{content} bytes",
                expected=f"at most {definition.size_max_bytes} bytes, by SizeMaxBytes=",
            )
        sizes[definition.name] = max(sizes.get(definition.name, 0), content, least_bytes(definition))
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
    warnings = [*image.warnings]
    warnings += [line for draft in drafts if draft.slot == 1 for line in definition_warnings(draft.definition)]
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
