"""Where a root is, in terms of a disk, and what a kernel calls the devices there.

A `RootAddress` is found by a loader. How it is said to a kernel depends on the `RootStyle`: on who assembles the root,
and on whether the loader knows what the kernel will call the disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from bootpath.core.errors import BootError
from bootpath.formats.cmdline.devices import Slot
from bootpath.formats.dm.table import Table
from bootpath.formats.verity.tree import VerityParameters


@dataclass(frozen=True, slots=True)
class DiskAddress:
    """The whole disk: a file system without a partition table."""


@dataclass(frozen=True, slots=True)
class PartitionAddress:
    """A partition: the UUID as Linux writes PARTUUID, its number, and its slot."""

    partuuid: str
    number: int
    slot: Slot | None = None


@dataclass(frozen=True, slots=True)
class LogicalVolumeAddress:
    """A volume of LVM2, by names and by UUIDs ("" where they are not known).

    `table` has its device-mapper lines, whose devices `members` are; None when the kernel cannot assemble it.
    """

    group: str
    name: str
    group_uuid: str = ""
    uuid: str = ""
    table: Table | None = None
    members: tuple[tuple[str, DiskAddress | PartitionAddress], ...] = ()


@dataclass(frozen=True, slots=True)
class VolumePartitionAddress:
    """A partition of the disk image in a volume of LVM2, from a sector of the volume on, so many of them."""

    volume: LogicalVolumeAddress
    partition: PartitionAddress
    first_sector: int
    sectors: int


@dataclass(frozen=True, slots=True)
class UbiAddress:
    """A UBI volume: its name, and its number, by which its block device is called; whether a UBIFS is in it."""

    name: str
    number: int
    ubifs: bool = False


DeviceAddress: TypeAlias = DiskAddress | PartitionAddress | LogicalVolumeAddress | VolumePartitionAddress | UbiAddress


@dataclass(frozen=True, slots=True)
class RootVerity:
    """What protects a root: where its hashes are, from which hash block on, and the hash to believe."""

    hashes: DeviceAddress
    root_hash: bytes
    parameters: VerityParameters
    start_block: int = 1


@dataclass(frozen=True, slots=True)
class RootAddress:
    """Where a root is, and the verity between it and the file system.

    `force_gpt`: Linux finds the partitions of the disk only with its parameter ``gpt`` (block/partitions/efi.c).
    """

    data: DeviceAddress
    verity: RootVerity | None = None
    force_gpt: bool = False


class Assembly(Enum):
    """Who assembles the root: any initramfs (by systemd's and dracut's parameters), ours, or the kernel alone."""

    INITRAMFS = "initramfs"
    BOOTPATH = "bootpath"
    KERNEL = "kernel"


@dataclass(frozen=True, slots=True)
class RootStyle:
    """How a root is named. `disk` is what the kernel calls the disk: "/dev/vda", or the name of an MTD for UBI."""

    disk: str | None = None
    assembly: Assembly = Assembly.INITRAMFS


PARTUUIDS = RootStyle()


def partition_device(disk: str, number: int) -> str:
    """What Linux calls a partition of a disk: /dev/vda2, /dev/nvme0n1p2 (block/partitions/core.c)."""
    return f"{disk}{'p' if disk[-1:].isdigit() else ''}{number}"


def mapper_name(group: str, name: str) -> str:
    """The device-mapper name of a logical volume: hyphens are doubled, one stands between group and volume."""
    return "-".join(part.replace("-", "--") for part in (group, name))


def mapper_device(group: str, name: str) -> str:
    """The node of a logical volume."""
    return f"/dev/mapper/{mapper_name(group, name)}"


def volume_of(address: DeviceAddress) -> LogicalVolumeAddress | None:
    """The logical volume that has to be activated for a device, None where it is on none."""
    if isinstance(address, VolumePartitionAddress):
        return address.volume
    return address if isinstance(address, LogicalVolumeAddress) else None


def slot_of(address: DeviceAddress) -> Slot | None:
    """The place of a partition in its table, None for what is none."""
    if isinstance(address, VolumePartitionAddress):
        return address.partition.slot
    return address.slot if isinstance(address, PartitionAddress) else None


def named_by_uuid(volume: LogicalVolumeAddress, style: RootStyle) -> bool:
    """True for a logical volume that is found by its UUIDs: our initramfs does so."""
    return bool(volume.group_uuid and volume.uuid) and style.assembly is Assembly.BOOTPATH


def device_name(address: DeviceAddress, style: RootStyle) -> str:
    """The name of a device as it is when the root is looked for. Raises BootError where there is none."""
    match address:
        case LogicalVolumeAddress():
            if named_by_uuid(address, style):
                return f"LV={address.group_uuid}/{address.uuid}"
            return mapper_device(address.group, address.name)
        case VolumePartitionAddress(volume, partition):
            if named_by_uuid(volume, style):
                return f"{device_name(volume, style)}/{partition.number}"
            if style.assembly is Assembly.BOOTPATH:
                raise BootError("no kernel parameter can name the root: its volume has no UUIDs that are known")
            return f"PARTUUID={partition.partuuid}"  # of what the initramfs makes of the volume's own table
        case PartitionAddress():
            return (
                f"PARTUUID={address.partuuid}" if style.disk is None else partition_device(style.disk, address.number)
            )
        case UbiAddress() if style.assembly is not Assembly.BOOTPATH:
            return f"ubi0:{address.name}" if address.ubifs else f"/dev/ubiblock0_{address.number}"
        case UbiAddress() if style.disk is not None:
            return f"UBI={style.disk}:{address.name}"
        case DiskAddress() if style.disk is not None:
            return style.disk
    raise BootError("no kernel parameter can name the root", hint="say what the kernel calls the disk")
