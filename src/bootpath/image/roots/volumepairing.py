"""Which hash tree and which signature belong to a volume of LVM2 or UBI: those that are named after it, beside it.

No specification says so: a volume has no type and no UUID that a root hash could be in. What the discoverable
partitions are called is taken for a rule: ``root`` is protected by ``root-verity``, whose root hash ``root-verity-sig``
signs (with underscores as well), all in one volume group, or on one flash. The names tie the three, the root hash that
is believed is that of the tree's root block, and the signature has to name it.

As with partitions, what was meant to protect something is never passed over: a tree that is damaged, or a signature of
another root hash, puts the volume out.
"""

from __future__ import annotations

from collections.abc import Sequence

from bootpath.image.contents.nodes import SIGNATURE_SUFFIXES, VOLUME_KINDS, Node
from bootpath.image.roots.pairing import Pairing, RootHashSource, signature_misfit, tree_misfit
from bootpath.image.roots.reasons import ExclusionReason

TREE_SUFFIXES = ("-verity", "_verity")


def pair_volume(data: Node, nodes: Sequence[Node], *, root_hash: bytes | None = None) -> Pairing:
    """What protects the volume `data` among the `nodes` of its disk; with a `root_hash`, only that one counts."""
    if data.kind not in VOLUME_KINDS:
        return Pairing()
    hashes = _beside(data, nodes, TREE_SUFFIXES)
    signature = _beside(data, nodes, SIGNATURE_SUFFIXES)
    if hashes is None:
        return Pairing(problem=None if signature is None else ExclusionReason.SIGNED_TREE_MISSING(signature.title))
    found = None if hashes.tree is None else hashes.tree.root_hash_for(data.path)
    if hashes.tree is None or found is None:
        if hashes.fault is None:
            return Pairing(problem=ExclusionReason.TREE_ABSENT(hashes.title))
        return Pairing(problem=ExclusionReason.TREE_UNREADABLE(hashes.title, hashes.fault))
    if root_hash is not None and found != root_hash:
        return Pairing(problem=ExclusionReason.OTHER_ROOT_HASH(hashes.title))
    problem = tree_misfit(data, hashes)
    if problem is not None:
        return Pairing(problem=problem)
    if signature is not None and (signature.signature is None or signature.signature.root_hash != found):
        return Pairing(problem=signature_misfit(signature))
    if root_hash is not None:
        source = RootHashSource.CALLER
    else:
        source = RootHashSource.NAMES if signature is None else RootHashSource.SIGNATURE
    return Pairing(hashes, signature, found, source)


def _beside(data: Node, nodes: Sequence[Node], suffixes: Sequence[str]) -> Node | None:
    """The volume of the same group, or flash, that is named after `data`."""
    paths = {data.path + suffix for suffix in suffixes}
    return next((node for node in nodes if node.kind is data.kind and node.path in paths), None)
