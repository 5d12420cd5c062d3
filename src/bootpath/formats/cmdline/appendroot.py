"""linux-appendroot: the words that tell a kernel which root it was found in.

An entry that lies in the root file system itself must not name it: the same image is booted from slot A or B. So the
loader appends where it found the entry (UAPI.1, proposed key ``linux-appendroot``, as barebox does):

- a partition: ``root=PARTUUID=…``, which the kernel finds by itself (Linux block/early-lookup.c);
- behind verity: ``roothash=… systemd.verity_root_data=… systemd.verity_root_hash=…``, for systemd's generator in the
  initramfs. It is never called by its partition then, which would be booted unchecked;
- a volume of LVM2: ``rd.lvm.lv=vg/lv root=/dev/mapper/vg-lv``, as dracut has it; one of UBI, with a file system for
  block devices in it: ``ubi.block=0,name root=/dev/ubiblock0_1``.

`Assembly` says who puts the root together. Our own initramfs takes volumes by their UUIDs, and is told the place too
(``bootpath.slot=``): a PARTUUID does not tell copies of one image apart. The kernel alone, with no initramfs, makes
linear volumes and verity from ``dm-mod.create="…" root=/dev/dm-0`` (Linux dm-init.rst).

Where the loader knows what the kernel will call the disk, that name is used instead of PARTUUID (`RootStyle.disk`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from bootpath.core.device import SECTOR_BYTES
from bootpath.core.errors import BootError
from bootpath.formats.dm.create import MappedDevice, pack_dm_create
from bootpath.formats.dm.table import Row, Table
from bootpath.formats.dm.targets import rename_devices
from bootpath.formats.dm.verity import VerityRow, pack_verity_args
from bootpath.formats.entries.entry import BootEntry
from bootpath.formats.verity.tree import VerityParameters


@dataclass(frozen=True, slots=True)
class DiskSpot:
    """The whole disk: a file system without a partition table."""


@dataclass(frozen=True, slots=True)
class PartitionSpot:
    """A partition: the UUID as Linux writes PARTUUID, its number, and where it is, "disk GUID:number:first LBA"."""

    partuuid: str
    number: int
    slot: str = ""


@dataclass(frozen=True, slots=True)
class LogicalVolumeSpot:
    """A volume of LVM2, by names and by UUIDs ("" where they are not known).

    `table` are its rows, whose devices `members` are; None when the kernel cannot assemble it.
    """

    group: str
    name: str
    group_uuid: str = ""
    uuid: str = ""
    table: Table | None = None
    members: tuple[tuple[str, DiskSpot | PartitionSpot], ...] = ()


@dataclass(frozen=True, slots=True)
class UbiSpot:
    """A UBI volume: its name, and its number, which its block device is called by."""

    name: str
    number: int


RootSpot: TypeAlias = DiskSpot | PartitionSpot | LogicalVolumeSpot | UbiSpot


@dataclass(frozen=True, slots=True)
class RootVerity:
    """What protects a root: where its hashes are, from which hash block on, and the hash to believe."""

    hashes: RootSpot
    root_hash: bytes
    parameters: VerityParameters
    start_block: int = 1


@dataclass(frozen=True, slots=True)
class RootPlace:
    """Where a root is, and what stands between it and the file system."""

    data: RootSpot
    verity: RootVerity | None = None


class Assembly(Enum):
    """Who puts the root together: any initramfs (systemd's and dracut's words), ours, or the kernel without one."""

    INITRAMFS = "initramfs"
    BOOTPATH = "bootpath"
    KERNEL = "kernel"


@dataclass(frozen=True, slots=True)
class RootStyle:
    """How to say it. `disk` is what the kernel calls the disk: "/dev/vda", or the name of an MTD for UBI."""

    disk: str | None = None
    assembly: Assembly = Assembly.INITRAMFS


PARTUUIDS = RootStyle()


def append_root(entry: BootEntry, where: RootPlace, style: RootStyle = PARTUUIDS) -> tuple[str, ...]:
    """What is appended to the command line of an entry that was found in this place: nothing unless it asks for it.

    Raises BootError when no words name the place.
    """
    return root_words(where, style) if entry.append_root else ()


def root_words(where: RootPlace, style: RootStyle = PARTUUIDS) -> tuple[str, ...]:
    """The words for a place. A word may hold blanks, in double quotes. Raises BootError when there are none."""
    if style.assembly is Assembly.KERNEL and (where.verity is not None or isinstance(where.data, LogicalVolumeSpot)):
        return _assembled(where, style)
    slot = _slot("bootpath.slot", where.data, style)
    if where.verity is None:
        return (*_activation(where.data, style), f"root={device_word(where.data, style)}", *slot)
    verity = where.verity
    return (
        *dict.fromkeys((*_activation(where.data, style), *_activation(verity.hashes, style))),
        f"roothash={verity.root_hash.hex()}",
        f"systemd.verity_root_data={device_word(where.data, style)}",
        f"systemd.verity_root_hash={device_word(verity.hashes, style)}",
        *slot,
        *_slot("bootpath.hash_slot", verity.hashes, style),
    )


def partition_device(disk: str, number: int) -> str:
    """What Linux calls a partition of a disk: /dev/vda2, /dev/nvme0n1p2 (block/partitions/core.c)."""
    return f"{disk}{'p' if disk[-1:].isdigit() else ''}{number}"


def mapper_device(group: str, name: str) -> str:
    """What LVM2 calls a logical volume: hyphens are doubled, one stands between group and volume."""
    return f"/dev/mapper/{_mapper_name(group, name)}"


def _mapper_name(group: str, name: str) -> str:
    return "-".join(part.replace("-", "--") for part in (group, name))


def _slot(word: str, spot: RootSpot, style: RootStyle) -> tuple[str, ...]:
    """Where a partition must be, for our initramfs, unless it is called by a place anyway."""
    if style.assembly is not Assembly.BOOTPATH or style.disk is not None or not isinstance(spot, PartitionSpot):
        return ()
    return (f"{word}={spot.slot}",) if spot.slot else ()


def _by_uuid(spot: LogicalVolumeSpot, style: RootStyle) -> bool:
    return style.assembly is Assembly.BOOTPATH and bool(spot.group_uuid and spot.uuid)


def _activation(spot: RootSpot, style: RootStyle) -> tuple[str, ...]:
    """What has to be said before a volume is there."""
    if isinstance(spot, LogicalVolumeSpot) and not _by_uuid(spot, style):
        return (f"rd.lvm.lv={spot.group}/{spot.name}",)
    if isinstance(spot, UbiSpot) and style.assembly is not Assembly.BOOTPATH:
        attach = () if style.disk is None else (f"ubi.mtd={style.disk}",)
        return (*attach, f"ubi.block=0,{spot.name}")
    return ()


def device_word(spot: RootSpot, style: RootStyle) -> str:
    """The word for a device as it is there when the root is looked for. Raises BootError where there is none."""
    match spot:
        case LogicalVolumeSpot():
            if _by_uuid(spot, style):
                return f"LV={spot.group_uuid}/{spot.uuid}"
            return mapper_device(spot.group, spot.name)
        case PartitionSpot():
            return f"PARTUUID={spot.partuuid}" if style.disk is None else partition_device(style.disk, spot.number)
        case UbiSpot() if style.assembly is not Assembly.BOOTPATH:
            return f"/dev/ubiblock0_{spot.number}"
        case UbiSpot() if style.disk is not None:
            return f"UBI={style.disk}:{spot.name}"
        case DiskSpot() if style.disk is not None:
            return style.disk
    raise BootError("nothing names the root", where="linux-appendroot", hint="say what the kernel calls the disk")


def _assembled(where: RootPlace, style: RootStyle) -> tuple[str, ...]:
    """The words by which the kernel makes the root before it mounts it."""
    devices: list[MappedDevice] = []
    data = _mapped(where.data, style, devices)
    if where.verity is not None:
        verity = where.verity
        hashes = data if verity.hashes == where.data else _mapped(verity.hashes, style, devices)
        row = VerityRow(data, hashes, verity.parameters, verity.start_block, verity.root_hash)
        sectors = verity.parameters.data_bytes // SECTOR_BYTES
        data = _add("root", Table((Row(0, sectors, "verity", tuple(pack_verity_args(row))),)), devices)
    return f'dm-mod.create="{pack_dm_create(tuple(devices))}"', f"root={data}"


def _mapped(spot: RootSpot, style: RootStyle, devices: list[MappedDevice]) -> str:
    """The word for a device, made first where it is a volume."""
    if isinstance(spot, UbiSpot) or (isinstance(spot, LogicalVolumeSpot) and spot.table is None):
        # UBI and its block devices come as late as device-mapper does: nothing says which is first.
        raise BootError(f"the kernel alone cannot assemble {spot.name}", where="linux-appendroot")
    if not isinstance(spot, LogicalVolumeSpot):
        return device_word(spot, style)
    assert spot.table is not None
    words: Mapping[str, str] = {name: device_word(member, style) for name, member in spot.members}
    table = rename_devices(spot.table, lambda name: words.get(name, name))
    return _add(_mapper_name(spot.group, spot.name), table, devices)


def _add(name: str, table: Table, devices: list[MappedDevice]) -> str:
    """Add a device, with a minor number, so that its name in /dev is known."""
    devices.append(MappedDevice(name, "", len(devices), read_only=True, table=table))
    return f"/dev/dm-{len(devices) - 1}"
