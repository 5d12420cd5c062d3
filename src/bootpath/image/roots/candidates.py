"""What could be the root, and /usr: each candidate, how it is protected, and why it is excluded.

Source: UAPI.2 (which partitions, the flag no-auto, names of unfinished updates), systemd.image-policy(7). A candidate
is excluded with a reason, never dropped. What is left is for `image.roots.choice` to choose from.

Where the table has no partition for root or /usr of any architecture, generic ones count, and the volumes of LVM2 and
UBI, and the disk itself: those with a file system of the kind a root is on; when any are named root or rootfs, only
these. Of the others nothing but their files says that they are roots, so these are looked at (`image.contents.useas`):
what has no init, or extends another system, is excluded, unless it has boot entries and nothing has an init. A
partition of type XBOOTLDR that holds a whole system is one of them: it has that type so that loaders which look for
entries nowhere else find those in it.

A partition with the flag no-auto is judged like any other, with all that belongs to it, and then excluded: whoever
names its slot or its root hash gets it, and `image.roots.choice` may keep it as the last resort.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import TypeAlias

from bootpath.core.errors import SignatureError
from bootpath.formats.entries.vercmp import split_version
from bootpath.formats.partitions.dps import FLAG_NO_AUTO, Architecture, Designator, data_uuid, is_partial
from bootpath.formats.partitions.imagepolicy import ImagePolicy, PolicyFlag, Protection
from bootpath.image.contents.nodes import Contents, Node, NodeKind, is_signature_volume
from bootpath.image.roots.pairing import Pairing, RootHashSource, Siblings, pair
from bootpath.image.roots.reasons import Exclusion, ExclusionReason
from bootpath.image.roots.volumepairing import pair_volume
from bootpath.image.signatures.roothash import Signer, verify_root_hash

ROOT_KINDS = frozenset({"ext2", "ext3", "ext4", "btrfs", "xfs", "erofs", "squashfs", "f2fs", "ubifs", "crypto_LUKS"})
_ROOT_NAMES = frozenset({"root", "rootfs"})


class SignatureCheck(Enum):
    """What is known of a candidate's signature."""

    NONE = "none"
    UNCHECKED = "not checked"  # no certificate was given
    VALID = "valid"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place that could be `designator` (root or usr). `protection` is how it would be used.

    `excluded` says why it is not to be used, None when it may be; `signer` is there when the signature was checked.
    """

    designator: Designator
    data: Node
    architecture: Architecture | None = None
    hashes: Node | None = None
    signature: Node | None = None
    root_hash: bytes | None = None
    root_hash_source: RootHashSource | None = None
    protection: Protection = Protection.UNPROTECTED
    signature_check: SignatureCheck = SignatureCheck.NONE
    signer: Signer | None = None
    excluded: Exclusion | None = None
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Name and version, as they are compared."""
        return self.data.name

    def exclude(self, exclusion: Exclusion) -> Candidate:
        """The same candidate, excluded."""
        return replace(self, excluded=exclusion)


@dataclass(frozen=True, slots=True)
class Terms:
    """What is asked of a candidate."""

    policy: ImagePolicy
    certificates: tuple[bytes, ...] = ()
    architecture: Architecture | None = None
    root_hash: bytes | None = None
    now: datetime | None = None


def find_candidates(contents: Contents, terms: Terms) -> tuple[Candidate, ...]:
    """Every candidate for root and /usr, in the order of the tree. Raises Error when a library is missing."""
    nodes = contents.nodes()
    data = [node for node in nodes if node.designator in (Designator.ROOT, Designator.USR)]
    if data:
        # A root hash is for one of the two: for the one that has its UUID, or, when neither has, for both.
        meant = {node.designator for node in data if terms.root_hash is not None and _has_uuid(node, terms.root_hash)}
        other = replace(terms, root_hash=None) if meant else terms
        siblings = _siblings(nodes, terms, lambda node: set_aside(node) is None)
        hidden = _siblings(nodes, terms, is_usable)
        return tuple(
            _typed(node, hidden if is_hidden(node) else siblings, terms if node.designator in meant else other)
            for node in data
        )
    generic = [node for node in nodes if _is_generic(node) or _is_boot_and_root(node)]
    systems = any(node.use is not None and node.use.is_root for node in generic)
    named = [node for node in generic if split_version(node.name)[0].lower() in _ROOT_NAMES]
    protected = bool(terms.policy.flags(Designator.ROOT) & (PolicyFlag.VERITY | PolicyFlag.SIGNED))
    return tuple(
        _by_use(
            _judged(
                Candidate(Designator.ROOT, node),
                pair_volume(node, nodes, root_hash=terms.root_hash) if protected else Pairing(),
                terms,
            ),
            named=bool(named),
            systems=systems,
        )
        for node in named or generic
    )


def set_aside(node: Node) -> Exclusion | None:
    """Why discovery has to skip a partition, or None."""
    if not is_usable(node):
        return ExclusionReason.EMPTY_SLOT() if node.empty else ExclusionReason.INCOMPLETE(node.name)
    return ExclusionReason.NO_AUTO(node.path) if is_hidden(node) else None


def is_usable(node: Node) -> bool:
    """False for a partition that its label calls empty, or not complete."""
    return node.partition is None or not (node.empty or is_partial(node.name))


def is_hidden(node: Node) -> bool:
    """True for a partition with the flag no-auto."""
    return node.partition is not None and bool(node.partition.flags & FLAG_NO_AUTO)


_Key: TypeAlias = tuple[str, Designator, Architecture | None]
"""A kind of partition in one table, by the path of what holds it."""


def _siblings(nodes: Sequence[Node], terms: Terms, counts: Callable[[Node], bool]) -> Mapping[_Key, Siblings]:
    """What belongs together, for each kind of data in each table: its architecture's, of the nodes that count."""
    found: dict[_Key, list[Node]] = {}
    for node in nodes:
        kind = node.type
        if node.partition is not None and kind is not None and counts(node):
            found.setdefault((node.parent_path, kind.designator, kind.architecture), []).append(node)

    def of(above: str, designator: Designator, architecture: Architecture | None) -> Siblings:
        def others(role: Designator | None) -> list[Node]:
            return [] if role is None else found.get((above, role, architecture), [])

        # "the image will be set up with Verity, but the signature data will not be used"
        signed = terms.policy.flags(designator) & PolicyFlag.SIGNED
        signatures = others(designator.signature) if signed else []
        return Siblings(others(designator), others(designator.hashes), signatures)

    return {key: of(*key) for key in found if key[1] in (Designator.ROOT, Designator.USR)}


def _typed(data: Node, siblings: Mapping[_Key, Siblings], terms: Terms) -> Candidate:
    """A partition that its type says is root or /usr."""
    assert data.type is not None
    candidate = Candidate(data.type.designator, data, data.type.architecture)
    if terms.architecture is not None and candidate.architecture is not terms.architecture:
        assert candidate.architecture is not None
        return candidate.exclude(ExclusionReason.OTHER_ARCHITECTURE(candidate.architecture.value))
    aside = set_aside(data)
    if aside is not None and not is_usable(data):
        return candidate.exclude(aside)
    # Without verity, signed or not, nothing is paired.
    pairing = Pairing()
    if terms.policy.flags(candidate.designator) & (PolicyFlag.VERITY | PolicyFlag.SIGNED):
        others = siblings[data.parent_path, candidate.designator, candidate.architecture]
        pairing = pair(data, others, root_hash=terms.root_hash)
    judged = _judged(candidate, pairing, terms)
    return judged if aside is None or judged.excluded is not None else judged.exclude(aside)


def _has_uuid(node: Node, root_hash: bytes) -> bool:
    return node.partition is not None and node.partition.guid == data_uuid(root_hash)


def _judged(candidate: Candidate, pairing: Pairing, terms: Terms) -> Candidate:
    """The candidate with what protects it, and with the first reason against it."""
    data = candidate.data
    candidate = replace(
        candidate,
        hashes=pairing.hashes,
        signature=pairing.signature,
        root_hash=pairing.root_hash,
        root_hash_source=pairing.source,
        notes=pairing.notes,
    )
    if data.refusal is not None and data.fault is not None:
        return candidate.exclude(data.fault)
    if pairing.problem is not None:
        return candidate.exclude(pairing.problem)
    if terms.root_hash is not None and pairing.root_hash != terms.root_hash:
        return candidate.exclude(ExclusionReason.NO_ROOT_HASH())
    if pairing.hashes is not None:
        candidate = _signed(replace(candidate, protection=Protection.VERITY), terms)
    elif data.content is not None and data.content.kind == "crypto_LUKS":
        candidate = replace(candidate, protection=Protection.ENCRYPTED)
    if candidate.excluded is None:
        candidate = _by_policy(candidate, terms.policy)
    if candidate.excluded is None and data.fault is not None:
        candidate = candidate.exclude(data.fault)
    if candidate.excluded is None and (data.content is None or data.content.kind not in ROOT_KINDS):
        if data.content is None:
            candidate = candidate.exclude(ExclusionReason.NO_FILE_SYSTEM())
        else:
            candidate = candidate.exclude(ExclusionReason.NOT_A_ROOT(data.content.kind))
    return candidate


def _signed(candidate: Candidate, terms: Terms) -> Candidate:
    """The candidate with what its signature is worth."""
    if candidate.signature is None:
        return candidate
    assert candidate.signature.signature is not None
    assert candidate.root_hash is not None
    if not terms.certificates:
        return replace(candidate, signature_check=SignatureCheck.UNCHECKED)
    try:
        signer = verify_root_hash(
            candidate.signature.signature.signature, candidate.root_hash, terms.certificates, now=terms.now
        )
    except SignatureError as fault:
        return candidate.exclude(ExclusionReason.SIGNATURE_INVALID(fault))
    return replace(candidate, protection=Protection.SIGNED, signature_check=SignatureCheck.VALID, signer=signer)


def _by_policy(candidate: Candidate, policy: ImagePolicy) -> Candidate:
    data = candidate.data
    judgement = policy.judge(
        candidate.designator,
        candidate.protection,
        gpt_flags=0 if data.partition is None else data.partition.flags,
        file_system=None if data.content is None else data.content.kind,
    )
    if judgement.refused is not None:
        if candidate.signature_check is SignatureCheck.UNCHECKED:
            return candidate.exclude(ExclusionReason.POLICY_UNCHECKED_SIGNATURE(judgement.refused))
        return candidate.exclude(judgement.refused)
    if judgement.protection is None:
        return candidate.exclude(ExclusionReason.POLICY_UNUSED())
    return replace(candidate, protection=judgement.protection)


def _by_use(candidate: Candidate, *, named: bool, systems: bool) -> Candidate:
    """The candidate, excluded when its files show that it is no root.

    A name says that it is one. Without an init, what has boot entries is one where nothing else has an init.
    """
    use = candidate.data.use
    if candidate.excluded is not None or named or use is None or use.is_root or use.unknown:
        return candidate
    if use.may_be_root and not systems:
        return candidate
    return candidate.exclude(ExclusionReason.NO_SYSTEM(use.described))


def _is_generic(node: Node) -> bool:
    """A place that may be the root of an image which does not say."""
    if node.kind is NodeKind.PARTITION and node.designator is not Designator.LINUX_GENERIC:
        return False
    if node.gpt is not None or set_aside(node) is not None or is_signature_volume(node):
        return False
    # A file system may stand beside an MBR: which of them is left over, nothing says.
    if node.children and (node.mbr is None or not node.superblocks):
        return False
    if node.kind is NodeKind.DISK and not node.superblocks and not node.faults:
        return False
    return not node.superblocks or _holds_root(node)


def _is_boot_and_root(node: Node) -> bool:
    """True for a partition of type XBOOTLDR that is more: the root."""
    is_root = node.use is not None and node.use.is_root
    return is_root and node.designator is Designator.XBOOTLDR and set_aside(node) is None


def _holds_root(node: Node) -> bool:
    return any(each.kind in ROOT_KINDS for each in node.superblocks)


def locations(candidates: Iterable[Candidate]) -> str:
    """Where the candidates are, in one line."""
    return " and ".join(str(candidate.data.location) for candidate in candidates)
