from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import pytest

from bootpath.core.errors import Error, FormatError
from bootpath.formats.partitions.dps import FLAG_GROWFS, FLAG_NO_AUTO, FLAG_READ_ONLY, Architecture
from bootpath.formats.repart.definition import RepartDefinition
from bootpath.formats.repart.parse import parse_repart
from bootpath.image.ddi.draft import DdiImage, Draft, SlotFill, definition_warnings, draft_partitions, verity_groups

SEED = UUID("11111111-2222-4333-8444-555555555555")
DATA = "Type=root\nVerity=data\nVerityMatchKey=r\nCopyFiles=/t:/"
HASH = "Type=root-verity\nVerity=hash\nVerityMatchKey=r"
SIGNATURE = "Type=root-verity-sig\nVerity=signature\nVerityMatchKey=r"


def define(*texts: str) -> tuple[RepartDefinition, ...]:
    return tuple(
        parse_repart(f"[Partition]\n{text}\n".encode(), name=f"{index}.conf", architecture=Architecture.X86_64)
        for index, text in enumerate(texts)
    )


def drafts(*texts: str, slots: int = 1, fill: SlotFill = SlotFill.EMPTY) -> tuple[Draft, ...]:
    image = DdiImage(define(*texts), SEED, Architecture.X86_64, slots=slots, fill=fill)
    return draft_partitions(image)


def labels(found: Sequence[Draft]) -> list[str]:
    return [draft.label for draft in found]


def test_the_order_is_that_of_the_names() -> None:
    first, second = define("Type=esp", "Type=home")
    image = DdiImage((second, first), SEED, Architecture.X86_64)
    assert labels(draft_partitions(image)) == ["esp", "home"]


def test_labels_of_one_type_are_told_apart_unless_they_are_given() -> None:
    assert labels(drafts("Type=home", "Type=home", "Type=home\nLabel=home")) == ["home", "home-2", "home"]


def test_a_further_slot_stands_behind_the_first() -> None:
    found = drafts("Type=esp", DATA, HASH, "Type=home", slots=3)
    assert [(draft.definition.type_name, draft.slot) for draft in found] == [
        ("esp", 1),
        ("root-x86-64", 1),
        ("root-x86-64-verity", 1),
        ("root-x86-64", 2),
        ("root-x86-64-verity", 2),
        ("root-x86-64", 3),
        ("root-x86-64-verity", 3),
        ("home", 1),
    ]
    assert labels(found)[3:7] == ["_empty"] * 4
    assert len({draft.uuid for draft in found}) == len(found)
    (group,) = verity_groups(found)
    assert group.data.slot == 1


def test_a_filled_slot_has_its_own_label_and_group_and_is_not_found_by_itself() -> None:
    found = drafts(f"{DATA}\nLabel=os_1", HASH, slots=2, fill=SlotFill.BOTH)
    assert labels(found) == ["os_1", "root-x86-64-verity", "os_1-2", "root-x86-64-verity-2"]
    assert [group.hashes.slot for group in verity_groups(found)] == [1, 2]
    assert [bool(draft.flags & FLAG_NO_AUTO) for draft in found] == [False, False, True, True]


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("Type=esp", 0),
        ("Type=root", FLAG_GROWFS),
        (DATA, FLAG_READ_ONLY),
        ("Type=root-verity", FLAG_READ_ONLY),
        ("Type=root-verity-sig", 0),
        ("Type=home\nReadOnly=yes", FLAG_READ_ONLY),
        ("Type=home\nFlags=0x800000000000001\nGrowFileSystem=no\nNoAuto=yes", FLAG_NO_AUTO | 1),
        ("Type=swap\nNoAuto=yes", FLAG_NO_AUTO),
        ("Type=esp\nNoAuto=yes", 0),
        (f"{DATA}\nReadOnly=no", FLAG_GROWFS),
    ],
)
def test_flags(text: str, flags: int) -> None:
    assert drafts(text)[0].flags == flags


def test_what_has_no_effect_is_reported() -> None:
    (definition,) = define("Type=esp\nNoAuto=yes\nWeight=5")
    assert definition_warnings(definition) == (
        "0.conf:4: Weight= is ignored: free space is not shared out: set SizeMinBytes=",
        "0.conf: NoAuto= is ignored: a partition of type esp has no such flag",
    )
    (data,) = define(f"{DATA}\nUUID=0d7e49a2-5b26-4c4c-8a6b-2f2d1c9f4a11")
    assert "not be found by its root hash" in definition_warnings(data)[0]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (
            (DATA, DATA, HASH),
            r"1\.conf: there is already a Verity=data for VerityMatchKey=r; expected one of each, found 0\.conf",
        ),
        ((DATA, HASH, HASH), "there is already a Verity=hash"),
        ((DATA,), "no partition with VerityMatchKey=r has Verity=hash"),
        ((HASH,), "no partition with VerityMatchKey=r has Verity=data"),
        ((SIGNATURE,), "no partition with VerityMatchKey=r has Verity=data"),
        (
            (DATA, HASH.replace("root", "usr")),
            "the type of the partition does not match its data partition",
        ),
        (
            (DATA, HASH.replace("root-verity", "root-arm64-verity")),
            "does not match its data partition; expected root-x86-64-verity",
        ),
        ((DATA, HASH, SIGNATURE.replace("root-verity-sig", "root-verity")), "expected root-x86-64-verity-sig"),
    ],
)
def test_groups_are_whole_and_one_of_each(texts: tuple[str, ...], message: str) -> None:
    with pytest.raises(Error, match=message):
        verity_groups(drafts(*texts))


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(Error, match="no partition to make"):
        drafts()
    with pytest.raises(Error, match="no partition can have several slots"):
        drafts("Type=esp", slots=2)
    with pytest.raises(Error, match="the number of slots is"):
        drafts("Type=root", slots=0)
    with pytest.raises(FormatError, match="the label is too long"):
        drafts(f"{DATA}\nLabel={'x' * 35}", HASH, slots=2, fill=SlotFill.BOTH)
