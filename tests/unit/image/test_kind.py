"""The kind of a disk, from contents made by hand."""

from __future__ import annotations

from uuid import UUID

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.formats.superblocks.value import Checksum, Superblock
from bootpath.image.contents.nodes import Contents, Location, Node, NodeKind
from bootpath.image.contents.read import read_contents
from bootpath.image.kind import DiskKind, KindReason, disk_kind


def superblock(kind: str) -> Superblock:
    return Superblock(
        kind=kind,
        offset=0,
        uuid=str(UUID(int=1)),
        label="",
        block_bytes=4096,
        size_bytes=1 << 20,
        checksum=Checksum.VALID,
    )


def contents(*children: Node, kinds: tuple[str, ...] = ()) -> Contents:
    superblocks = tuple(superblock(kind) for kind in kinds)
    return Contents(
        "disk", Node("", NodeKind.DISK, "disk", 1 << 22, Location(""), superblocks=superblocks, children=children)
    )


def volume(name: str, kind: str) -> Node:
    path = f"vg0/{name}"
    return Node(path, NodeKind.LOGICAL_VOLUME, name, 1 << 20, Location(path), superblocks=(superblock(kind),))


@pytest.mark.parametrize(
    ("found", "kind", "reason"),
    [
        (contents(kinds=("redoxfs",)), DiskKind.LIVE_REDOXFS, KindReason.REDOXFS),
        (contents(volume("root", "ext4"), volume("x", "redoxfs")), DiskKind.LIVE_REDOXFS, KindReason.REDOXFS),
        (contents(kinds=("ext4",)), DiskKind.LINUX, KindReason.ROOT_FILE_SYSTEM),
        (contents(volume("root", "squashfs")), DiskKind.LINUX, KindReason.ROOT_FILE_SYSTEM),
        (contents(), DiskKind.UNKNOWN, KindReason.NOTHING),
        (contents(kinds=("swap",)), DiskKind.UNKNOWN, KindReason.NOTHING),
    ],
)
def test_kinds(found: Contents, kind: DiskKind, reason: KindReason) -> None:
    judged = disk_kind(found)
    assert (judged.kind, judged.why.reason) == (kind, reason)


def test_zeros_are_of_no_kind() -> None:
    assert disk_kind(read_contents(MemoryDevice(bytes(1 << 20)))).kind is DiskKind.UNKNOWN
