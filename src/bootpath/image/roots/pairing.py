"""Which hash tree and which signature belong to a partition, within its slot.

Source: UAPI.2 "Verity". A root hash ties the three: the hash partition's root block has it, the data partition's UUID
is its first 128 bits, the signature partition names it. What is believed is the root block, since its digest is
computed; UUIDs and signatures have to agree with it.

Identical slots (one bundle installed twice) give data partitions with one UUID and hash partitions with one root hash.
Any of these trees would protect any of the data, but a slot is a place: the first data partition of the table takes the
first tree, the second the second.

A hash or signature partition that belongs to nothing is never passed over: it was meant to protect something, and to
use that without it would be to believe what could not be checked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from uuid import UUID

from bootpath.formats.partitions.dps import data_uuid, hash_uuid
from bootpath.image.contents.nodes import Node
from bootpath.image.roots.reasons import Exclusion, ExclusionReason


class RootHashSource(Enum):
    """Who says which root hash it is."""

    CALLER = "given"
    SIGNATURE = "signature partition"
    UUIDS = "partition UUIDs"
    NAMES = "volume names"


@dataclass(frozen=True, slots=True)
class Pairing:
    """What belongs to a data partition; nothing when it is not protected. `problem` is why it must not be used."""

    hashes: Node | None = None
    signature: Node | None = None
    root_hash: bytes | None = None
    source: RootHashSource | None = None
    problem: Exclusion | None = None
    notes: tuple[str, ...] = ()


def pair(data: Node, siblings: Sequence[Node], *, root_hash: bytes | None = None) -> Pairing:
    """What protects `data` among its `siblings`: the partitions of its table that an image of its kind is made of.

    With a `root_hash` that the caller trusts, only that one counts.
    """
    others = _Siblings(data, siblings)
    if root_hash is not None:
        if data_uuid(root_hash) != others.guid:
            return Pairing(problem=ExclusionReason.NOT_OF_ROOT_HASH())
        return _with_hash(others, root_hash, RootHashSource.CALLER)
    ours = list(dict.fromkeys(found for tree in others.trees if (found := others.fits(tree, others.guid)) is not None))
    if len(ours) == 1:
        return _with_hash(others, ours[0], RootHashSource.UUIDS)
    signed = [
        node for node in others.signatures if node.signature and data_uuid(node.signature.root_hash) == others.guid
    ]
    if signed:
        assert signed[0].signature is not None
        return _with_hash(others, signed[0].signature.root_hash, RootHashSource.SIGNATURE)
    return _without_uuids(others)


class _Siblings:
    """The partitions beside `data`, sorted by what they can be to it."""

    def __init__(self, data: Node, siblings: Sequence[Node]) -> None:
        assert data.partition is not None
        assert data.designator is not None
        kind = data.designator
        self.data = data
        self.guid = data.partition.guid
        self.same_kind = [node for node in siblings if node.designator is kind]
        self.trees = [node for node in siblings if node.designator is kind.hashes]
        self.signatures = [node for node in siblings if node.designator is kind.signature]

    def fits(self, tree: Node, guid: UUID) -> bytes | None:
        """The root hash of a tree if it is for data with this UUID."""
        found = None if tree.tree is None else tree.tree.root_hash_for(self.data.path)
        return found if found is not None and data_uuid(found) == guid else None

    def own(self, nodes: Sequence[Node]) -> Node:
        """The one of several equal nodes that is in the same slot: first to first, second to second."""
        equals = [node for node in self.same_kind if node.partition and node.partition.guid == self.guid]
        place = next(index for index, node in enumerate(equals) if node.path == self.data.path)
        return nodes[min(place, len(nodes) - 1)]

    def unclaimed(self, nodes: Sequence[Node], hash_of: Callable[[Node], bytes | None]) -> Node | None:
        """The first of the nodes that is not for another data partition of the table."""
        guids = {node.partition.guid for node in self.same_kind if node.partition} - {self.guid}
        for node in nodes:
            found = hash_of(node)
            if found is None or data_uuid(found) not in guids:
                return node
        return None


def _tree_hash(node: Node) -> bytes | None:
    return None if node.tree is None else node.tree.root_hash


def _signed_hash(node: Node) -> bytes | None:
    return None if node.signature is None else node.signature.root_hash


def _with_hash(others: _Siblings, root_hash: bytes, source: RootHashSource) -> Pairing:
    """The tree and the signature of a root hash that is known."""
    data = others.data
    trees = [node for node in others.trees if node.tree and node.tree.root_hash_for(data.path) == root_hash]
    if not trees:
        named = next((n for n in others.trees if n.partition and n.partition.guid == hash_uuid(root_hash)), None)
        if named is None:
            why: Exclusion = ExclusionReason.TREE_MISSING()
        elif named.fault is not None:
            why = ExclusionReason.TREE_UNREADABLE(named.title, named.fault)
        else:
            why = ExclusionReason.TREE_OF_OTHER_HASH(named.title)
        return Pairing(root_hash=root_hash, source=source, problem=why)
    hashes = others.own(trees)
    problem = tree_misfit(data, hashes)
    notes = []
    if hashes.partition is not None and hashes.partition.guid != hash_uuid(root_hash):
        notes.append(f"the UUID of its hash partition {hashes.path} is not the final 128 bits of the root hash")
    signatures = [node for node in others.signatures if _signed_hash(node) == root_hash]
    signature = others.own(signatures) if signatures else None
    if signature is None and problem is None:
        stray = others.unclaimed(others.signatures, _signed_hash)
        if stray is not None:
            problem = signature_misfit(stray)
    return Pairing(hashes, signature, root_hash, source, problem, tuple(notes))


def tree_misfit(data: Node, hashes: Node) -> Exclusion | None:
    """Why a tree cannot cover this data although its root hash is right."""
    assert hashes.tree is not None
    covered = hashes.tree.superblock.parameters.data_bytes
    return ExclusionReason.TREE_TOO_LARGE(hashes.title, covered, data.size_bytes) if covered > data.size_bytes else None


def signature_misfit(signature: Node) -> Exclusion:
    """Why a signature that should be for a root hash is not."""
    if signature.fault is not None:
        return ExclusionReason.SIGNATURE_DAMAGED(signature.title, signature.fault)
    if signature.signature is None:
        return ExclusionReason.SIGNATURE_EMPTY(signature.title)
    return ExclusionReason.SIGNATURE_OF_OTHER_HASH(signature.title)


def _without_uuids(others: _Siblings) -> Pairing:
    """No tree and no signature has a root hash that begins with the UUID of the data."""
    if len(others.same_kind) == len(others.trees) == len(others.signatures) == 1:
        # One of each: a signature that names the tree's root hash ties them without any UUID.
        (hashes,), (signature,) = others.trees, others.signatures
        root_hash = None if hashes.tree is None else hashes.tree.root_hash_for(others.data.path)
        if root_hash is not None and _signed_hash(signature) == root_hash:
            note = "its UUID is not the first 128 bits of the root hash, which only the signature partition says"
            misfit = tree_misfit(others.data, hashes)
            return Pairing(hashes, signature, root_hash, RootHashSource.SIGNATURE, misfit, (note,))
    stray = others.unclaimed(others.trees, _tree_hash)
    if stray is not None:
        return Pairing(
            problem=ExclusionReason.TREE_UNREADABLE(stray.title, stray.fault)
            if stray.fault is not None
            else ExclusionReason.TREE_UNCLAIMED(stray.path)
        )
    stray = others.unclaimed(others.signatures, _signed_hash)
    if stray is not None:
        return Pairing(
            problem=signature_misfit(stray)
            if stray.fault is not None
            else ExclusionReason.SIGNATURE_UNCLAIMED(stray.path)
        )
    return Pairing()
