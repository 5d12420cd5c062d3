"""How a kernel is told where a root is: by its partition, its volume, and the same of its hash tree and signature.

None where nothing names a place to a kernel: a partition inside a partition or inside a volume of UBI, a volume whose
carrier is one. A partition inside a volume of LVM2 is named by both.
"""

from __future__ import annotations

from bootpath.core.device import SECTOR_BYTES, Device
from bootpath.core.errors import FormatError
from bootpath.formats.cmdline.address import (
    DeviceAddress,
    DiskAddress,
    LogicalVolumeAddress,
    PartitionAddress,
    RootAddress,
    RootVerity,
    UbiAddress,
    VolumePartitionAddress,
)
from bootpath.formats.cmdline.devices import Slot
from bootpath.formats.dm.targets import device_names
from bootpath.formats.lvm2.label import read_lvm2
from bootpath.formats.ubi.attach import read_ubi
from bootpath.image.contents.nodes import Contents, Node, NodeKind
from bootpath.image.contents.read import open_node
from bootpath.image.contents.volumes import path_of
from bootpath.image.roots.candidates import Candidate


def name_root(disk: Device, contents: Contents, candidate: Candidate) -> RootAddress | None:
    """How a kernel is told of a root. Raises FormatError, also where Linux finds no partitions, and DeviceError."""
    data = _spot(disk, contents, candidate.data)
    if data is None:
        return None
    force = _needs_force(contents)
    if candidate.hashes is None:
        return RootAddress(data, force_gpt=force)
    hashes = _spot(disk, contents, candidate.hashes)
    return None if hashes is None else RootAddress(data, _verity_of(candidate, hashes), force)


def name_signature(disk: Device, contents: Contents, candidate: Candidate) -> DeviceAddress | None:
    """How a kernel is told of a root's signature, None where there is none. Raises as `name_root`."""
    return None if candidate.signature is None else _spot(disk, contents, candidate.signature)


def name_partition(node: Node) -> PartitionAddress:
    """How a kernel is told of a partition of the disk, or of the volume that it is in."""
    location = node.location
    assert node.partuuid is not None
    assert location.number is not None
    slot = None
    if location.disk_id is not None and location.first_lba is not None:
        slot = Slot(location.disk_id, location.number, location.first_lba)
    return PartitionAddress(node.partuuid, location.number, slot)


def _needs_force(contents: Contents) -> bool:
    """True when Linux has to be told to believe the GPT of the disk. Raises FormatError when it never does."""
    gpt = contents.root.gpt
    if gpt is None:
        return False
    if gpt.misplaced_lba is not None:
        raise FormatError(
            "the only good copy of the partition table is where Linux does not look for it",
            where=contents.name,
            found=f"LBA {gpt.misplaced_lba}",
            expected=f"LBA {gpt.last_lba}, the end of the disk",
            hint="repair the table first",
        )
    return gpt.needs_force


def _spot(disk: Device, contents: Contents, node: Node) -> DeviceAddress | None:
    if node.kind is NodeKind.DISK:
        return DiskAddress()
    if node.kind is NodeKind.PARTITION:
        return _inside(disk, contents, node) if node.parent_path else name_partition(node)
    if node.parent_path:
        # A volume on a volume: only one whose carrier is a partition of the disk has a name.
        above = contents.node(node.parent_path)
        if node.kind is NodeKind.LOGICAL_VOLUME or above is None or above.parent_path:
            return None
    if node.kind is NodeKind.UBI_VOLUME:
        ubi = read_ubi(open_node(disk, contents, node.parent_path))
        ubifs = any(each.kind == "ubifs" for each in node.superblocks)
        return next((UbiAddress(each.name, each.number, ubifs) for each in ubi.volumes if each.name == node.name), None)
    return _logical_volume(disk, contents, node)


def _inside(disk: Device, contents: Contents, node: Node) -> VolumePartitionAddress | None:
    """A partition of the disk image in a logical volume. Raises FormatError, DeviceError."""
    above = contents.node(node.parent_path)
    if above is None or above.kind is not NodeKind.LOGICAL_VOLUME or node.offset_bytes is None:
        return None
    volume = _spot(disk, contents, above)
    if not isinstance(volume, LogicalVolumeAddress):
        return None
    first, sectors = node.offset_bytes // SECTOR_BYTES, node.size_bytes // SECTOR_BYTES
    return VolumePartitionAddress(volume, name_partition(node), first, sectors)


def _logical_volume(disk: Device, contents: Contents, node: Node) -> LogicalVolumeAddress:
    """A volume by its names, its UUIDs, and the partitions it is made of. Raises FormatError, DeviceError."""
    group_name, name = node.path.split("/")[-2:]
    lines = () if node.table is None else node.table.lines
    arguments = dict.fromkeys(argument for line in lines for argument in device_names(line))
    members: list[tuple[str, DiskAddress | PartitionAddress]] = []
    group_uuid = uuid = ""
    for argument in arguments:
        carrier = contents.node(path_of(argument))
        # A physical volume inside another volume has no name that a kernel knows.
        if carrier is None or carrier.parent_path or carrier.table is not None:
            return LogicalVolumeAddress(group_name, name)
        members.append((argument, DiskAddress() if carrier.kind is NodeKind.DISK else name_partition(carrier)))
        group = read_lvm2(open_node(disk, contents, carrier.path)).group
        for volume in () if group is None or group.name != group_name else group.logical_volumes:
            if group is not None and volume.name == name:
                group_uuid, uuid = group.uuid, volume.uuid
    return LogicalVolumeAddress(group_name, name, group_uuid, uuid, node.table, tuple(members))


def _verity_of(candidate: Candidate, hashes: DeviceAddress) -> RootVerity | None:
    if candidate.hashes is None or candidate.hashes.tree is None or candidate.root_hash is None:
        return None
    superblock = candidate.hashes.tree.superblock
    return RootVerity(hashes, candidate.root_hash, superblock.parameters, superblock.tree_start(0))
