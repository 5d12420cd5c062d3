from __future__ import annotations

import errno

import pytest

from bootpath.block.leaves.constant import ErasedDevice
from bootpath.block.table.stack import open_table
from bootpath.core.device import checked, read_bytes
from bootpath.core.errors import DeviceError, TableError
from bootpath.formats.dm.table import parse_table

SIZE = 3 << 20


def test_erased_flash_reads_as_ones() -> None:
    device = checked(ErasedDevice(SIZE))
    assert read_bytes(device, 0, SIZE) == b"\xff" * SIZE
    assert b"".join(device.read_resident(512, 1024) or ()) == b"\xff" * 1024


def test_it_is_no_hole() -> None:
    """Whoever copies it must not leave zeros."""
    (segment,) = ErasedDevice(SIZE).extents(512, 1024)
    assert (segment.offset, segment.length, segment.source) == (512, 1024, "erased")
    assert segment.allocated
    assert not segment.zero


def test_it_cannot_be_written() -> None:
    device = checked(ErasedDevice(SIZE))
    with pytest.raises(DeviceError) as written:
        device.write(0, bytes(512))
    with pytest.raises(DeviceError) as zeroed:
        device.zero(0, 512)
    assert written.value.errno == zeroed.value.errno == errno.EPERM
    device.flush()


def test_a_row_of_a_table() -> None:
    device = open_table(parse_table("0 8 zero\n8 8 erased\n"), lambda name: ErasedDevice(512))
    assert read_bytes(device, 0, 8192) == bytes(4096) + b"\xff" * 4096
    with pytest.raises(TableError, match="table line 1: erased: the arguments do not fit"):
        open_table(parse_table("0 8 erased 1\n"), lambda name: ErasedDevice(512))
