from __future__ import annotations

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.targets.fault import Fault, parse_rules
from bootpath.block.targets.firsterror import Witness
from bootpath.core.device import read_bytes
from bootpath.core.errors import DeviceError


def test_it_passes_on_what_can_be_read() -> None:
    witness = Witness(MemoryDevice(bytes(range(256)) * 16))
    assert read_bytes(witness, 512, 512) == bytes(range(256)) * 2
    assert witness.read_resident(0, 512) is None
    assert [segment.length for segment in witness.extents(0, 4096)] == [4096]
    assert witness.fault is None
    witness.close()
    assert witness.size_bytes == 4096


def test_it_remembers_the_first_fault() -> None:
    witness = Witness(Fault(MemoryDevice(bytes(4096)), parse_rules("read:error:extent=512+1024")))
    witness.read(0, 512)
    for offset in (1024, 512):
        with pytest.raises(DeviceError):
            witness.read(offset, 512)
    witness.read(2048, 512)
    assert witness.fault is not None
    assert "1024" in str(witness.fault)


def test_nothing_is_written() -> None:
    with pytest.raises(DeviceError, match="read-only"):
        Witness(MemoryDevice(bytes(4096))).write(0, bytes(512))
