"""What kind of disk this is, decided once from what was read of it: a live disk of Redox, a Linux image, or neither.

Rules, in this order:

1. A RedoxFS anywhere, or a partition with the name that Redox's installer gives, makes it a live disk.
2. An optical medium, or an image of one, is that: its boot loader and its initramfs decide on the root.
3. What could be the root of a Linux makes it a Linux image: a partition of such a type, or a file system that a root
   is on, whatever a policy says of it.
4. Everything else is unknown. A loader that knows RedoxFS by fixed offsets may still find one there
   (`image.redox.discovery`).

Pure: nothing is read from the disk here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from bootpath.core.reasons import Explanation, Reason
from bootpath.formats.partitions.imagepolicy import parse_image_policy
from bootpath.image.contents.nodes import Contents
from bootpath.image.contents.partitions import is_medium
from bootpath.image.redox.layout import REDOX_NAME
from bootpath.image.roots.candidates import Terms, find_candidates
from bootpath.image.roots.choice import DEFAULT_POLICY


class DiskKind(Enum):
    """Which boot path a disk is for; the values are those of JSON pages."""

    LIVE_REDOXFS = "redoxfs"
    MEDIUM = "optical-medium"
    LINUX = "linux"
    UNKNOWN = "unknown"


class KindReason(Reason):
    """What decided on the kind of a disk."""

    REDOXFS = "{} holds a RedoxFS"
    REDOX_NAME = "{} is named {}"
    MEDIUM = "the disk is an optical medium with {}, whose boot loader and initramfs decide on the root"
    ROOT_TYPE = "{} is of a type for the root of a Linux, or for /usr"
    ROOT_FILE_SYSTEM = "{} holds a file system that could be the root of a Linux"
    NOTHING = "there is neither a RedoxFS nor anything that could be the root of a Linux"


@dataclass(frozen=True, slots=True)
class JudgedKind:
    """The kind of a disk, and why."""

    kind: DiskKind
    why: Explanation[KindReason]


def disk_kind(contents: Contents) -> JudgedKind:
    """Which kind of disk these contents are of."""
    for node in contents.nodes():
        if any(each.kind == "redoxfs" for each in node.superblocks):
            return JudgedKind(DiskKind.LIVE_REDOXFS, KindReason.REDOXFS(node.title))
    for node in contents.nodes():
        if node.name == REDOX_NAME and node.partition is not None:
            return JudgedKind(DiskKind.LIVE_REDOXFS, KindReason.REDOX_NAME(node.title, REDOX_NAME))
    if is_medium(contents.root):
        return JudgedKind(DiskKind.MEDIUM, KindReason.MEDIUM(contents.root.superblocks[0].kind))
    for candidate in find_candidates(contents, Terms(parse_image_policy(DEFAULT_POLICY))):
        if candidate.architecture is not None:
            return JudgedKind(DiskKind.LINUX, KindReason.ROOT_TYPE(candidate.data.title))
        if candidate.data.superblocks:
            return JudgedKind(DiskKind.LINUX, KindReason.ROOT_FILE_SYSTEM(candidate.data.title))
    return JudgedKind(DiskKind.UNKNOWN, KindReason.NOTHING())
