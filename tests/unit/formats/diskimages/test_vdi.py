from __future__ import annotations

import struct

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.core.errors import FormatError
from bootpath.formats.diskimages.vdi import check_whole_vdi
from bootpath.formats.region import Region


def region(blocks: int) -> Region:
    data = bytearray(4096)
    struct.pack_into("<I", data, 0x158, 1024)
    struct.pack_into("<I", data, 0x178, 1024)
    struct.pack_into("<I", data, 0x184, blocks)
    return Region(MemoryDevice(data))


@pytest.mark.parametrize("blocks", [0, 1, 3])
def test_all_is_there(blocks: int) -> None:
    check_whole_vdi(region(blocks))


def test_the_end_is_missing() -> None:
    with pytest.raises(FormatError, match="the file ends before its last block"):
        check_whole_vdi(region(4))
