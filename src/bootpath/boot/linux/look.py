"""A first look at a disk: its contents, read once, and the kind of disk that they make it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from bootpath.block.targets.log import Log
from bootpath.boot.linux.choice import LinuxRequest, order_roots
from bootpath.core.device import Device, checked
from bootpath.core.iolog import Read, Record
from bootpath.image.contents.nodes import Contents
from bootpath.image.contents.read import read_contents


class DiskKind(Enum):
    """What can be booted from a disk; the text stands in messages."""

    LIVE = "a RedoxFS"
    LINUX = "an image-based Linux"
    UNKNOWN = "neither a RedoxFS nor an image-based Linux"


@dataclass(frozen=True, slots=True)
class Look:
    """The contents of a disk, and the reads that were made for them."""

    contents: Contents
    reads: tuple[Read, ...]

    @property
    def kind(self) -> DiskKind:
        """A RedoxFS makes it a live disk, whatever else is there; then whatever could be the root of a Linux counts."""
        if any(each.kind == "redoxfs" for node in self.contents.nodes() for each in node.superblocks):
            return DiskKind.LIVE
        candidates = order_roots(self.contents, LinuxRequest()).choice.candidates
        if any(each.architecture is not None or each.data.superblocks for each in candidates):
            return DiskKind.LINUX
        return DiskKind.UNKNOWN


def look_at(disk: Device) -> Look:
    """Read what is on `disk`, which stays the caller's. Raises DeviceError when it cannot be read at all."""
    reads: list[Read] = []

    def sink(record: Record) -> None:
        if isinstance(record, Read):
            reads.append(record)

    contents = read_contents(checked(Log(disk, sink)))
    return Look(contents, tuple(reads))
