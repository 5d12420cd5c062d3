from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.verity.signature import VeritySignature
from bootpath.formats.verity.tree import VerityParameters, VeritySuperblock
from bootpath.image.contents.nodes import FoundHashTree, Location, Node, NodeKind, is_signature_volume
from bootpath.image.roots.pairing import RootHashSource
from bootpath.image.roots.reasons import ExclusionReason
from bootpath.image.roots.volumepairing import pair_volume

ROOT_HASH = bytes(range(32))
BLOCKS = 16


def volume(path: str, kind: NodeKind = NodeKind.LOGICAL_VOLUME, size_bytes: int = BLOCKS * 4096) -> Node:
    return Node(path, kind, path.rpartition("/")[2], size_bytes, Location(path))


def tree(path: str, root_hash: bytes | None = ROOT_HASH, blocks: int = BLOCKS) -> Node:
    parameters = VerityParameters(data_blocks=blocks, salt=b"salt")
    return replace(volume(path), tree=FoundHashTree(VeritySuperblock(parameters, UUID(int=7)), root_hash))


def signature(path: str, root_hash: bytes = ROOT_HASH) -> Node:
    return replace(volume(path), signature=VeritySignature(root_hash, b"der", None))


DATA = volume("vg/root")


@pytest.mark.parametrize("dash", "-_")
def test_neighbours_by_name(dash: str) -> None:
    hashes, signed = tree(f"vg/root{dash}verity"), signature(f"vg/root{dash}verity{dash}sig")
    pairing = pair_volume(DATA, [DATA, hashes, signed])
    assert (pairing.hashes, pairing.signature, pairing.root_hash) == (hashes, signed, ROOT_HASH)
    assert pairing.source is RootHashSource.SIGNATURE
    assert pairing.problem is None


def test_who_says_the_root_hash() -> None:
    hashes = tree("vg/root-verity")
    assert pair_volume(DATA, [hashes]).source is RootHashSource.NAMES
    assert pair_volume(DATA, [hashes], root_hash=ROOT_HASH).source is RootHashSource.CALLER
    assert pair_volume(DATA, [hashes], root_hash=bytes(32)).problem is not None


def test_other_groups_and_other_kinds_are_no_neighbours() -> None:
    others = [tree("other/root-verity"), replace(tree("vg/root-verity"), kind=NodeKind.UBI_VOLUME), tree("vg/verity")]
    assert pair_volume(DATA, others).hashes is None
    assert pair_volume(DATA, others).problem is None
    assert pair_volume(replace(DATA, kind=NodeKind.DISK), [tree("vg/root-verity")]).hashes is None


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ([signature("vg/root-verity-sig")], ExclusionReason.SIGNED_TREE_MISSING),
        ([volume("vg/root-verity")], ExclusionReason.TREE_ABSENT),
        ([tree("vg/root-verity", None)], ExclusionReason.TREE_ABSENT),
        ([tree("vg/root-verity", blocks=BLOCKS + 1)], ExclusionReason.TREE_TOO_LARGE),
        ([tree("vg/root-verity"), signature("vg/root-verity-sig", bytes(32))], ExclusionReason.SIGNATURE_OF_OTHER_HASH),
        ([tree("vg/root-verity"), volume("vg/root-verity-sig")], ExclusionReason.SIGNATURE_EMPTY),
        (
            [tree("vg/root-verity"), replace(volume("vg/root-verity-sig"), faults=(FormatError("no JSON"),))],
            ExclusionReason.SIGNATURE_DAMAGED,
        ),
    ],
)
def test_what_was_meant_to_protect_is_never_passed_over(nodes: list[Node], reason: ExclusionReason) -> None:
    pairing = pair_volume(DATA, [DATA, *nodes])
    assert pairing.problem is not None
    assert pairing.problem.reason is reason
    assert pairing.hashes is None


def test_which_volumes_hold_signatures() -> None:
    assert is_signature_volume(volume("vg/root-verity-sig"))
    assert is_signature_volume(volume("ubi/root_verity_sig", NodeKind.UBI_VOLUME))
    assert not is_signature_volume(volume("vg/root-verity"))
    assert not is_signature_volume(volume("root-verity-sig", NodeKind.PARTITION))
