"""What an opener of a target may ask for: devices by name, whole or in part.

One name is one device, however many lines name it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from bootpath.block.targets.linear import Linear
from bootpath.core.device import SECTOR_BYTES, Device
from bootpath.formats.dm.target import DeviceOffset


class Resolver:
    """Turns device arguments into devices."""

    def __init__(self, resolve: Callable[[str], Device], opened: ExitStack) -> None:
        self.open_again = resolve  # a new device each time, which belongs to whoever asked
        self._opened = opened
        self._devices: dict[str, Device] = {}

    def __call__(self, name: str) -> Device:
        """The device of that name, shared by the lines and closed with the stack."""
        if name not in self._devices:
            self._devices[name] = self.open_again(name)
            self._opened.callback(self._devices[name].close)
        return self._devices[name]

    def whole(self, name: str, size_bytes: int) -> Device:
        """The device of that name, cut to the size. Raises DeviceError (EINVAL) when it is shorter."""
        return cut(self(name), size_bytes)

    def run(self, start: DeviceOffset, size_bytes: int) -> Linear:
        """`size_bytes` of a device. Raises DeviceError."""
        return Linear(self(start.device), start.start_sector * SECTOR_BYTES, size_bytes)


def cut(device: Device, size_bytes: int) -> Device:
    """The beginning of a device. Raises DeviceError (EINVAL) when it is shorter."""
    return device if device.size_bytes == size_bytes else Linear(device, 0, size_bytes)
