"""Choosing among candidates, on trees made by hand: what the table says is enough, nothing is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import pytest

from bootpath.core.errors import FormatError
from bootpath.core.reasons import Reason
from bootpath.formats.partitions.dps import (
    FLAG_NO_AUTO,
    FLAG_READ_ONLY,
    Architecture,
    Designator,
    data_uuid,
    hash_uuid,
    type_guid,
)
from bootpath.formats.partitions.gpt import Gpt
from bootpath.formats.partitions.gptheader import Partition
from bootpath.formats.partitions.imagepolicy import PolicyReason, parse_image_policy
from bootpath.formats.superblocks.value import Superblock
from bootpath.formats.verity.signature import VeritySignature
from bootpath.formats.verity.tree import VerityParameters, VeritySuperblock
from bootpath.image.contents.nodes import Contents, FoundHashTree, Location, Node, NodeKind, NodeReason
from bootpath.image.roots.choice import RootChoice, Verdict, choose_root
from bootpath.image.roots.reasons import ExclusionReason, Problem, ProblemReason

DISK = UUID(int=99)
ARM64, X86_64 = Architecture.ARM64, Architecture.X86_64
ROOT, USR = Designator.ROOT, Designator.USR
BLOCKS = 256


def root_hash(seed: int) -> bytes:
    return bytes([seed]) * 16 + bytes([seed + 100]) * 16


def file_system(kind: str = "ext4") -> Superblock:
    return Superblock(kind=kind, offset=0, uuid=None, label="", block_bytes=4096, size_bytes=0)


@dataclass(frozen=True)
class Entry:
    """A partition to be: `guid` None makes one that nothing else has."""

    designator: Designator
    name: str = ""
    guid: UUID | None = None
    architecture: Architecture = X86_64
    flags: int = 0
    content: str | None = "ext4"
    tree: bytes | None = None
    signature: bytes | None = None
    fault: str | None = None


def slot(
    seed: int,
    name: str = "",
    *,
    designator: Designator = ROOT,
    architecture: Architecture = X86_64,
    flags: int = 0,
    signed: bool = True,
) -> list[Entry]:
    assert designator.hashes is not None
    assert designator.signature is not None
    found = root_hash(seed)
    entries = [
        Entry(designator, name, data_uuid(found), architecture, flags),
        Entry(designator.hashes, name, hash_uuid(found), architecture, flags, None, tree=found),
    ]
    if signed:
        entries.append(Entry(designator.signature, name, None, architecture, flags, None, signature=found))
    return entries


def contents(*entries: Entry, volumes: Sequence[Node] = ()) -> Contents:
    nodes = [node(number, entry) for number, entry in enumerate(entries, start=1)]
    partitions = tuple(each.partition for each in nodes if each.partition is not None)
    gpt = Gpt(DISK, 512, 1 << 30, 34, 1 << 20, partitions)
    root = Node("", NodeKind.DISK, "disk", 1 << 30, Location(""), gpt=gpt, children=(*nodes, *volumes))
    return Contents("disk", root)


def node(number: int, entry: Entry) -> Node:
    designator = entry.designator
    kind = type_guid(designator, entry.architecture if designator.versioned else None)
    first = number * 2048
    guid = entry.guid or UUID(int=number)
    partition = Partition(number, kind, guid, first, first + 2047, entry.flags, entry.name)
    parameters = VerityParameters(BLOCKS)
    return Node(
        str(number),
        NodeKind.PARTITION,
        entry.name,
        partition.size_bytes,
        Location(str(number), DISK, number, first),
        partition.offset_bytes,
        partition,
        superblocks=() if entry.content is None else (file_system(entry.content),),
        tree=None if entry.tree is None else FoundHashTree(VeritySuperblock(parameters, UUID(int=1)), entry.tree),
        signature=None if entry.signature is None else VeritySignature(entry.signature, b"pkcs7"),
        faults=() if entry.fault is None else (FormatError(entry.fault),),
    )


def volume(name: str, kind: str | None = "ext4") -> Node:
    superblocks = () if kind is None else (file_system(kind),)
    path = f"vg0/{name}"
    return Node(path, NodeKind.LOGICAL_VOLUME, name, 1 << 20, Location(path), superblocks=superblocks)


def path_of(choice: RootChoice) -> str | None:
    return None if choice.root is None else choice.root.data.path


def why(choice: RootChoice, path: str) -> Reason | None:
    (excluded,) = [each.excluded for each in choice.candidates if each.data.path == path]
    return None if excluded is None else excluded.reason


def reasons(choice: RootChoice) -> list[Reason]:
    return [problem.cause.reason for problem in choice.problems]


# Versions


@pytest.mark.parametrize(
    ("labels", "chosen"),
    [
        (["os_1", "os_2"], "2"),
        (["os_10", "os_9"], "1"),
        (["os_1~rc1", "os_1"], "2"),
        (["os_1", "os_1"], "1"),  # "earlier partitions (by their index) should always win"
        (["", "os_1"], "2"),
        (["", ""], "1"),
    ],
)
def test_the_newest_label_is_chosen(labels: list[str], chosen: str) -> None:
    choice = choose_root(contents(*(Entry(ROOT, label) for label in labels)))
    assert path_of(choice) == chosen
    assert choice.verdict is Verdict.UNPROTECTED
    (other,) = {"1", "2"} - {chosen}
    assert why(choice, other) in (ExclusionReason.OLDER, ExclusionReason.SAME_VERSION)


def test_labels_of_different_images_are_said() -> None:
    choice = choose_root(contents(Entry(ROOT, "debian_12"), Entry(ROOT, "fedora_40")))
    assert path_of(choice) == "2"
    assert choice.warnings == ("the labels are not versions of one image: debian_12, fedora_40",)


def test_what_is_not_to_be_found_is_out() -> None:
    choice = choose_root(
        contents(Entry(ROOT, "os_3", flags=FLAG_NO_AUTO), Entry(ROOT, "PRT#os_4"), Entry(ROOT, "PND#os_5"), Entry(ROOT))
    )
    assert path_of(choice) == "4"
    assert why(choice, "1") is ExclusionReason.NO_AUTO
    assert why(choice, "2") is ExclusionReason.INCOMPLETE
    assert why(choice, "3") is ExclusionReason.INCOMPLETE


def test_nothing_is_a_reason_too() -> None:
    choice = choose_root(contents(Entry(Designator.HOME)))
    assert choice.verdict is Verdict.NONE
    assert reasons(choice) == [ProblemReason.NOTHING]


# Slots


def test_copies_are_ambiguous_until_a_place_is_named() -> None:
    disk = contents(*slot(1, "os_1"), *slot(1, "os_1"))
    choice = choose_root(disk)
    assert choice.verdict is Verdict.AMBIGUOUS
    assert not choice.boots
    assert choice.root is None
    assert [each.data.path for each in choice.ambiguous] == ["1", "4"]
    (problem,) = choice.problems
    assert problem.cause.reason is ProblemReason.AMBIGUOUS_SLOT
    assert f"1 ({DISK}:1:2048) and 4 ({DISK}:4:8192)" in problem.cause.details
    for name in ("4", f"{DISK}:4", f"{DISK}:4:8192", f"{DISK}:4".upper()):
        named = choose_root(disk, slot=name)
        assert named.verdict is Verdict.VERITY
        assert named.root is not None
        assert named.root.hashes is not None
        assert named.root.signature is not None
        assert [named.root.data.path, named.root.hashes.path, named.root.signature.path] == ["4", "5", "6"]
    for name in ("2", "5", f"{DISK}:4:8193", f"{UUID(int=1)}:4", ""):
        assert choose_root(disk, slot=name).verdict is Verdict.NONE


def test_each_copy_has_the_tree_of_its_slot_however_they_are_ordered() -> None:
    first, second = slot(1), slot(1)
    disk = contents(first[0], second[0], first[1], second[1], first[2], second[2])
    for name, hashes, signature in (("1", "3", "5"), ("2", "4", "6")):
        root = choose_root(disk, slot=name).root
        assert root is not None
        assert root.hashes is not None
        assert root.signature is not None
        assert (root.hashes.path, root.signature.path) == (hashes, signature)


def test_a_copy_under_another_label_is_still_a_copy() -> None:
    assert choose_root(contents(*slot(1, "os_1"), *slot(1, "os_2"))).verdict is Verdict.AMBIGUOUS


def test_a_copy_that_is_set_aside_is_no_rival() -> None:
    choice = choose_root(contents(*slot(1), *slot(1, flags=FLAG_NO_AUTO)))
    assert (path_of(choice), choice.verdict) == ("1", Verdict.VERITY)


def test_copies_of_an_old_version_do_not_matter() -> None:
    choice = choose_root(contents(*slot(1, "os_1"), *slot(1, "os_1"), *slot(2, "os_2")))
    assert (path_of(choice), choice.verdict) == ("7", Verdict.VERITY)


# Pairing


def test_the_tree_of_the_chosen_one_not_the_first() -> None:
    old, new = slot(1, "os_1"), slot(2, "os_2")
    root = choose_root(contents(*old, *new)).root
    assert root is not None
    assert root.hashes is not None
    assert root.root_hash == root_hash(2)
    assert (root.data.path, root.hashes.path) == ("4", "5")


def test_a_root_hash_chooses() -> None:
    disk = contents(*slot(1, "os_1"), *slot(2, "os_2"))
    choice = choose_root(disk, root_hash=root_hash(1))
    assert path_of(choice) == "1"
    assert why(choice, "4") is ExclusionReason.NOT_OF_ROOT_HASH
    assert choose_root(disk, root_hash=root_hash(3)).verdict is Verdict.NONE


def test_a_root_hash_is_never_passed_over() -> None:
    """It names /usr when that has its UUID; otherwise nothing without it is used."""
    disk = contents(Entry(ROOT), *slot(1, designator=USR))
    choice = choose_root(disk, root_hash=root_hash(1))
    assert [each.data.path for each in choice.chosen] == ["1", "2"]
    assert choose_root(disk, root_hash=root_hash(2)).verdict is Verdict.NONE
    for entries in ([Entry(ROOT)], [Entry(Designator.LINUX_GENERIC)], slot(1)):
        policy = parse_image_policy("root=unprotected")
        choice = choose_root(contents(*entries), policy, root_hash=root_hash(1))
        assert choice.verdict is Verdict.NONE


@pytest.mark.parametrize(
    ("number", "change", "reason"),
    [
        (2, {"tree": root_hash(9)}, ExclusionReason.TREE_OF_OTHER_HASH),
        (2, {"tree": None, "fault": "verity: broken"}, ExclusionReason.TREE_UNREADABLE),
        (3, {"signature": root_hash(9)}, ExclusionReason.SIGNATURE_OF_OTHER_HASH),
        (3, {"signature": None, "fault": "no JSON"}, ExclusionReason.SIGNATURE_DAMAGED),
        (1, {"content": None}, ExclusionReason.NO_FILE_SYSTEM),
        (1, {"content": "swap"}, ExclusionReason.NOT_A_ROOT),
        (1, {"fault": "ext4: checksum"}, NodeReason.DAMAGED),
    ],
)
def test_what_does_not_fit_is_not_used(number: int, change: dict[str, object], reason: Reason) -> None:
    """Never a weaker verdict instead: what was meant to be protected is not used without."""
    entries = slot(1)
    entries[number - 1] = replace(entries[number - 1], **change)  # type: ignore[arg-type]
    choice = choose_root(contents(*entries))
    assert choice.verdict is Verdict.NONE
    assert reasons(choice) == [reason]


def test_a_tree_that_fits_nothing_is_not_passed_over() -> None:
    choice = choose_root(contents(Entry(ROOT), slot(1)[1]))
    assert choice.verdict is Verdict.NONE
    assert reasons(choice) == [ExclusionReason.TREE_UNCLAIMED]
    choice = choose_root(contents(Entry(ROOT), slot(1)[2]))
    assert reasons(choice) == [ExclusionReason.SIGNATURE_UNCLAIMED]


def test_a_tree_of_another_slot_is_not_missed() -> None:
    """Beside a slot with verity, one without may be, and the newest of them is taken: the policy decides."""
    disk = contents(*slot(1, "os_1"), Entry(ROOT, "os_2"))
    assert choose_root(disk).verdict is Verdict.UNPROTECTED
    choice = choose_root(disk, parse_image_policy("root=verity+signed"))
    assert (path_of(choice), choice.verdict) == ("1", Verdict.VERITY)
    assert why(choice, "4") is PolicyReason.POLICY_REQUIRES_PROTECTION


def test_trees_of_other_architectures_and_other_uses_are_not_looked_at() -> None:
    other = slot(1, architecture=ARM64)[1]
    usr = slot(1, designator=USR)[1]
    aside = replace(slot(1)[1], flags=FLAG_NO_AUTO)
    for stray in (other, usr, aside):
        assert choose_root(contents(Entry(ROOT), stray)).verdict is Verdict.UNPROTECTED


def test_a_signature_ties_what_has_other_uuids() -> None:
    entries = slot(1)
    entries[0] = replace(entries[0], guid=UUID(int=77))
    choice = choose_root(contents(*entries))
    assert choice.verdict is Verdict.VERITY
    assert choice.root is not None
    assert choice.root.root_hash == root_hash(1)
    assert "not the first 128 bits" in choice.warnings[0]


def test_a_hash_partition_with_another_uuid_is_said() -> None:
    entries = slot(1)
    entries[1] = replace(entries[1], guid=UUID(int=77))
    choice = choose_root(contents(*entries))
    assert choice.verdict is Verdict.VERITY
    assert "final 128 bits" in choice.warnings[0]


def test_a_tree_over_more_than_there_is() -> None:
    disk = contents(*slot(1))
    tree = disk.root.children[1]
    assert tree.tree is not None
    big = replace(tree.tree, superblock=VeritySuperblock(VerityParameters(BLOCKS + 1), UUID(int=1)))
    children = (disk.root.children[0], replace(tree, tree=big), disk.root.children[2])
    choice = choose_root(Contents("disk", replace(disk.root, children=children)))
    assert reasons(choice) == [ExclusionReason.TREE_TOO_LARGE]


# Policies


def test_a_policy_without_verity_does_not_look_at_it() -> None:
    entries = slot(1)
    entries[1] = replace(entries[1], tree=root_hash(9))
    choice = choose_root(contents(*entries), parse_image_policy("root=unprotected"))
    assert choice.verdict is Verdict.UNPROTECTED


def test_a_policy_without_signatures_does_not_miss_them() -> None:
    entries = slot(1)
    entries[2] = replace(entries[2], signature=root_hash(9))
    assert choose_root(contents(*entries), parse_image_policy("root=verity")).verdict is Verdict.VERITY
    assert choose_root(contents(*entries), parse_image_policy("root=signed")).verdict is Verdict.NONE


def test_an_unchecked_signature_is_none() -> None:
    choice = choose_root(contents(*slot(1)), parse_image_policy("root=signed"))
    assert choice.verdict is Verdict.NONE
    assert reasons(choice) == [ExclusionReason.POLICY_UNCHECKED_SIGNATURE]


def test_luks_is_encrypted() -> None:
    disk = contents(Entry(ROOT, content="crypto_LUKS"))
    assert choose_root(disk).verdict is Verdict.ENCRYPTED
    assert choose_root(disk, parse_image_policy("root=encrypted")).verdict is Verdict.ENCRYPTED
    assert choose_root(disk, parse_image_policy("root=verity")).verdict is Verdict.NONE


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        ("root=verity:swap=absent:=open", PolicyReason.POLICY_FORBIDS_PARTITION),
        ("root=verity:home=encrypted:=open", PolicyReason.POLICY_REQUIRES_PROTECTION),
        ("root=verity:srv=unprotected:=open", ProblemReason.PARTITION_ABSENT),
        ("root=verity+read-only-on:=open", PolicyReason.POLICY_FORBIDS_FLAG),
        ("root=verity+erofs:=open", PolicyReason.POLICY_REQUIRES_FILE_SYSTEM),
        ("root=verity:usr=verity:=open", ProblemReason.PARTITION_ABSENT),
        ("root=verity:root-verity-sig=absent:=open", PolicyReason.POLICY_FORBIDS_PARTITION),
        ("~", PolicyReason.POLICY_FORBIDS_PARTITION),
        ("-", ExclusionReason.POLICY_UNUSED),
    ],
)
def test_a_policy_refuses_an_image(policy: str, reason: Reason) -> None:
    disk = contents(*slot(1), Entry(Designator.SWAP, content="swap"), Entry(Designator.HOME))
    choice = choose_root(disk, parse_image_policy(policy))
    assert choice.verdict is Verdict.NONE
    assert reason in reasons(choice)


def test_a_policy_is_content() -> None:
    disk = contents(
        *(replace(entry, flags=FLAG_READ_ONLY) for entry in slot(1)), Entry(Designator.SWAP, content="swap")
    )
    policy = parse_image_policy("root=verity+read-only-on+ext4:swap=unprotected+absent")
    assert choose_root(disk, policy).verdict is Verdict.VERITY


# /usr and architectures


def test_root_and_usr() -> None:
    disk = contents(Entry(ROOT), *slot(1, "os_1", designator=USR), *slot(2, "os_2", designator=USR))
    choice = choose_root(disk)
    assert [each.data.path for each in choice.chosen] == ["1", "5"]
    assert choice.verdict is Verdict.UNPROTECTED  # the weakest of the two
    assert choose_root(disk, slot="2").usr is not None
    assert choose_root(disk, slot="2").verdict is Verdict.UNPROTECTED


def test_usr_alone_is_enough() -> None:
    disk = contents(*slot(1, designator=USR))
    assert choose_root(disk).verdict is Verdict.VERITY
    assert choose_root(disk, parse_image_policy("root=open:usr=verity")).boots
    choice = choose_root(disk, parse_image_policy("root=unprotected:usr=verity"))
    assert reasons(choice) == [ProblemReason.ROOT_ABSENT]


def test_a_bad_root_is_not_replaced_by_usr() -> None:
    choice = choose_root(contents(Entry(ROOT, content=None), *slot(1, designator=USR)))
    assert choice.verdict is Verdict.NONE


def test_a_bad_usr_is_a_reason() -> None:
    choice = choose_root(contents(Entry(ROOT), Entry(USR, fault="squashfs: broken")))
    assert choice.verdict is Verdict.NONE
    assert reasons(choice) == [ProblemReason.USR_EXCLUDED]
    assert "squashfs: broken" in str(choice.problems[0])


def test_architectures() -> None:
    disk = contents(*slot(1, "os_1"), *slot(2, "os_2", architecture=ARM64))
    choice = choose_root(disk)
    assert choice.verdict is Verdict.AMBIGUOUS
    assert choice.problems == (Problem(ProblemReason.AMBIGUOUS_ARCHITECTURE("root", "x86-64 and arm64")),)
    assert path_of(choose_root(disk, architecture=X86_64)) == "1"
    assert path_of(choose_root(disk, architecture=ARM64)) == "4"
    assert choose_root(disk, architecture=Architecture.S390X).verdict is Verdict.NONE


def test_usr_is_for_the_roots_architecture() -> None:
    disk = contents(Entry(ROOT), Entry(USR, "os_1"), Entry(USR, "os_2", architecture=ARM64))
    choice = choose_root(disk)
    assert [each.data.path for each in choice.chosen] == ["1", "2"]
    assert why(choice, "3") is ExclusionReason.OTHER_THAN_ROOT


# Images that do not say


def test_the_only_file_system_is_the_root() -> None:
    generic = Entry(Designator.LINUX_GENERIC)
    assert path_of(choose_root(contents(generic, Entry(Designator.ESP, content="vfat")))) == "1"
    choice = choose_root(contents(generic, generic))
    assert choice.verdict is Verdict.AMBIGUOUS
    assert path_of(choose_root(contents(generic, generic), slot="2")) == "2"


def test_a_typed_root_makes_generic_ones_no_candidates() -> None:
    choice = choose_root(contents(Entry(ROOT, flags=FLAG_NO_AUTO), Entry(Designator.LINUX_GENERIC)))
    assert choice.verdict is Verdict.NONE
    assert len(choice.candidates) == 1


def test_a_volume_named_root() -> None:
    disk = contents(volumes=[volume("root"), volume("home"), volume("swap", "swap")])
    choice = choose_root(disk)
    assert (path_of(choice), choice.verdict) == ("vg0/root", Verdict.UNPROTECTED)
    disk = contents(volumes=[volume("root_1"), volume("root_2")])
    assert choose_root(disk).verdict is Verdict.AMBIGUOUS
    assert path_of(choose_root(disk, slot="vg0/root_2")) == "vg0/root_2"
