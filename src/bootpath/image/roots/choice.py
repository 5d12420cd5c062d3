"""Choosing the root, and /usr, among the candidates; the verdict a boot loader acts on.

Rules, in this order:

1. Slots are places. Two candidates with one partition UUID are copies of one slot in two places: a slot that the caller
   names decides between them, or the caller who says that the first will do (`IdenticalSlots`).
2. "mount the partition whose label compares the highest ... when in doubt earlier partitions (by their index) should
   always win over later partitions if the label comparison is inconclusive" (UAPI.2).
3. /usr must be for the architecture of the root. Candidates for several architectures are an ambiguity, unless the
   caller names one: this library does not ask on which machine it runs.
4. A policy that refuses any partition refuses the image.

5. A slot or a root hash that the caller names overrules the flag no-auto, which is about finding a partition unasked.

Without partitions that say they are root or /usr, all that is left must be one (`image.roots.candidates`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from bootpath.core.device import Device
from bootpath.formats.entries.vercmp import compare_versions, split_version, version_key
from bootpath.formats.partitions.dps import FLAG_NO_AUTO, Architecture, Designator
from bootpath.formats.partitions.imagepolicy import ImagePolicy, Protection, parse_image_policy
from bootpath.image.contents.nodes import Contents, Node, NodeKind
from bootpath.image.contents.read import open_node
from bootpath.image.roots.candidates import Candidate, Terms, find_candidates, locations, set_aside
from bootpath.image.roots.reasons import AMBIGUITIES, Exclusion, ExclusionReason, Problem, ProblemReason
from bootpath.image.verity.tree import Mismatch, Progress, check_tree

DEFAULT_POLICY = "*"
SIGNED_POLICY = "root=signed+absent:usr=signed+absent:=open"
"""The policy of a caller who gives certificates and no policy: nothing unsigned is the system."""

_POLICY_DESIGNATORS = tuple(d for d in Designator if d not in (Designator.USER_HOME, Designator.LINUX_GENERIC))


class IdenticalSlots(Enum):
    """What to do with copies of one image in two slots when nothing says which one: refuse, or take the first."""

    REFUSE = "refuse"
    FIRST = "first"


class Verdict(Enum):
    """How sure it is that what would be mounted is what was made, the weakest of root and /usr."""

    SIGNED = "signed"
    VERITY = "verity"
    ENCRYPTED = "encrypted"
    UNPROTECTED = "unprotected"
    AMBIGUOUS = "ambiguous"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class RootChoice:
    """What would be the root, and /usr. `candidates` are all, each excluded one with its reason.

    `ambiguous` are those between which only a slot decides; `problems` why there is no root.
    """

    root: Candidate | None
    usr: Candidate | None
    candidates: tuple[Candidate, ...]
    ambiguous: tuple[Candidate, ...] = ()
    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def chosen(self) -> tuple[Candidate, ...]:
        """Root and /usr, those that there are."""
        return tuple(candidate for candidate in (self.root, self.usr) if candidate is not None)

    @property
    def ambiguity(self) -> Problem | None:
        """The problem that only whoever names a slot, or an architecture, can decide."""
        return next((problem for problem in self.problems if problem.cause.reason in AMBIGUITIES), None)

    @property
    def verdict(self) -> Verdict:
        """How sure, in one word."""
        if self.ambiguous:
            return Verdict.AMBIGUOUS
        if self.problems or not self.chosen:
            return Verdict.NONE
        order = list(Protection)
        return Verdict[max((candidate.protection for candidate in self.chosen), key=order.index).name]

    @property
    def boots(self) -> bool:
        """True when there is a root, and only one."""
        return self.verdict not in (Verdict.AMBIGUOUS, Verdict.NONE)


def effective_policy(policy: ImagePolicy | None, certificates: Sequence[bytes]) -> ImagePolicy:
    """The policy that counts when a caller gives this one, or none, and these certificates."""
    if policy is not None:
        return policy
    return parse_image_policy(SIGNED_POLICY if certificates else DEFAULT_POLICY)


def choose_root(
    contents: Contents,
    policy: ImagePolicy | None = None,
    certificates: Iterable[bytes] = (),
    slot: str | None = None,
    *,
    architecture: Architecture | None = None,
    root_hash: bytes | None = None,
    now: datetime | None = None,
    identical: IdenticalSlots = IdenticalSlots.REFUSE,
) -> RootChoice:
    """The root of what is on a disk, and /usr, with the reason for each candidate that is excluded.

    `policy` None is "*", or `SIGNED_POLICY` when there are `certificates` (PEM or DER, each trusted for itself); `slot`
    names a place (`Location.is_named`); `root_hash` is trusted. Raises Error when a library is missing.
    """
    if slot is not None or root_hash is not None:
        contents = replace(contents, root=without_no_auto(contents.root))
    trusted = tuple(certificates)
    policy = effective_policy(policy, trusted)
    candidates = find_candidates(contents, Terms(policy, trusted, architecture, root_hash, now))
    if slot is not None:
        candidates = _in_slot(candidates, slot)
    problems = _refusals(contents, policy)
    if contents.incomplete is not None:
        problems.insert(0, Problem(ProblemReason.INCOMPLETE(contents.incomplete)))
    root = _best(candidates, Designator.ROOT).one_of(identical)
    architecture = root.chosen[0].architecture if root.chosen else None
    usr = _best(candidates, Designator.USR, architecture=architecture).one_of(identical)
    outdone = {**root.outdone, **usr.outdone}
    candidates = tuple(replace(each, excluded=outdone.get(each.data.path, each.excluded)) for each in candidates)
    if not root.chosen and not (usr.chosen and not root.considered):
        problems += _why_none(candidates, root.considered)
    elif not root.chosen and not policy.may_be_absent(Designator.ROOT):
        problems.append(Problem(ProblemReason.ROOT_ABSENT()))
    if usr.considered and not usr.chosen and root.chosen:
        problems += [
            Problem(ProblemReason.USR_EXCLUDED(candidate.excluded), str(candidate.data.location))
            for candidate in usr.considered
        ]
    ambiguous = tuple(each for found in (root, usr) for each in found.chosen if len(found.chosen) > 1)
    return RootChoice(
        root.only,
        usr.only,
        candidates,
        ambiguous,
        (*problems, *_ambiguities(root.chosen), *_ambiguities(usr.chosen)),
        (*root.warnings, *usr.warnings, *_notes(root.chosen), *_notes(usr.chosen)),
    )


def check_candidate(
    disk: Device, contents: Contents, candidate: Candidate, *, progress: Progress | None = None
) -> list[Mismatch]:
    """Read all of the data of a candidate and its whole hash tree; the first mismatches. Raises DeviceError.

    Without a hash tree there is nothing to compare with, and nothing is read.
    """
    if candidate.hashes is None or candidate.hashes.tree is None or candidate.root_hash is None:
        return []
    superblock = candidate.hashes.tree.superblock
    return check_tree(
        open_node(disk, contents, candidate.data.path),
        open_node(disk, contents, candidate.hashes.path),
        superblock.parameters,
        candidate.root_hash,
        start_block=superblock.tree_start(0),
        progress=progress,
    )


@dataclass(frozen=True, slots=True)
class _Best:
    """The best of one designator: none, one, or several that only a slot tells apart.

    `outdone` are those that another one is better than, by path.
    """

    considered: tuple[Candidate, ...]
    chosen: tuple[Candidate, ...]
    outdone: dict[str, Exclusion]
    warnings: tuple[str, ...] = ()

    @property
    def only(self) -> Candidate | None:
        return self.chosen[0] if len(self.chosen) == 1 else None

    def one_of(self, identical: IdenticalSlots) -> _Best:
        """The first of copies of one image, if the caller says so."""
        if identical is IdenticalSlots.REFUSE or len(self.chosen) < 2 or _is_ambiguous(self.chosen):
            return self
        first, *others = self.chosen
        outdone = {each.data.path: ExclusionReason.IDENTICAL(first.data.path) for each in others}
        warning = f"{locations(self.chosen)} are identical; the first is taken, by --identical-slots first"
        return _Best(self.considered, (first,), {**self.outdone, **outdone}, (*self.warnings, warning))


def _in_slot(candidates: Sequence[Candidate], slot: str) -> tuple[Candidate, ...]:
    """Exclude those of the slot's designator that are elsewhere; all, when the slot is the place of none."""
    named = {candidate.designator for candidate in candidates if candidate.data.location.is_named(slot)}
    exclusion = ExclusionReason.OTHER_SLOT(slot) if named else ExclusionReason.NO_SUCH_SLOT(slot)
    return tuple(
        candidate
        if candidate.excluded is not None
        or candidate.data.location.is_named(slot)
        or (named and candidate.designator not in named)
        else candidate.exclude(exclusion)
        for candidate in candidates
    )


def _best(
    candidates: Sequence[Candidate], designator: Designator, *, architecture: Architecture | None = None
) -> _Best:
    considered = tuple(candidate for candidate in candidates if candidate.designator is designator)
    outdone: dict[str, Exclusion] = {}
    usable = [candidate for candidate in considered if candidate.excluded is None]
    if architecture is not None:
        for candidate in usable:
            if candidate.architecture is not architecture:
                outdone[candidate.data.path] = ExclusionReason.OTHER_THAN_ROOT(architecture.value)
        usable = [candidate for candidate in usable if candidate.data.path not in outdone]
    if not usable:
        return _Best(considered, (), outdone)
    if usable[0].data.partition is None or usable[0].architecture is None:
        return _Best(considered, tuple(usable), outdone)  # generic: nothing says which one is meant
    chosen: list[Candidate] = []
    warnings: list[str] = []
    for each in dict.fromkeys(candidate.architecture for candidate in usable):
        group = [candidate for candidate in usable if candidate.architecture is each]
        best = max(group, key=lambda candidate: version_key(candidate.label))  # the first of equals
        uuid = _uuid(best)
        for other in group:
            if _uuid(other) == uuid:
                chosen.append(other)
            elif compare_versions(other.label, best.label) < 0:
                outdone[other.data.path] = ExclusionReason.OLDER(
                    other.label or "a partition without a name", best.label
                )
            else:
                outdone[other.data.path] = ExclusionReason.SAME_VERSION(best.data.path)
        if len({split_version(candidate.label)[0] for candidate in group}) > 1:
            names = ", ".join(candidate.label or "no name" for candidate in group)
            warnings.append(f"the labels are not versions of one image: {names}")
    return _Best(considered, tuple(chosen), outdone, tuple(warnings))


def _uuid(candidate: Candidate) -> object:
    return None if candidate.data.partition is None else candidate.data.partition.guid


def _ambiguities(chosen: Sequence[Candidate]) -> list[Problem]:
    if len(chosen) < 2:
        return []
    kind = chosen[0].designator.value
    architectures = [each.architecture.value for each in chosen if each.architecture is not None]
    if len(set(architectures)) > 1:
        return [Problem(ProblemReason.AMBIGUOUS_ARCHITECTURE(kind, " and ".join(dict.fromkeys(architectures))))]
    reason = ProblemReason.AMBIGUOUS_SLOT if chosen[0].architecture is not None else ProblemReason.AMBIGUOUS_PLACE
    return [Problem(reason(kind, locations(chosen)))]


def _is_ambiguous(chosen: Sequence[Candidate]) -> bool:
    """True when these are not copies of one image: places that no type calls a root, or roots of two architectures."""
    architectures = {each.architecture for each in chosen}
    return len(architectures) > 1 or None in architectures


def without_no_auto(node: Node) -> Node:
    """The node, and all below, without the flag no-auto."""
    partition = node.partition
    if partition is not None:
        partition = replace(partition, flags=partition.flags & ~FLAG_NO_AUTO)
    return replace(node, partition=partition, children=tuple(without_no_auto(child) for child in node.children))


def _notes(chosen: Sequence[Candidate]) -> list[str]:
    return [f"{candidate.data.path}: {note}" for candidate in chosen for note in candidate.notes]


def _why_none(candidates: Sequence[Candidate], considered: Sequence[Candidate]) -> list[Problem]:
    concerned = [candidate for candidate in considered or candidates if candidate.excluded is not None]
    if not concerned:
        return [Problem(ProblemReason.NOTHING())]
    return [Problem(each.excluded, str(each.data.location)) for each in concerned if each.excluded is not None]


def _refusals(contents: Contents, policy: ImagePolicy) -> list[Problem]:
    """What the policy says of all the other partitions, and of those that are not there."""
    present: dict[Designator, list[str]] = {}
    problems: list[Problem] = []
    for node in contents.nodes():
        designator = node.designator
        if node.kind is not NodeKind.PARTITION or designator is None or set_aside(node) is not None:
            continue
        present.setdefault(designator, []).append(node.path)
        if designator in (Designator.ROOT, Designator.USR) or designator not in _POLICY_DESIGNATORS:
            continue
        locked = node.content is not None and node.content.kind == "crypto_LUKS"
        judgement = policy.judge(
            designator,
            Protection.ENCRYPTED if locked else Protection.UNPROTECTED,
            gpt_flags=0 if node.partition is None else node.partition.flags,
            file_system=None if node.content is None else node.content.kind,
        )
        if judgement.refused is not None:
            problems.append(Problem(judgement.refused, str(node.location)))
    for designator in _POLICY_DESIGNATORS:
        # What protects root and /usr is missed there, unless the policy names it; a root may also be a volume.
        implied = designator is Designator.ROOT or (
            designator.data is not designator and designator not in policy.rules
        )
        if designator not in present and not policy.may_be_absent(designator) and not implied:
            problems.append(Problem(ProblemReason.PARTITION_ABSENT(designator.value)))
    return problems
