"""Why a candidate is not used, and why a disk has no root: reasons as values (`core.reasons`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from bootpath.core.reasons import Explanation, Reason


class ExclusionReason(Reason):
    """Why a candidate for the root, or for /usr, is not used."""

    NO_AUTO = "it has the flag no-auto, so it is not found unasked; --slot {} or --root-hash reaches it"
    INCOMPLETE = "its name {} says that it is not complete"
    EMPTY_SLOT = "it is an empty slot, by its label"
    OTHER_ARCHITECTURE = "it is for {}"
    OTHER_THAN_ROOT = "the root is for {}"
    NO_FILE_SYSTEM = "it holds no file system"
    NOT_A_ROOT = "it holds {}, which is no file system for a root"
    NO_SYSTEM = "by its files it is {}"
    # What belongs to it.
    NOT_OF_ROOT_HASH = "its UUID is not the first 128 bits of the root hash that was given"
    OTHER_ROOT_HASH = "its hash tree in {} has another root hash than the one that was given"
    NO_ROOT_HASH = "it has no hash tree to compare with the root hash that was given"
    TREE_MISSING = "there is no hash partition for its root hash"
    TREE_OF_OTHER_HASH = "{} should hold its hash tree, but has another root hash"
    TREE_TOO_LARGE = "it is truncated: its hash tree in {} covers {} bytes, and it has {}"
    TREE_UNCLAIMED = "hash partition {} belongs to no data: the UUID of the data is not the start of its root hash"
    TREE_UNREADABLE = "{} should hold its hash tree: {}"
    TREE_ABSENT = "{} should hold its hash tree, and holds none"
    SIGNATURE_DAMAGED = "its signature in {} is damaged: {}"
    SIGNATURE_EMPTY = "its signature in {} is empty"
    SIGNATURE_OF_OTHER_HASH = "its signature in {} is for another root hash"
    SIGNATURE_UNCLAIMED = "signature partition {} belongs to no hash partition"
    SIGNED_TREE_MISSING = "{} signs a hash tree that is missing"
    SIGNATURE_INVALID = "its signature does not count: {}"
    # What was asked for.
    POLICY_UNUSED = "the policy leaves it unused"
    POLICY_UNCHECKED_SIGNATURE = "{}; its signature was not checked, because no certificate was given"
    OTHER_SLOT = "it is not in the slot {}"
    NO_SUCH_SLOT = "there is no root in the slot {}"
    OLDER = "{} is older than {}"
    IDENTICAL = "it is identical to {}, which comes first"
    SAME_VERSION = "partition {} has the same version and comes first"
    FAILED_BEFORE = "{}"


Exclusion: TypeAlias = Explanation[Reason]
"""Why a candidate is not used: an `ExclusionReason`, what is wrong with its node (`image.contents.nodes.NodeReason`),
or what an image policy says (`formats.partitions.imagepolicy.PolicyReason`)."""


class ProblemReason(Reason):
    """Why a disk has no root, beside the exclusions of its candidates."""

    INCOMPLETE = "{}"
    NOTHING = "nothing on it could be the root"
    USR_EXCLUDED = "/usr cannot be used: {}"
    ROOT_ABSENT = "the policy requires a root partition, and there is none"
    PARTITION_ABSENT = "the policy requires a partition of type {}, and there is none"
    AMBIGUOUS_ARCHITECTURE = "ambiguous: there is a {} partition for each of {}; name the architecture"
    AMBIGUOUS_SLOT = (
        "ambiguous: identical {} partitions: {}; name the slot, or let --identical-slots first take the first"
    )
    AMBIGUOUS_PLACE = "ambiguous: more than one place could be the {}: {}; name the slot"


AMBIGUITIES = frozenset(
    {ProblemReason.AMBIGUOUS_ARCHITECTURE, ProblemReason.AMBIGUOUS_SLOT, ProblemReason.AMBIGUOUS_PLACE}
)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a disk would not boot: the cause, and where, "" for the disk as a whole."""

    cause: Explanation[Reason]
    where: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.cause}" if self.where else str(self.cause)
