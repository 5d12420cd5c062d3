"""Volumes as places: LVM2's logical volumes and UBI's volumes, with tables whose devices are paths of nodes.

What `image.contents.lvm` and `formats.ubi` find stands on physical volumes and on an image; here each becomes the path
of the node that holds it, so that a volume can be opened on the disk alone. The disk's own path is empty, which no
argument of a table can be: it is called ".".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from bootpath.core.device import Device
from bootpath.core.errors import Error, FormatError, TableError
from bootpath.formats.dm.table import SECTOR_BYTES, Table
from bootpath.formats.lvm2.volumes import LogicalVolume
from bootpath.formats.ubi.attach import Ubi, UbiVolume, check_ubi_volume, read_ubi
from bootpath.formats.ubi.headers import VolumeType
from bootpath.formats.ubi.table import ubi_table
from bootpath.image.contents.lvm import FoundGroup, find_volume_groups

DISK_ARGUMENT = "."


@dataclass(frozen=True, slots=True)
class FoundVolume:
    """A volume at `path`: a logical one, or UBI's. `table` is None when it cannot be opened, `refusal` says why."""

    path: str
    name: str
    size_bytes: int
    logical: bool
    table: Table | None
    refusal: Error | None


@dataclass(frozen=True, slots=True)
class FoundVolumes:
    """Volumes, and what is wrong beside them."""

    volumes: tuple[FoundVolume, ...] = ()
    warnings: tuple[str, ...] = ()


def argument_of(path: str) -> str:
    """What a table calls the node with this path."""
    return path or DISK_ARGUMENT


def path_of(argument: str) -> str:
    """The path of the node that a table's argument names."""
    return "" if argument == DISK_ARGUMENT else argument


def logical_volumes(devices: Mapping[str, Device], above: str) -> FoundVolumes:
    """The visible logical volumes on physical ones, given by the paths of their nodes. Raises DeviceError."""
    findings = find_volume_groups(devices.values())
    paths = {id(device): path for path, device in devices.items()}
    names = Counter(found.group.name for found in findings.groups)
    volumes: list[FoundVolume] = []
    warnings = [str(fault) for fault in findings.faults]
    warnings += [f"physical volume {member.label.uuid} belongs to no group" for member in findings.orphans]
    for found in findings.groups:
        group = found.group
        # Groups of one name are refused, and their volumes still need paths of their own.
        name = group.name if names[group.name] == 1 else f"{group.name}@{group.uuid}"
        places = {uuid: argument_of(paths[id(device)]) for uuid, device in found.members.items()}
        warnings += [f"volume group {group.name}: physical volume {uuid} is missing" for uuid in found.missing]
        prefix = f"{above}/{name}" if above else name
        volumes += (_logical(found, volume, prefix, places) for volume in found.volumes if volume.visible)
    return FoundVolumes(tuple(volumes), tuple(warnings))


def _logical(found: FoundGroup, volume: LogicalVolume, prefix: str, places: Mapping[str, str]) -> FoundVolume:
    refusal: Error | None = found.refusal(volume)
    table = None if refusal is not None else found.table(volume, names=places)
    if table is not None and any(line.target == "error" for line in table.lines):
        table, refusal = (
            None,
            TableError("a segment of the volume always fails", where=f"lvm2: {found.group.name}/{volume.name}"),
        )
    size = volume.extents * found.group.extent_sectors * SECTOR_BYTES
    return FoundVolume(f"{prefix}/{volume.name}", volume.name, size, True, table, refusal)


def ubi_volumes(device: Device, path: str) -> FoundVolumes:
    """The volumes of the UBI image at `path`. Raises FormatError, DeviceError."""
    ubi = read_ubi(device)
    warnings = [str(fault) for fault in (ubi.table_fault, ubi.cut) if fault is not None]
    if ubi.corrupted:
        warnings.append(f"UBI: {ubi.corrupted} of {ubi.pebs} eraseblocks are damaged")
    return FoundVolumes(tuple(_ubi(ubi, volume, path) for volume in ubi.volumes), tuple(warnings))


def _ubi(ubi: Ubi, volume: UbiVolume, path: str) -> FoundVolume:
    refusal: Error | None = volume.refusal
    table: Table | None = None
    if refusal is None:
        try:
            table = ubi_table(ubi, volume, argument_of(path))
        except FormatError:
            refusal = TableError("the volume is empty", where=f"ubi: {volume.name}")
    name = f"{path}/ubi/{volume.name}" if path else f"ubi/{volume.name}"
    return FoundVolume(name, volume.name, volume.size_bytes, False, table, refusal)


def check_static_volume(device: Device, name: str) -> bool:
    """Compare all of a static UBI volume with its checksums; False for a dynamic one, which has none.

    `device` is the image, `name` the volume's. Raises FormatError, DeviceError.
    """
    ubi = read_ubi(device)
    volume = ubi.volume(name)
    if volume is None or volume.type is not VolumeType.STATIC:
        return False
    check_ubi_volume(device, ubi, volume)
    return True
