from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.targets.flakey import Flakey
from bootpath.core.device import Identity, read_bytes
from bootpath.core.errors import DeviceError
from bootpath.formats.dm.flakey import FlakeyTarget
from tests.support.errors import raises
from tests.support.patterns import pattern
from tests.unit.block.support import KIB

SIZE = 16 * KIB


def flakey(words: str, *, seed: int = 0) -> Flakey:
    lower = MemoryDevice(bytearray(pattern(0, SIZE)), identity=Identity("sda"))
    return Flakey(lower, FlakeyTarget.parse(f"sda 0 {words}".split()), seed=seed)


def outcomes(device: Flakey, operation: Callable[[], object], count: int) -> str:
    """One letter for each try: done, E for an EIO that names the device, ? for any other error."""
    found = ""
    for _ in range(count):
        try:
            operation()
            found += "."
        except DeviceError as error:
            found += "E" if (error.errno, error.where) == (errno.EIO, "sda") else "?"
    return found


def test_intervals_are_counted_in_operations() -> None:
    device = flakey("3 2")
    assert outcomes(device, lambda: device.read(0, 512), 12) == "...EE...EE.."
    down = flakey("0 1")
    for operation in (
        lambda: down.read(0, 512),
        lambda: down.write(0, bytes(512)),
        down.flush,
        lambda: down.discard(0, 4096),
        lambda: down.zero(0, 4096),
    ):
        assert outcomes(down, operation, 1) == "E"
    assert read_bytes(down.lower, 0, SIZE) == pattern(0, SIZE)


def test_every_kind_of_operation_counts() -> None:
    device = flakey("4 1")
    device.read(0, 512)
    device.write(0, bytes(512))
    device.flush()
    device.zero(0, 512)
    with pytest.raises(DeviceError, match="read of 512 bytes at 1024 failed: the flakey target is down"):
        device.read(1024, 512)
    assert device.read_resident(0, 512) is None


def test_dropped_writes_are_forgotten_and_reads_are_right() -> None:
    device = flakey("0 1 1 drop_writes")
    device.write(0, bytes(512))
    device.zero(512, 512)
    device.discard(0, 4096)
    device.flush()
    assert read_bytes(device, 0, SIZE) == pattern(0, SIZE)


@pytest.mark.parametrize(("feature", "reads", "writes"), [("error_writes", ".", "E"), ("error_reads", "E", ".")])
def test_one_direction_fails(feature: str, reads: str, writes: str) -> None:
    device = flakey(f"0 1 1 {feature}")
    assert outcomes(device, lambda: device.read(0, 512), 1) == reads
    assert outcomes(device, lambda: device.write(0, bytes(512)), 1) == writes


def test_a_byte_of_what_is_read_changes() -> None:
    device = flakey("0 1 5 corrupt_bio_byte 32 r 1 0")
    expected = bytearray(pattern(512, 1024))
    expected[31] = 1
    assert read_bytes(device, 512, 1024) == expected
    assert read_bytes(device.lower, 512, 1024) == pattern(512, 1024)
    device.write(0, bytes(512))
    assert read_bytes(device.lower, 0, 512) == bytes(512)
    assert read_bytes(flakey("0 1 5 corrupt_bio_byte 513 r 1 0"), 0, 512) == pattern(0, 512)


def test_a_byte_of_what_is_written_changes() -> None:
    device = flakey("0 1 5 corrupt_bio_byte 1 W 255 0")
    data = bytes(512)
    device.write(0, data)
    assert read_bytes(device.lower, 0, 512) == b"\xff" + bytes(511)
    assert data == bytes(512)


def test_random_corruption_is_the_same_for_the_same_seed() -> None:
    def run(seed: int) -> list[bytes]:
        device = flakey("0 1 4 random_read_corrupt 500000000 random_write_corrupt 1000000000", seed=seed)
        device.write(0, bytes(4096))
        return [read_bytes(device, 0, 4096) for _ in range(20)]

    assert run(1) == run(1)
    assert run(1) != run(2)
    assert 3 < len(set(run(1))) < 20


def test_flags_of_a_bio_are_refused() -> None:
    with raises(DeviceError, found=32) as caught:
        flakey("0 1 5 corrupt_bio_byte 224 w 0 32")
    assert caught.value.errno == errno.ENOTSUP
