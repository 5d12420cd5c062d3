from __future__ import annotations

import errno
from collections.abc import Sequence

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.targets.fault import Fault, parse_rules
from bootpath.core.device import Buffer
from bootpath.core.errors import DeviceError, FormatError
from bootpath.formats.region import Region
from tests.support.errors import raises

CONTENT = bytes(range(256)) * 64


@pytest.mark.parametrize("block_bytes", [512, 4096])
@pytest.mark.parametrize("head_bytes", [0, 100, 5000, 1 << 20])
def test_it_reads_what_is_there(block_bytes: int, head_bytes: int) -> None:
    device = MemoryDevice(CONTENT, block_bytes=block_bytes)
    for start, size in ((0, None), (100, None), (513, 5000), (4096, 8192), (16000, 10**9)):
        region = Region(device, start, size, head_bytes=head_bytes)
        model = CONTENT[start:] if size is None else CONTENT[start : start + size]
        assert region.size_bytes == len(model)
        for offset, length in ((0, 1), (99, 2), (511, 514), (4095, 2), (0, len(model)), (len(model), 0)):
            assert region.peek(offset, length) == model[offset : offset + length]
            if offset + length <= len(model):
                assert region.read(offset, length) == model[offset : offset + length]


def test_past_the_end() -> None:
    region = Region(MemoryDevice(CONTENT), 512, 1000)
    assert region.peek(990, 20) == CONTENT[1502:1512]
    assert region.peek(1000, 1) == region.peek(-1, 1) == region.peek(2**63, 1) == b""
    for offset, length in ((1000, 1), (-1, 1), (0, 1001), (2**63, 1), (0, 2**63)):
        with pytest.raises(FormatError, match=r"the table, .* is outside the device"):
            region.read(offset, length, "the table")


def test_a_place_past_the_device_is_empty() -> None:
    assert Region(MemoryDevice(CONTENT), 1 << 40).size_bytes == 0
    with pytest.raises(ValueError, match="region"):
        Region(MemoryDevice(CONTENT), -1)


def test_the_beginning_is_read_once() -> None:
    device = Fault(MemoryDevice(CONTENT), parse_rules("read:error:after=1"))
    region = Region(device, head_bytes=8192)
    assert region.peek(0, 10) == CONTENT[:10]
    assert region.peek(8000, 192) == CONTENT[8000:8192]
    with pytest.raises(DeviceError):
        region.peek(8000, 193)


class Short(MemoryDevice):
    """Breaks the contract: the last byte of every read is missing."""

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        return super().read(offset, length - 1)


def test_a_short_read_is_an_error() -> None:
    with raises(DeviceError, found="511 bytes") as caught:
        Region(Short(CONTENT), 600, 20).peek(0, 20)
    assert caught.value.errno == errno.EIO
