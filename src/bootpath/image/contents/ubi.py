"""A UBI volume as a device: what the kernel's ubiblock would show of it, read-only.

Source: Linux drivers/mtd/ubi/block.c.
"""

from __future__ import annotations

from bootpath.block.table.stack import Stack, open_table
from bootpath.block.targets.linear import Linear
from bootpath.core.device import Device, Identity
from bootpath.formats.ubi.attach import Ubi, UbiVolume
from bootpath.formats.ubi.table import ubi_table


def open_ubi_volume(device: Device, ubi: Ubi, volume: UbiVolume) -> Stack:
    """The volume on the image `device`, which stays the caller's. Writes are refused: they would bypass UBI.

    A static volume's checksums are not looked at (`check_ubi_volume` does). Raises TableError as its `refusal` says.
    """
    whole = Linear(device, 0, device.size_bytes, identity=device.identity)
    stack = open_table(ubi_table(ubi, volume, "image"), lambda _: whole, identity=Identity(f"ubi:{volume.name}"))
    stack.read_only = True
    return stack
