"""A first look at a disk: its contents, read once and handed on, and the kind of disk that they make it.

A disk whose contents show neither a RedoxFS nor a Linux may still be a live disk: Redox's loaders know where to look by
heart (`image.redox.discovery`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bootpath.block.targets.log import Log
from bootpath.core.device import Device, checked
from bootpath.core.iolog import Read, Record
from bootpath.image.contents.nodes import Contents
from bootpath.image.contents.read import read_contents
from bootpath.image.kind import DiskKind, JudgedKind, KindReason, disk_kind
from bootpath.image.redox.discovery import Discovery, search_redoxfs


@dataclass(frozen=True, slots=True)
class Look:
    """The contents of a disk, the reads that were made for them, and what kind of disk they make it.

    `redoxfs` is where a loader finds a RedoxFS; None for a disk of another kind.
    """

    contents: Contents
    reads: tuple[Read, ...] = field(repr=False)
    judged: JudgedKind
    redoxfs: Discovery | None = None

    @property
    def live(self) -> bool:
        """True for a live disk."""
        return self.redoxfs is not None


def look_at(disk: Device, *, in_parts: bool = False) -> Look:
    """Read what is on `disk`, which stays the caller's; `in_parts`: see `read_contents`.

    Raises DeviceError when it cannot be read.
    """
    reads: list[Read] = []

    def sink(record: Record) -> None:
        if isinstance(record, Read):
            reads.append(record)

    seen = checked(Log(disk, sink))
    contents = read_contents(seen, in_parts=in_parts)
    judged, root = disk_kind(contents), contents.root
    discovery = None
    if judged.kind is not DiskKind.LINUX:
        found = search_redoxfs(seen, root.gpt)
        if found:
            discovery = Discovery(root.gpt, root.gpt_fault, found)
    if judged.kind is DiskKind.UNKNOWN and discovery is not None:
        judged = JudgedKind(DiskKind.LIVE_REDOXFS, KindReason.REDOXFS(discovery.places[0].found_by))
    return Look(contents, tuple(reads), judged, discovery)
