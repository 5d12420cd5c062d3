from __future__ import annotations

import mmap
from collections.abc import Callable

import pytest

from bootpath.block.leaves.constant import ErrorDevice, ZeroDevice
from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.leaves.pages import Pages
from bootpath.core.device import Segment, read_bytes
from bootpath.core.errors import DeviceError
from tests.support.patterns import pattern
from tests.unit.block.support import KIB, MIB


def test_a_size_is_lazily_zero_memory() -> None:
    device = MemoryDevice(1 << 40)  # a terabyte of address space, not of memory
    assert read_bytes(device, (1 << 40) - 512, 512) == bytes(512)
    device.write(1 << 39, pattern(0, 512))
    assert read_bytes(device, 1 << 39, 512) == pattern(0, 512)
    device.close()


def test_a_buffer_is_used_in_place() -> None:
    memory = bytearray(4096)
    device = MemoryDevice(memory)
    device.write(512, b"x" * 512)
    assert memory[512:1024] == b"x" * 512
    memory[0:1] = b"y"
    assert bytes(device.read(0, 512)[0])[:1] == b"y"
    device.zero(512, 512)
    device.discard(0, 512)
    assert memory == bytes(4096)


def test_reads_are_views_not_copies() -> None:
    device = MemoryDevice(8192)
    (view,) = device.read(0, 4096)
    resident = device.read_resident(0, 4096)
    assert resident is not None
    device.write(0, b"z" * 512)
    assert bytes(view[:512]) == bytes(resident[0][:512]) == b"z" * 512


def test_a_buffer_that_cannot_be_written_makes_a_read_only_device() -> None:
    assert MemoryDevice(bytes(512)).read_only
    device = MemoryDevice(bytearray(512), read_only=True)
    direct = device.direct()
    assert direct is not None
    assert not direct.writable
    assert isinstance(direct.buffer, memoryview)
    assert direct.buffer.readonly


def test_a_size_must_be_whole_blocks() -> None:
    with pytest.raises(ValueError, match="multiple of 4096"):
        MemoryDevice(512, block_bytes=4096)


def test_extents_and_direct() -> None:
    device = MemoryDevice(4096)
    assert list(device.extents(512, 1024)) == [Segment(512, 1024, "memory")]
    direct = device.direct()
    assert direct is not None
    assert (direct.offset, direct.length, direct.writable, direct.fd) == (0, 4096, True, None)


def test_released_pages_read_as_zeros_and_their_neighbours_stay() -> None:
    page = mmap.PAGESIZE
    pages = Pages(4 * page)
    for start, end in [(0, 4 * page), (page - 7, 3 * page + 7), (page, 2 * page), (5, 9)]:
        pages.view[:] = b"\xaa" * (4 * page)
        pages.release(start, end)
        assert bytes(pages.view) == b"\xaa" * start + bytes(end - start) + b"\xaa" * (4 * page - end)


def test_a_last_page_that_is_not_whole_is_released() -> None:
    pages = Pages(mmap.PAGESIZE + 512)
    pages.view[:] = b"\xaa" * len(pages.view)
    pages.release(0, len(pages.view))
    assert bytes(pages.view) == bytes(len(pages.view))


def test_views_outlive_the_device() -> None:
    device = MemoryDevice(4096)
    device.write(0, b"q" * 512)
    (view,) = device.read(0, 512)
    device.close()
    del device
    assert bytes(view) == b"q" * 512


def test_zero_device_reads_zeros_and_forgets_writes() -> None:
    device = ZeroDevice(8 * MIB)
    device.write(0, b"x" * 512)
    device.zero(0, 512)
    device.discard(0, 512)
    device.flush()
    views = device.read(512, 5 * MIB - 512)
    assert b"".join(views) == bytes(5 * MIB - 512)
    assert len(views) == 5
    assert device.read_resident(0, KIB) is not None
    assert list(device.extents(0, 512)) == [Segment(0, 512, "zero", allocated=False, zero=True)]
    device.close()


def test_error_device_fails_everything() -> None:
    device = ErrorDevice(4096)
    operations: list[Callable[[], object]] = [
        lambda: device.read(0, 512),
        lambda: device.read_resident(0, 512),
        lambda: device.write(0, bytes(512)),
        lambda: device.discard(0, 512),
        lambda: device.zero(0, 512),
    ]
    for operation in operations:
        with pytest.raises(DeviceError, match="error target") as caught:
            operation()
        assert caught.value.errno_name == "EIO"
    device.flush()
    assert not next(device.extents(0, 512)).zero
    device.close()
