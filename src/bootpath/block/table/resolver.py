"""What an opener of a row may ask for: devices by name, and the row as a value.

One name is one device, however many rows name it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TypeAlias

from bootpath.block.targets.linear import Linear
from bootpath.core.device import SECTOR_BYTES, Device
from bootpath.formats.dm.mapping import DeviceOffset
from bootpath.formats.dm.table import Row


class Resolver:
    """Turns device arguments into devices."""

    def __init__(self, resolve: Callable[[str], Device], opened: ExitStack) -> None:
        self.fresh = resolve  # a new device each time, which belongs to whoever asked
        self._opened = opened
        self._devices: dict[str, Device] = {}

    def __call__(self, name: str) -> Device:
        """The device of that name, shared by the rows and closed with the stack."""
        if name not in self._devices:
            self._devices[name] = self.fresh(name)
            self._opened.callback(self._devices[name].close)
        return self._devices[name]


Opener: TypeAlias = Callable[[Row, Resolver], Device]


def row_bytes(row: Row) -> int:
    """Bytes that a row maps."""
    return row.num_sectors * SECTOR_BYTES


def whole(row: Row, device: Device) -> Device:
    """The device, cut to the row's length. Raises DeviceError (EINVAL) when it is shorter."""
    return device if device.size_bytes == row_bytes(row) else Linear(device, 0, row_bytes(row))


def run_at(row: Row, resolve: Resolver, place: DeviceOffset) -> Linear:
    """The row's length of a device, from the place on. Raises DeviceError."""
    return Linear(resolve(place.device), place.start_sector * SECTOR_BYTES, row_bytes(row))
