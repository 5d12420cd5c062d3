"""A first look at a disk: its contents, read once and handed on, and the kind of disk that they make it."""

from __future__ import annotations

from dataclasses import dataclass

from bootpath.block.targets.log import Log
from bootpath.core.device import Device, checked
from bootpath.core.iolog import Read, Record
from bootpath.image.contents.nodes import Contents
from bootpath.image.contents.read import read_contents
from bootpath.image.kind import JudgedKind, disk_kind


@dataclass(frozen=True, slots=True)
class Look:
    """The contents of a disk, the reads that were made for them, and what kind of disk they make it."""

    contents: Contents
    reads: tuple[Read, ...]
    judged: JudgedKind


def look_at(disk: Device) -> Look:
    """Read what is on `disk`, which stays the caller's. Raises DeviceError when it cannot be read at all."""
    reads: list[Read] = []

    def sink(record: Record) -> None:
        if isinstance(record, Read):
            reads.append(record)

    contents = read_contents(checked(Log(disk, sink)))
    return Look(contents, tuple(reads), disk_kind(contents))
