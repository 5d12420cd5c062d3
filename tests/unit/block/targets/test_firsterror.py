from __future__ import annotations

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.targets.fault import Fault, parse_rules
from bootpath.block.targets.firsterror import FirstError
from bootpath.core.device import read_bytes
from bootpath.core.errors import DeviceError


def test_it_passes_on_what_can_be_read() -> None:
    device = FirstError(MemoryDevice(bytes(range(256)) * 16))
    assert read_bytes(device, 512, 512) == bytes(range(256)) * 2
    assert device.read_resident(0, 512) is None
    assert [segment.length for segment in device.extents(0, 4096)] == [4096]
    assert device.error is None
    device.close()
    assert device.size_bytes == 4096


def test_it_remembers_the_first_fault() -> None:
    device = FirstError(Fault(MemoryDevice(bytes(4096)), parse_rules("read:error:extent=512+1024")))
    device.read(0, 512)
    for offset in (1024, 512):
        with pytest.raises(DeviceError):
            device.read(offset, 512)
    device.read(2048, 512)
    assert device.error is not None
    assert "1024" in str(device.error)


def test_nothing_is_written() -> None:
    with pytest.raises(DeviceError, match="read-only"):
        FirstError(MemoryDevice(bytes(4096))).write(0, bytes(512))
