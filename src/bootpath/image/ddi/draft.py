"""What a discoverable disk image is to hold, and from that the partitions it will have, before anything is made.

Source: UAPI.2 (discoverable partitions), repart.d(5) for labels, UUIDs and flags, sysupdate.d(5) for slots.

Slots: an image that is to be updated has its root or /usr, with what protects it, several times. The further sets come
right behind the first and are as large; empty ones are labelled ``_empty``, which discovery passes over and an updater
looks for. Filled ones hold the same data under another salt: so the root hash, the UUIDs that follow from it, and the
signature are their own, and no two partitions of the disk have one UUID. They are no-auto, so that the first slot is
the one that is found; whoever names the root hash of another, or takes the flag away, has that one.

Invariants: labels have at most 36 UTF-16 units; a verity match key names one data and one hash partition and at most
one signature in each slot; partitions are in the order of the definitions' names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from uuid import UUID

from bootpath.core.errors import Error
from bootpath.formats.partitions.dps import (
    EMPTY_LABEL,
    FLAG_GROWFS,
    FLAG_NO_AUTO,
    FLAG_READ_ONLY,
    Architecture,
    Designator,
)
from bootpath.formats.repart.definition import RepartDefinition, VerityRole, check_label
from bootpath.image.ddi.identity import partition_uuid
from bootpath.image.ddi.layout import MIB

_GROWING = frozenset(
    {
        Designator.ROOT,
        Designator.USR,
        Designator.HOME,
        Designator.SRV,
        Designator.VAR,
        Designator.TMP,
        Designator.XBOOTLDR,
    }
)
_NO_AUTO = _GROWING | {Designator.ROOT_VERITY, Designator.USR_VERITY, Designator.SWAP}
_READ_ONLY = (_NO_AUTO | {Designator.ROOT_VERITY_SIG, Designator.USR_VERITY_SIG}) - {Designator.SWAP}


class SlotFill(Enum):
    """What the slots after the first hold."""

    EMPTY = "empty"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key and its certificate, PEM or DER, and the password of the key."""

    key: bytes
    certificate: bytes
    password: bytes | None = None


@dataclass(frozen=True, slots=True)
class DdiImage:
    """What to build. Sizes are bytes; `size_bytes` None is as small as can be; `epoch` is the time of every file.

    The sources that definitions name are looked for below `copy_source`; `warnings` are passed on to the plan.
    """

    definitions: tuple[RepartDefinition, ...]
    seed: UUID
    architecture: Architecture
    copy_source: Path = Path("/")
    size_bytes: int | None = None
    alignment_bytes: int = MIB
    signing: SigningKey | None = None
    epoch: int | None = None
    all_root: bool = False
    slots: int = 1
    fill: SlotFill = SlotFill.EMPTY
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Draft:
    """A partition to be: `slot` counts from 1; `uuid` is what it has unless a root hash decides."""

    definition: RepartDefinition
    number: int
    slot: int
    empty: bool
    label: str
    uuid: UUID
    flags: int

    @property
    def where(self) -> str:
        """For messages: the definition, and the slot unless it is the first."""
        return self.definition.name if self.slot == 1 else f"{self.definition.name} (slot {self.slot})"


@dataclass(frozen=True, slots=True)
class VerityGroup:
    """What belongs together: data, hashes and, unless there is none, the signature of the root hash."""

    data: Draft
    hashes: Draft
    signature: Draft | None


def draft_partitions(image: DdiImage) -> tuple[Draft, ...]:
    """The partitions in order, with label, UUID and flags. Raises Error, FormatError for a label that is too long."""
    if not image.definitions:
        raise Error("there is no partition to make", where="image", hint="a definition is a file *.conf")
    if image.slots < 1:
        raise Error("the number of slots is too small", where="image", found=image.slots, expected="one or more")
    ordered = sorted(image.definitions, key=lambda definition: definition.name)
    drafts: list[Draft] = []
    labels: set[str] = set()
    counts: dict[UUID, int] = {}
    for definition, slot in _in_slots(ordered, image.slots):
        empty = slot > 1 and image.fill is SlotFill.EMPTY
        instance = counts[definition.type_guid] = counts.get(definition.type_guid, -1) + 1
        own = definition.uuid if definition.uuid is not None and slot == 1 else None
        drafts.append(
            Draft(
                definition,
                number=len(drafts) + 1,
                slot=slot,
                empty=empty,
                label=EMPTY_LABEL if empty else _label(definition, slot, labels),
                uuid=own or partition_uuid(image.seed, definition.type_guid, instance),
                flags=entry_flags(definition) | (FLAG_NO_AUTO if slot > 1 and not empty else 0),
            )
        )
        labels.add(drafts[-1].label)
    return tuple(drafts)


def verity_groups(drafts: Iterable[Draft]) -> tuple[VerityGroup, ...]:
    """The groups of the drafts that are to be filled. Raises Error for one that is not complete, or ambiguous."""
    found: dict[tuple[str, int], dict[VerityRole, Draft]] = {}
    for draft in drafts:
        key, role = draft.definition.verity_match_key, draft.definition.verity
        if key is None or draft.empty:
            continue
        group = found.setdefault((key, draft.slot), {})
        if role in group:
            # "a single verity data partition ... and a single verity hash partition ... must be defined"
            raise Error(
                f"there is already a Verity={role.value} for VerityMatchKey={key}",
                where=draft.where,
                found=group[role].where,
                expected="one of each",
            )
        group[role] = draft
    groups: list[VerityGroup] = []
    for (key, _), group in found.items():
        for role in (VerityRole.DATA, VerityRole.HASH):
            if role not in group:
                raise Error(
                    f"no partition with VerityMatchKey={key} has Verity={role.value}",
                    where=next(iter(group.values())).where,
                )
        data, hashes = group[VerityRole.DATA], group[VerityRole.HASH]
        signature = group.get(VerityRole.SIGNATURE)
        _check_pair(data, hashes)
        if signature is not None:
            _check_pair(data, signature)
        groups.append(VerityGroup(data, hashes, signature))
    return tuple(groups)


def entry_flags(definition: RepartDefinition) -> int:
    """The flags of the entry: Flags=, overridden by the keys of single flags, and what repart.d(5) has as defaults."""
    designator = definition.designator
    read_only, grow = definition.read_only, definition.grow_file_system
    # "ReadOnly= defaults to on for Verity partition types, and off for all others."
    hashes = designator in (Designator.ROOT_VERITY, Designator.USR_VERITY)
    if read_only is None and (hashes or definition.verity is VerityRole.DATA):
        read_only = True
    # "GrowFileSystem= defaults to on for all partition types that support it, except if ... marked read-only"
    if grow is None and not read_only:
        grow = True
    flags = definition.flags or 0
    for bit, value, known in (
        (FLAG_NO_AUTO, definition.no_auto, _NO_AUTO),
        (FLAG_READ_ONLY, read_only, _READ_ONLY),
        (FLAG_GROWFS, grow, _GROWING),
    ):
        if value is not None and designator in known:
            flags = flags | bit if value else flags & ~bit
    return flags


def definition_warnings(definition: RepartDefinition) -> tuple[str, ...]:
    """What of a definition has no effect, and why: one line a key."""
    found = [f"{definition.name}:{each.line}: {each.key}= is ignored: {each.reason}" for each in definition.ignored]
    for key, value, known in (
        ("NoAuto", definition.no_auto, _NO_AUTO),
        ("ReadOnly", definition.read_only, _READ_ONLY),
        ("GrowFileSystem", definition.grow_file_system, _GROWING),
    ):
        if value is not None and definition.designator not in known:
            found.append(
                f"{definition.name}: {key}= is ignored: a partition of type {definition.type_name} has no such flag"
            )
    if definition.uuid is not None and definition.verity in (VerityRole.DATA, VerityRole.HASH):
        found.append(f"{definition.name}: with UUID= the partition will not be found by its root hash")
    return tuple(found)


def _in_slots(definitions: Sequence[RepartDefinition], slots: int) -> list[tuple[RepartDefinition, int]]:
    """The definitions with their slot: behind the last one that belongs to a root or /usr, its further sets."""
    placed: list[tuple[RepartDefinition, int]] = [(definition, 1) for definition in definitions]
    slotted = [each for each in definitions if each.designator is not None and each.designator.versioned]
    if slots > 1:
        if not slotted:
            raise Error(
                "no partition can have several slots", where="image", expected="a partition of type root or usr"
            )
        after = definitions.index(slotted[-1]) + 1
        placed[after:after] = [(each, slot) for slot in range(2, slots + 1) for each in slotted]
    return placed


def _label(definition: RepartDefinition, slot: int, taken: set[str]) -> str:
    """Label=, or the type's name; made the only one by a number where that is ours to choose."""
    base = definition.type_name if definition.label is None else definition.label
    label, number = base, max(slot, 1)
    if slot > 1:
        label = f"{base}-{slot}"
    while definition.label is None and label in taken:
        number += 1
        label = f"{base}-{number}"
    return check_label(label, where=f"{definition.name}: Label=")


def _check_pair(data: Draft, other: Draft) -> None:
    """Types of one pair must be each other's, where the specification knows them."""
    ours, theirs = data.definition, other.definition
    if ours.designator is None or theirs.designator is None:
        return
    wanted = ours.designator.hashes if theirs.verity is VerityRole.HASH else ours.designator.signature
    expected = None
    if wanted is not None:
        expected = ours.type_name + wanted.value.removeprefix(ours.designator.value)
    if expected is None or theirs.type_name != expected:
        raise Error(
            "the type of the partition does not match its data partition",
            where=other.where,
            found=theirs.type_name,
            expected=f"{expected or 'none'}, as it protects {data.where} ({ours.type_name})",
        )
