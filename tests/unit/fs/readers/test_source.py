"""Bytes at any offset: alignment, the end of the device, the cache."""

from __future__ import annotations

import errno
from random import Random

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.targets.fault import Fault, FaultKind, FaultRule
from bootpath.core.device import checked
from bootpath.core.errors import DeviceError, FormatError, LimitError
from bootpath.core.extents import Extent
from bootpath.core.limits import limits_raised, spending
from bootpath.fs.readers.source import CACHED_PAGES, PAGE_BYTES, Source

DATA = Random(1).randbytes(3 * PAGE_BYTES)


@pytest.mark.parametrize("block_bytes", [512, 4096])
def test_equals_the_bytes(block_bytes: int) -> None:
    source = Source(checked(MemoryDevice(DATA, block_bytes=block_bytes)), "test")
    random = Random(2)
    for _ in range(300):
        offset = random.randrange(len(DATA) + 1)
        length = random.randrange(len(DATA) - offset + 1)
        assert source.read(offset, length) == DATA[offset : offset + length]
        assert source.read_data(offset, length) == DATA[offset : offset + length]


def test_the_last_page_may_be_a_part() -> None:
    source = Source(checked(MemoryDevice(DATA[: PAGE_BYTES + 512])), "test")
    assert source.read(PAGE_BYTES, 512) == DATA[PAGE_BYTES : PAGE_BYTES + 512]


@pytest.mark.parametrize(
    ("offset", "length"), [(len(DATA), 1), (0, len(DATA) + 1), (-1, 2), (1 << 70, 4), (0, 1 << 62)]
)
def test_past_the_end_is_damage(offset: int, length: int) -> None:
    source = Source(MemoryDevice(DATA), "test")
    for read in (source.read, source.read_data):
        with pytest.raises(FormatError, match=rf"memory: test: {length} bytes at {offset} are not on the device"):
            read(offset, length)


def test_pages_are_read_once_and_only_so_many_are_kept() -> None:
    pages = CACHED_PAGES + 1
    fault = Fault(MemoryDevice(pages * PAGE_BYTES), [FaultRule(FaultKind.DELAY)], sleep=lambda _: None)
    source = Source(fault, "test")
    for page in range(pages):
        source.read(page * PAGE_BYTES, 10)
        source.read(page * PAGE_BYTES + 100, 10)
    assert len(fault.hits) == pages
    source.read((pages - 1) * PAGE_BYTES, 10)
    assert len(fault.hits) == pages
    source.read(0, 10)
    assert len(fault.hits) == pages + 1
    source.read(0, CACHED_PAGES * PAGE_BYTES)
    assert len(fault.hits) == pages + 2, "what is larger than half the cache does not go through it"


def test_errors_of_the_device_pass_and_are_not_kept() -> None:
    rule = FaultRule(FaultKind.ERROR, extent=Extent(PAGE_BYTES, 1), count=2)
    source = Source(Fault(MemoryDevice(DATA), [rule]), "test")
    assert source.read(0, 100) == DATA[:100]
    for read in (source.read, source.read_data):
        with pytest.raises(DeviceError) as caught:
            read(PAGE_BYTES - 10, 100)
        assert caught.value.errno == errno.EIO
    assert source.read(PAGE_BYTES - 10, 100) == DATA[PAGE_BYTES - 10 : PAGE_BYTES + 90]


def test_what_is_gone_through_and_unpacked_counts_together() -> None:
    sources = [Source(MemoryDevice(512), "model") for _ in range(2)]
    with limits_raised(directory_bytes=1000, unpacked_bytes=1000), spending():
        for source in sources:
            source.spend_directory(500)
            source.spend_unpacked(500)
        with pytest.raises(LimitError, match="memory: the directories are too large; expected at most 1000 bytes"):
            sources[0].spend_directory(1)
        with pytest.raises(LimitError, match="memory: too much has to be decompressed"):
            sources[1].spend_unpacked(1)
