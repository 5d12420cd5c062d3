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

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar
from uuid import UUID

from bootpath.formats.partitions.dps import data_uuid, hash_uuid
from bootpath.image.contents.nodes import Node
from bootpath.image.roots.reasons import Exclusion, ExclusionReason

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


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


class Siblings:
    """The partitions of one table that an image of one kind and architecture is made of, for all of its data.

    `same_kind` are those with data, in the order of the table, as `trees` and `signatures` are. A table may have a
    thousand of each, so they are looked up by what names them.
    """

    def __init__(self, same_kind: Sequence[Node], trees: Sequence[Node], signatures: Sequence[Node]) -> None:
        self.same_kind = same_kind
        self.trees = [(node, _tree_hash(node)) for node in trees]
        self.signatures = [(node, _signed_hash(node)) for node in signatures]
        self.copies = _grouped((node.partition.guid, node) for node in same_kind if node.partition)
        self.by_guid = _grouped((node.partition.guid, node) for node in trees if node.partition)
        self._trees = _grouped((found, node) for node, found in self.trees if found is not None)
        self._tree_hashes = _grouped((data_uuid(found), found) for found in self._trees)
        self._lone = [node for node in trees if node.tree is not None and node.tree.lone]
        self.signed = _grouped((found, node) for node, found in self.signatures if found is not None)
        self.signed_hashes = _grouped((data_uuid(found), found) for found in self.signed)
        self._place = {node.path: place for place, node in enumerate(trees)}

    def hashes_for(self, data: Node, guid: UUID) -> set[bytes]:
        """The root hashes of trees that are for data with this UUID."""
        lone = (node.tree.root_hash_for(data.path) for node in self._lone if node.tree is not None)
        return {*self._tree_hashes.get(guid, ()), *(found for found in lone if found and data_uuid(found) == guid)}

    def trees_of(self, data: Node, root_hash: bytes) -> list[Node]:
        """The trees of this root hash, if the data is this."""
        found = [node for node in self._lone if node.tree and node.tree.root_hash_for(data.path) == root_hash]
        return sorted((*self._trees.get(root_hash, ()), *found), key=lambda node: self._place[node.path])

    def own(self, data: Node, nodes: Sequence[Node]) -> Node:
        """The one of several equal nodes that is in the same slot: first to first, second to second."""
        place = next(index for index, node in enumerate(self.copies[_guid(data)]) if node.path == data.path)
        return nodes[min(place, len(nodes) - 1)]

    def unclaimed(self, data: Node, rows: Iterable[tuple[Node, bytes | None]]) -> Node | None:
        """The first of the nodes, with their root hashes, that is not for another data partition of the table."""
        own = _guid(data)
        for node, found in rows:
            guid = None if found is None else data_uuid(found)
            if guid is None or guid == own or guid not in self.copies:
                return node
        return None


def pair(data: Node, others: Siblings, *, root_hash: bytes | None = None) -> Pairing:
    """What protects `data`, one of the siblings. With a `root_hash` that the caller trusts, only that one counts."""
    guid = _guid(data)
    if root_hash is not None:
        if data_uuid(root_hash) != guid:
            return Pairing(problem=ExclusionReason.NOT_OF_ROOT_HASH())
        return _with_hash(data, others, root_hash, RootHashSource.CALLER)
    ours = others.hashes_for(data, guid)
    if len(ours) == 1:
        return _with_hash(data, others, ours.pop(), RootHashSource.UUIDS)
    signed = others.signed_hashes.get(guid)
    if signed:
        return _with_hash(data, others, signed[0], RootHashSource.SIGNATURE)
    return _without_uuids(data, others)


def _grouped(rows: Iterable[tuple[K, V]]) -> dict[K, list[V]]:
    """The values of each key, in their order."""
    groups: dict[K, list[V]] = {}
    for key, value in rows:
        groups.setdefault(key, []).append(value)
    return groups


def _guid(data: Node) -> UUID:
    assert data.partition is not None
    return data.partition.guid


def _tree_hash(node: Node) -> bytes | None:
    return None if node.tree is None else node.tree.root_hash


def _signed_hash(node: Node) -> bytes | None:
    return None if node.signature is None else node.signature.root_hash


def _with_hash(data: Node, others: Siblings, root_hash: bytes, source: RootHashSource) -> Pairing:
    """The tree and the signature of a root hash that is known."""
    trees = others.trees_of(data, root_hash)
    if not trees:
        named = next(iter(others.by_guid.get(hash_uuid(root_hash), ())), None)
        if named is None:
            why: Exclusion = ExclusionReason.TREE_MISSING()
        elif named.fault is not None:
            why = ExclusionReason.TREE_UNREADABLE(named.title, named.fault)
        else:
            why = ExclusionReason.TREE_OF_OTHER_HASH(named.title)
        return Pairing(root_hash=root_hash, source=source, problem=why)
    hashes = others.own(data, trees)
    problem = tree_misfit(data, hashes)
    notes = []
    if hashes.partition is not None and hashes.partition.guid != hash_uuid(root_hash):
        notes.append(f"the UUID of its hash partition {hashes.path} is not the final 128 bits of the root hash")
    signatures = others.signed.get(root_hash)
    signature = others.own(data, signatures) if signatures else None
    if signature is None and problem is None:
        stray = others.unclaimed(data, others.signatures)
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


def _without_uuids(data: Node, others: Siblings) -> Pairing:
    """No tree and no signature has a root hash that begins with the UUID of the data."""
    if len(others.same_kind) == len(others.trees) == len(others.signatures) == 1:
        # One of each: a signature that names the tree's root hash ties them without any UUID.
        ((hashes, _),), ((signature, signed),) = others.trees, others.signatures
        root_hash = None if hashes.tree is None else hashes.tree.root_hash_for(data.path)
        if root_hash is not None and signed == root_hash:
            note = "its UUID is not the first 128 bits of the root hash, which only the signature partition says"
            misfit = tree_misfit(data, hashes)
            return Pairing(hashes, signature, root_hash, RootHashSource.SIGNATURE, misfit, (note,))
    stray = others.unclaimed(data, others.trees)
    if stray is not None:
        return Pairing(
            problem=ExclusionReason.TREE_UNREADABLE(stray.title, stray.fault)
            if stray.fault is not None
            else ExclusionReason.TREE_UNCLAIMED(stray.path)
        )
    stray = others.unclaimed(data, others.signatures)
    if stray is not None:
        return Pairing(
            problem=signature_misfit(stray)
            if stray.fault is not None
            else ExclusionReason.SIGNATURE_UNCLAIMED(stray.path)
        )
    return Pairing()
