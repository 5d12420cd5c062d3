"""Opening a volume of LVM2 or UBI by itself, on devices that stay the caller's."""

from __future__ import annotations

from bootpath.block.table.stack import Stack, open_table
from bootpath.block.targets.linear import Linear
from bootpath.core.device import Device
from bootpath.formats.lvm2.volumes import LogicalVolume
from bootpath.formats.ubi.attach import Ubi, UbiVolume
from bootpath.formats.ubi.table import ubi_table
from bootpath.image.contents.lvm import FoundGroup


def open_logical_volume(found: FoundGroup, volume: LogicalVolume) -> Stack:
    """The volume as a device. Raises TableError."""
    return open_table(found.table(volume), lambda uuid: _borrowed(found.members[uuid]))


def open_ubi_volume(device: Device, ubi: Ubi, volume: UbiVolume) -> Stack:
    """The volume on the image `device`, read-only, as the kernel's ubiblock. Raises TableError."""
    stack = open_table(ubi_table(ubi, volume, "image"), lambda _: _borrowed(device))
    stack.read_only = True
    return stack


def _borrowed(device: Device) -> Device:
    """The device, not to be closed by who opens it."""
    return Linear(device, 0, device.size_bytes, identity=device.identity)
