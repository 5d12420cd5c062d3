"""What an inspection is asked, and what it says: one value for live disks, one for Linux images.

Both have the contents of the disk, what kind of disk it is, problems and warnings; `problems` is empty when the disk
would boot.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from bootpath.boot.linux.choice import LinuxRequest
from bootpath.boot.linux.result import LinuxBoot
from bootpath.core.reasons import Reason
from bootpath.image.contents.nodes import Contents
from bootpath.image.kind import JudgedKind
from bootpath.image.livemedia import LiveMedium
from bootpath.image.redox.describe import FileSystemInfo
from bootpath.image.redox.discovery import FoundRedoxFS
from bootpath.image.roots.candidates import Candidate
from bootpath.image.roots.choice import RootChoice
from bootpath.image.roots.reasons import Problem


class InspectionReason(Reason):
    """Why a disk does not boot, beside what keeps a Linux image from having a root (`image.roots.reasons`)."""

    EMPTY = "the disk is smaller than one block of 512 bytes"
    REDOXFS_UNUSABLE = "{}"
    BOOT_FILE_MISSING = "the file is missing, and a loader needs it"
    BOOT_FILE_WRONG = "the file has the magic {}, and a loader expects {}"
    NO_ROOT_HASH = "a RedoxFS has no hash tree to compare with the root hash that was given"
    NOT_AS_PROMISED = "{}"
    NO_LOADER = "the medium has nothing that firmware would run: no boot image, and no boot code or EFI partition"


@dataclass(frozen=True, slots=True)
class InspectionRequest:
    """What to look for, and what to demand: `linux` is what is asked of a boot; `full` reads all of a root that has a
    hash tree, or checksums.

    `in_parts` also shows a disk of which not all can be read (`read_contents`); it has no root then.
    """

    linux: LinuxRequest = field(default_factory=LinuxRequest)
    password: bytes | None = None
    full: bool = False
    in_parts: bool = False


class Check(Enum):
    """What all data of a root was compared with, and so what that is worth."""

    HASH_TREE = "hash-tree"
    """dm-verity: it is what the root hash stands for."""
    ERASEBLOCK_CRCS = "eraseblock-crcs"
    """A static UBI volume: it is not damaged by chance. Who can change the data can change these."""


@dataclass(frozen=True, slots=True)
class CheckedContent:
    """All data of the node at `path` was read, and agrees."""

    path: str
    against: Check


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectedDisk:
    """What every inspection has."""

    contents: Contents
    kind: JudgedKind
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The disk's name."""
        return self.contents.name

    @property
    def size_bytes(self) -> int:
        """The disk's size."""
        return self.contents.size_bytes

    @property
    def boots(self) -> bool:
        """True when a loader would find, open and load everything it needs."""
        return not self.problems


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveInspection(InspectedDisk):
    """A disk with a RedoxFS: all that were found, the one a loader takes, and what is in it.

    `file_system` is None for one that is damaged, or `locked`: encrypted, and no password was given.
    """

    found: tuple[FoundRedoxFS, ...]
    chosen: FoundRedoxFS | None = None
    file_system: FileSystemInfo | None = None
    locked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LinuxInspection(InspectedDisk):
    """A disk without a RedoxFS, with the decision that a loader comes to (`boot.linux.load`).

    `checked` is what was read as a whole, which needs `InspectionRequest.full`. `medium` is what the disk is when it is
    an optical medium: it boots when firmware finds its loader, or when ours finds an entry.
    """

    boot: LinuxBoot
    medium: LiveMedium | None = None
    checked: tuple[CheckedContent, ...] = ()

    @property
    def choice(self) -> RootChoice:
        """What could be the root, and why it is not."""
        return self.boot.order.choice

    @property
    def mounted(self) -> tuple[Candidate, ...]:
        """What would be mounted: the root, though there may be nothing that boots it, and its /usr."""
        root, usr = self.boot.root, self.choice.usr
        return () if root is None else (root,) if usr is None else (root, usr)

    def was_read(self, path: str) -> bool:
        """True when all data of the node at `path` was read and compared."""
        return any(each.path == path for each in self.checked)


Inspection: TypeAlias = LiveInspection | LinuxInspection
