from __future__ import annotations

import threading

import pytest

from bootpath.block.leaves.images.packed import PackedDevice
from bootpath.block.leaves.memory import MemoryDevice
from bootpath.core.device import checked, read_bytes
from bootpath.core.errors import DeviceError, FormatError
from bootpath.core.limits import limits_raised
from tests.support.patterns import pattern

SIZES = [1000, 24, 3000, 1, 975, 500]
WHOLE = pattern(0, sum(SIZES))


class Blocks:
    """Counts what is unpacked."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.fails: set[int] = set()

    def unpack(self, index: int) -> bytes:
        self.asked.append(index)
        if index in self.fails:
            raise FormatError("damaged")
        start = sum(SIZES[:index])
        return WHOLE[start : start + SIZES[index]]


@pytest.fixture
def blocks() -> Blocks:
    return Blocks()


def device(blocks: Blocks) -> PackedDevice:
    return PackedDevice(MemoryDevice(512), SIZES, blocks.unpack, disk_images=())


def test_only_what_is_read_is_unpacked_and_once(blocks: Blocks) -> None:
    disk = device(blocks)
    assert (disk.size_bytes, disk.padding_bytes) == (5632, 132)
    assert disk.read_resident(1024, 512) is None
    assert read_bytes(checked(disk), 1024, 512) == WHOLE[1024:1536]
    assert blocks.asked == [2]
    assert read_bytes(checked(disk), 0, 5632) == WHOLE + bytes(132)
    assert sorted(blocks.asked) == [0, 1, 2, 3, 4, 5]
    resident = disk.read_resident(0, 5632)
    assert resident is not None
    assert b"".join(resident) == WHOLE + bytes(132)


def test_what_is_kept_is_bounded(blocks: Blocks) -> None:
    with limits_raised(packed_cache_bytes=1500):
        disk = device(blocks)
    read_bytes(disk, 0, 5632)
    assert disk.read_resident(0, 512) is None
    assert disk.read_resident(5120, 512) is not None


def test_a_block_that_is_damaged_is_eio(blocks: Blocks) -> None:
    disk = device(blocks)
    blocks.fails = {2}
    assert read_bytes(disk, 0, 512) == WHOLE[:512]
    with pytest.raises(DeviceError, match="block 2 cannot be read: damaged"):
        disk.read(1024, 512)
    blocks.fails = set()
    assert read_bytes(disk, 1024, 512) == WHOLE[1024:1536]


def test_a_block_of_another_size_is_eio(blocks: Blocks) -> None:
    disk = PackedDevice(MemoryDevice(512), [512], lambda index: bytes(513), disk_images=())
    with pytest.raises(DeviceError, match="it has 513 bytes, and not 512"):
        disk.read(0, 512)


def test_several_threads_unpack_a_block_once(blocks: Blocks) -> None:
    entered, leave = threading.Event(), threading.Event()
    unpack = blocks.unpack

    def slowly(index: int) -> bytes:
        entered.set()
        assert leave.wait(30)
        return unpack(index)

    disk = PackedDevice(MemoryDevice(512), SIZES, slowly, disk_images=())
    threads = [threading.Thread(target=disk.read, args=(1024, 512)) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert entered.wait(30)
    leave.set()
    for thread in threads:
        thread.join()
    assert blocks.asked == [2]
