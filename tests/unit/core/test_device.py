"""`checked`: every errno of the contract, before the device below is asked."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.core.device import Checked, Identity, Segment, checked, read_bytes
from bootpath.core.errors import DeviceError

SIZE = 16384


class Untouchable(MemoryDevice):
    """Fails the test when a request that must be refused reaches it."""

    def read(self, offset: int, length: int) -> tuple[memoryview]:
        raise AssertionError(f"read {offset} {length}")

    def read_resident(self, offset: int, length: int) -> tuple[memoryview]:
        raise AssertionError(f"read_resident {offset} {length}")

    def write(self, offset: int, data: bytes | bytearray | memoryview, *, fua: bool = False) -> None:
        raise AssertionError(f"write {offset} {len(data)}")

    def zero(self, offset: int, length: int) -> None:
        raise AssertionError(f"zero {offset} {length}")

    def discard(self, offset: int, length: int) -> None:
        raise AssertionError(f"discard {offset} {length}")


def untouchable(block_bytes: int = 512, *, read_only: bool = False) -> Checked:
    return checked(Untouchable(SIZE, block_bytes=block_bytes, read_only=read_only, identity=Identity("disk.img")))


READS: dict[str, Callable[[Checked, int, int], object]] = {
    "read": lambda device, offset, length: device.read(offset, length),
    "read_resident": lambda device, offset, length: device.read_resident(offset, length),
    "extents": lambda device, offset, length: device.extents(offset, length),
}
WRITES: dict[str, Callable[[Checked, int, int], object]] = {
    "zero": lambda device, offset, length: device.zero(offset, length),
    "discard": lambda device, offset, length: device.discard(offset, length),
    "write": lambda device, offset, length: device.write(offset, bytes(length)),
}
MISALIGNED = [(1, 512), (512, 1), (511, 513), (-512, 512), (0, 0), (512, 0)]
PAST_END = [(SIZE, 512), (SIZE - 512, 1024), (0, SIZE + 512), (2**63, 512), (2**64 - 512, 512), (2**64, 512)]


@pytest.mark.parametrize("operation", READS)
@pytest.mark.parametrize(("offset", "length"), [*MISALIGNED, *PAST_END, (0, -512)])
def test_bad_read_is_einval(operation: str, offset: int, length: int) -> None:
    with pytest.raises(DeviceError) as caught:
        READS[operation](untouchable(), offset, length)
    assert caught.value.errno == errno.EINVAL
    assert str(caught.value).startswith("disk.img: ")


@pytest.mark.parametrize("operation", WRITES)
@pytest.mark.parametrize(("offset", "length"), MISALIGNED)
def test_misaligned_or_empty_write_is_einval(operation: str, offset: int, length: int) -> None:
    with pytest.raises(DeviceError) as caught:
        WRITES[operation](untouchable(), offset, length)
    assert caught.value.errno == errno.EINVAL


@pytest.mark.parametrize("operation", WRITES)
@pytest.mark.parametrize(("offset", "length"), PAST_END)
def test_write_past_the_end_is_enospc(operation: str, offset: int, length: int) -> None:
    with pytest.raises(DeviceError) as caught:
        WRITES[operation](untouchable(), offset, length)
    assert caught.value.errno == errno.ENOSPC


@pytest.mark.parametrize("operation", WRITES)
@pytest.mark.parametrize(("offset", "length"), [(0, 512), (1, 1), (SIZE, 512)])
def test_any_write_to_a_read_only_device_is_eperm(operation: str, offset: int, length: int) -> None:
    with pytest.raises(DeviceError) as caught:
        WRITES[operation](untouchable(read_only=True), offset, length)
    assert caught.value.errno == errno.EPERM


@pytest.mark.parametrize("operation", [*READS, *WRITES])
def test_alignment_is_the_devices_own(operation: str) -> None:
    with pytest.raises(DeviceError, match="is misaligned; expected multiples of 4096") as caught:
        (READS | WRITES)[operation](untouchable(4096), 512, 512)
    assert caught.value.errno == errno.EINVAL


def test_good_requests_pass_through() -> None:
    device = checked(MemoryDevice(SIZE))
    device.write(512, b"a" * 512, fua=True)
    device.flush()
    assert b"".join(device.read(512, 512)) == b"a" * 512
    assert b"".join(device.read_resident(SIZE - 512, 512) or ()) == bytes(512)
    device.zero(512, 512)
    device.discard(0, SIZE)
    assert read_bytes(device, 0, SIZE) == bytes(SIZE)
    assert list(device.extents(0, SIZE)) == [Segment(0, SIZE, "memory")]
    direct = device.direct()
    assert direct is not None
    assert direct.length == SIZE
    device.close()
    device.close()


def test_checked_looks_like_the_device_below() -> None:
    lower = MemoryDevice(SIZE, block_bytes=4096, read_only=True, identity=Identity("disk.img"))
    device = checked(lower)
    assert (device.size_bytes, device.block_bytes, device.read_only) == (SIZE, 4096, True)
    assert device.identity == lower.identity


def test_checked_twice_is_checked_once() -> None:
    device = untouchable()
    assert checked(device) is device


@pytest.mark.parametrize("block_bytes", [0, 256, 513, 8192])
def test_block_size_is_512_or_4096(block_bytes: int) -> None:
    lower = MemoryDevice(0)
    lower.block_bytes = block_bytes
    with pytest.raises(ValueError, match="must be 512 or 4096"):
        checked(lower)
