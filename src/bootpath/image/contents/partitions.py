"""Partition tables as parts of the tree: which one a place has, and its partitions as nodes, not yet looked into.

Rules, as Linux's (block/partitions/efi.c, msdos.c) and libblkid's:

1. A GPT counts, unless the MBR before it does not protect it and has partitions of its own: then the GPT is left over.
2. The boot sector of a FAT, an exFAT or an NTFS ends as an MBR does, and is none.
3. Any other file system may stand beside an MBR; both are shown, with a warning, and neither is preferred.
4. An ISO 9660, or UDF, may stand beside a table of either kind, and be meant: a hybrid medium, which boots as a disc
   and as a disk. Its partitions lie in it, and one of them begins where it does; else it is left over, as in rule 3.
5. Partitions are divided further by a GPT only, and not where they begin with the table that they are in.

What is wrong with one partition refuses that one: it ends before it begins, or beyond the device, or is not on its
blocks.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from uuid import UUID

from bootpath.block.targets.linear import Linear
from bootpath.core.device import Device, Identity, checked
from bootpath.core.errors import DeviceError, Error, FormatError, LimitError
from bootpath.formats.iso9660.descriptors import DESCRIPTORS_OFFSET
from bootpath.formats.partitions.gpt import probe_gpt, read_gpt
from bootpath.formats.partitions.gptheader import GPT_BLOCK_SIZES, GPT_SIGNATURE, Partition
from bootpath.formats.partitions.mbr import DiskSignature, Mbr, MbrPartition, has_partitions, read_mbr
from bootpath.formats.region import Region
from bootpath.formats.superblocks.iso9660 import probe_iso9660
from bootpath.formats.superblocks.registry import Prober, scan_superblocks
from bootpath.formats.superblocks.udf import probe_udf
from bootpath.formats.superblocks.value import Superblock
from bootpath.image.contents.nodes import Location, Node, NodeKind

MEDIA_PROBERS: Mapping[str, Prober] = {"iso9660": probe_iso9660, "udf": probe_udf}
"""What is looked for beside a GPT: it leaves room for the descriptors of optical media, and for no other superblock."""
_BOOT_SECTORS = frozenset({"vfat", "exfat"})
"""File systems whose first sector ends as an MBR does. That of NTFS, which is not read here, `read_mbr` knows."""


def with_gpt(node: Node, device: Device) -> Node:
    """The node with its GPT, or with the fault of a damaged one. Raises DeviceError."""
    if node.offset_bytes == 0 or not _probe_gpt(device, node.kind):
        return node
    try:
        gpt = read_gpt(device)
    except FormatError as fault:
        return replace(node, gpt_fault=fault, faults=(*node.faults, fault))
    if node.kind is not NodeKind.PARTITION and has_partitions(device):
        return node  # `with_mbr` says why
    return replace(node, gpt=gpt, warnings=(*node.warnings, *gpt.warnings))


def with_mbr(node: Node, device: Device) -> Node:
    """The node, whose superblocks are known, with its MBR. Raises DeviceError."""
    if node.kind is NodeKind.PARTITION:
        return node
    try:
        mbr = read_mbr(device)
    except LimitError as fault:
        return replace(node, faults=(*node.faults, fault))
    kinds = {each.kind for each in node.superblocks}
    if mbr is None or kinds & _BOOT_SECTORS or any(fault.where == "vfat" for fault in node.faults):
        return node
    if mbr.protective:
        # What is wrong with the GPT is said already.
        return node if node.gpt_fault is not None else _with_table(node, mbr, ())
    if not mbr.partitions:
        # It may as well be boot code, which a table without anything in it is not worth a warning.
        return node if node.superblocks or node.faults or not mbr.signature.value else _with_table(node, mbr, ())
    hybrid = replace(node, mbr=mbr)
    if is_hybrid(hybrid, (each.offset_bytes for each in mbr.partitions)):
        return replace(hybrid, gpt_fault=None)
    return replace(_with_table(node, mbr, _beside(node, device)), gpt_fault=None, faults=())


def with_medium(node: Node, device: Device) -> Node:
    """The node, whose GPT is known, with the optical medium that it may be as well. Raises DeviceError."""
    assert node.gpt is not None
    result = scan_superblocks(device, probers=MEDIA_PROBERS, head_bytes=0)
    found = replace(node, superblocks=result.found)
    if is_hybrid(found, (each.offset_bytes for each in node.gpt.partitions)):
        return replace(found, warnings=())
    return replace(node, warnings=(*node.warnings, *(_left_over(each) for each in result.found)))


def is_medium(node: Node) -> bool:
    """True for a disk that is an optical medium, or an image of one: nothing is left over of it."""
    if node.kind is not NodeKind.DISK or not _media_of(node):
        return False
    parts = [child.offset_bytes for child in node.children if child.kind is NodeKind.PARTITION]
    return is_hybrid(node, (offset for offset in parts if offset is not None)) if parts else not node.children


def is_hybrid(node: Node, offsets: Iterable[int]) -> bool:
    """True when partitions that begin at these bytes lie in the medium that the node is, and divide it."""
    return bool(_media_of(node)) and any(offset <= DESCRIPTORS_OFFSET for offset in offsets)


def _media_of(node: Node) -> list[Superblock]:
    return [each for each in node.superblocks if each.kind in MEDIA_PROBERS]


def _with_table(node: Node, mbr: Mbr, warnings: Iterator[str] | tuple[str, ...]) -> Node:
    return replace(node, mbr=mbr, warnings=(*node.warnings, *mbr.warnings, *warnings))


def _beside(node: Node, device: Device) -> Iterator[str]:
    """What is in a place that has an MBR with partitions, too. Damage there is no damage of the partitions."""
    if _probe_gpt(device, node.kind):
        yield "there is a GPT beside the MBR, which does not protect it: Linux uses the MBR"
    for each in node.superblocks:
        yield _left_over(each)
    for fault in node.faults:
        if fault is not node.gpt_fault:
            yield f"beside the partition table: {fault}"


def _left_over(each: Superblock) -> str:
    return f"there is {each.kind} beside the partition table: either may be left over"


def _probe_gpt(device: Device, kind: NodeKind) -> bool:
    if kind is not NodeKind.PARTITION:
        return probe_gpt(device)
    # A backup alone at the end of a partition is more likely left over than meant.
    region = Region(device)
    return any(region.peek(size, len(GPT_SIGNATURE)) == GPT_SIGNATURE for size in GPT_BLOCK_SIZES)


def partition_nodes(above: Node, device: Device) -> tuple[Node, ...]:
    """The partitions of the node's table, none of which has been opened."""
    if above.gpt is not None:
        entries = sorted((*above.gpt.partitions, *above.gpt.backward), key=lambda each: each.number)
        return tuple(_entry(above, above.gpt.disk_guid, each, device) for each in entries)
    if above.mbr is not None:
        return tuple(_entry(above, above.mbr.signature, each, device) for each in above.mbr.partitions)
    return ()


def partition_device(lower: Device, node: Node) -> Device:
    """The device of a partition. Raises DeviceError when it is refused."""
    assert node.offset_bytes is not None
    guid = None if node.partition is None else node.partition.guid
    identity = Identity(f"{lower.identity.name}: partition {node.path}", partition_guid=guid)
    return checked(Linear(lower, node.offset_bytes, node.size_bytes, identity=identity))


def _entry(above: Node, disk_id: UUID | DiskSignature, each: Partition | MbrPartition, device: Device) -> Node:
    path = f"{above.path}/{each.number}" if above.path else str(each.number)
    return Node(
        path,
        NodeKind.PARTITION,
        each.name if isinstance(each, Partition) else "",
        each.size_bytes,
        Location(path, disk_id, each.number, each.first_lba),
        offset_bytes=each.offset_bytes,
        partition=each if isinstance(each, Partition) else None,
        record=each if isinstance(each, MbrPartition) else None,
        refusal=_refusal(each, device),
    )


def _refusal(each: Partition | MbrPartition, device: Device) -> Error | None:
    """Why a partition cannot be opened on this device, or None."""
    if isinstance(each, Partition) and each.backward:
        return FormatError("the partition ends before it begins", found=f"LBA {each.first_lba} to {each.last_lba}")
    end = each.offset_bytes + each.size_bytes
    if end > device.size_bytes:
        return DeviceError(
            "the partition ends beyond the device",
            errno=errno.EINVAL,
            found=f"byte {end}",
            expected=f"at most byte {device.size_bytes}",
            hint="is the image truncated?",
        )
    if (each.offset_bytes | each.size_bytes) % device.block_bytes:
        return DeviceError(
            "the partition is not on blocks of the device",
            errno=errno.EINVAL,
            found=f"{each.size_bytes} bytes at byte {each.offset_bytes}",
            expected=f"multiples of {device.block_bytes}",
            hint="the table was made for a device with smaller blocks",
        )
    return None
