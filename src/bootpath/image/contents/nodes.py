"""The tree of what is on a disk, as values: the disk, partitions, logical volumes, UBI volumes, and what is in them.

A node is known by its `path`: the numbers and names by which one comes to it, "" for the disk itself::

    2            partition 2              vg0/root     logical volume root of the volume group vg0
    vg0/root/1   partition 1 in it        3/ubi/data   UBI volume data in partition 3

Paths are places: copying the content of one partition to another changes none. So are `Location`s, which say with the
disk's GUID, or its MBR's signature, and the first LBA also which disk it is.

A partition has an entry in a GPT (`partition`) or a record in an MBR (`record`); what both say is a property.
Logical partitions of an MBR are beside the extended one, as for Linux, and in that nothing is looked for.

Invariants: paths are unique in a tree; a child's path begins with its parent's; `table` is there exactly for logical
and UBI volumes that can be opened, and its rows name other nodes by their paths ("." for the disk).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from uuid import UUID

from bootpath.core.diskimage import DiskImage
from bootpath.core.errors import DeviceError, Error, FormatError, UnsupportedError
from bootpath.core.reasons import Explanation, Reason
from bootpath.formats.dm.table import Table
from bootpath.formats.named import Named
from bootpath.formats.partitions.dps import EMPTY_LABEL, Designator, DiscoverableType, discoverable_type, flag_names
from bootpath.formats.partitions.gpt import Gpt
from bootpath.formats.partitions.gptheader import Partition
from bootpath.formats.partitions.mbr import (
    ESP_TYPE,
    LINUX_TYPE,
    SWAP_TYPE,
    XBOOTLDR_TYPE,
    DiskSignature,
    Mbr,
    MbrPartition,
)
from bootpath.formats.superblocks.value import Superblock
from bootpath.formats.verity.signature import VeritySignature
from bootpath.formats.verity.tree import VeritySuperblock
from bootpath.image.contents.useas import UseAs


class NodeReason(Reason):
    """Why what is in a place cannot be used."""

    REFUSED = "{}"
    UNSUPPORTED = "{}"
    DAMAGED = "{}"
    SEVERAL_SUPERBLOCKS = "more than one superblock claims to be here: {}"


class NodeKind(Enum):
    """What a node is to the one above it."""

    DISK = "disk"
    PARTITION = "partition"
    LOGICAL_VOLUME = "logical volume"
    UBI_VOLUME = "UBI volume"


VOLUME_KINDS = (NodeKind.LOGICAL_VOLUME, NodeKind.UBI_VOLUME)
MBR_DESIGNATORS = {
    ESP_TYPE: Designator.ESP,
    XBOOTLDR_TYPE: Designator.XBOOTLDR,
    LINUX_TYPE: Designator.LINUX_GENERIC,
    SWAP_TYPE: Designator.SWAP,
}
"""What the types of an MBR say of a partition's use (UAPI.1; UEFI 2.10 §5.2.2)."""
SIGNATURE_SUFFIXES = ("-verity-sig", "_verity_sig")
"""How a volume is named that holds the signature of a root hash: nothing else says so."""


@dataclass(frozen=True, slots=True)
class Location:
    """Where a node is, never what it holds. Only a partition has `disk_id`, `number` and `first_lba`."""

    path: str
    disk_id: UUID | DiskSignature | None = None
    number: int | None = None
    first_lba: int | None = None

    def __str__(self) -> str:
        if self.number is None:
            return self.path or "the whole disk"
        return f"{self.path} ({self.disk_id}:{self.number}:{self.first_lba})"

    def is_named(self, name: str) -> bool:
        """True when `name` is this place: its path, or "disk:number", or "disk:number:first LBA".

        What holds a partition table, a volume for example, is also the place of the partitions in it.
        """
        if self.number is None:
            return name == self.path
        if "/" in self.path and name == self.path.rpartition("/")[0]:
            return True
        words = [str(self.disk_id), str(self.number), str(self.first_lba)]
        return name == self.path or name.lower().split(":") in (words[:2], words)


@dataclass(frozen=True, slots=True)
class FoundHashTree:
    """A dm-verity hash area that begins the node.

    `root_hash` is computed from the root block that is stored: a tree that begins with this block has this hash, and no
    other. A tree of a single data block has no root block: its hash depends on the data, `lone[path]` for each place
    that could be it.
    """

    superblock: VeritySuperblock
    root_hash: bytes | None
    lone: tuple[tuple[str, bytes], ...] = ()

    def root_hash_for(self, path: str) -> bytes | None:
        """The root hash when the data is at `path`."""
        return self.root_hash if self.root_hash is not None else dict(self.lone).get(path)


@dataclass(frozen=True, slots=True)
class Node:
    """A place and what was found there. `offset_bytes` is on the node above, None when it is not one run of it.

    `superblocks` are all that claim the place, `faults` what is damaged there (a partition table too, `gpt_fault`),
    `refusal` why it cannot be opened, `named` what is recognised and not read. `use` is what the files make of a file
    system of which no type says what it is.
    """

    path: str
    kind: NodeKind
    name: str
    size_bytes: int
    location: Location
    offset_bytes: int | None = None
    partition: Partition | None = None
    record: MbrPartition | None = None
    gpt: Gpt | None = None
    mbr: Mbr | None = None
    gpt_fault: FormatError | None = None
    superblocks: tuple[Superblock, ...] = ()
    tree: FoundHashTree | None = None
    signature: VeritySignature | None = None
    table: Table | None = None
    children: tuple[Node, ...] = ()
    faults: tuple[FormatError, ...] = ()
    refusal: Error | None = None
    use: UseAs | None = None
    warnings: tuple[str, ...] = ()
    named: tuple[Named, ...] = ()

    @property
    def title(self) -> str:
        """What a sentence calls it."""
        return "the whole disk" if self.kind is NodeKind.DISK else f"{self.kind.value} {self.path}"

    @property
    def type(self) -> DiscoverableType | None:
        """What the partition type says of it, where the specification knows it."""
        return None if self.partition is None else discoverable_type(self.partition.type_guid)

    @property
    def empty(self) -> bool:
        """True for a slot that its label calls empty. What an earlier image left in it is not looked at."""
        return self.partition is not None and self.name == EMPTY_LABEL

    @property
    def designator(self) -> Designator | None:
        """What it is for, by its partition type."""
        if self.record is not None:
            return MBR_DESIGNATORS.get(self.record.type)
        return None if self.type is None else self.type.designator

    @property
    def partuuid(self) -> str | None:
        """What Linux calls a partition."""
        if self.record is not None:
            return self.record.partuuid
        return None if self.partition is None else self.partition.partuuid

    @property
    def partition_table(self) -> Gpt | Mbr | None:
        """The partition table in it, of either kind."""
        return self.mbr if self.gpt is None else self.gpt

    @property
    def parent_path(self) -> str:
        """The path of the node whose partition or volume this is."""
        steps = self.path.split("/")
        return "/".join(steps[: -1 if self.kind is NodeKind.PARTITION else -2])

    @property
    def end_bytes(self) -> int:
        """Where a run of the node above ends."""
        return (self.offset_bytes or 0) + self.size_bytes

    @property
    def flags(self) -> tuple[str, ...]:
        """The specification's names of its partition flags; of an MBR's only "bootable"."""
        if self.record is not None:
            return ("bootable",) if self.record.bootable else ()
        return () if self.partition is None else flag_names(self.partition.flags)

    @property
    def content(self) -> Superblock | None:
        """The one superblock here, or None when there is none or no only one."""
        return self.superblocks[0] if len(self.superblocks) == 1 else None

    @property
    def fault(self) -> Explanation[NodeReason] | None:
        """The first reason why what is here cannot be used, or None."""
        if isinstance(self.refusal, UnsupportedError):
            return NodeReason.UNSUPPORTED(self.refusal)
        if self.refusal is not None:
            return NodeReason.REFUSED(self.refusal)
        if self.faults:
            return NodeReason.DAMAGED(self.faults[0])
        if len(self.superblocks) > 1:
            return NodeReason.SEVERAL_SUPERBLOCKS(", ".join(each.kind for each in self.superblocks))
        return None

    def walk(self) -> Iterator[Node]:
        """This node and all below, parents first."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True, slots=True)
class Contents:
    """What is on a disk. `incomplete` says why not everything was looked at; then nothing may be chosen from it.

    `unread` is the first failure of the disk, where others were to be looked at all the same; it makes it incomplete.
    `disk_images` is what the disk is packed in.
    """

    name: str
    root: Node
    incomplete: FormatError | None = None
    unread: DeviceError | None = None
    disk_images: tuple[DiskImage, ...] = ()
    _by_path: dict[str, Node] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_path", {node.path: node for node in self.root.walk()})

    @property
    def size_bytes(self) -> int:
        """The disk's size."""
        return self.root.size_bytes

    def nodes(self) -> tuple[Node, ...]:
        """Every node, parents first."""
        return tuple(self._by_path.values())

    def node(self, path: str) -> Node | None:
        """The node with this path."""
        return self._by_path.get(path)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What should be known and stops nobody, with the place in front."""
        return tuple(
            f"{node.path}: {warning}" if node.path else warning
            for node in self.root.walk()
            for warning in node.warnings
        )


def is_signature_volume(node: Node) -> bool:
    """True for a volume that is named as one with a signature."""
    return node.kind in VOLUME_KINDS and node.name.endswith(SIGNATURE_SUFFIXES)
