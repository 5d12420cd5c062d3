"""What the verity target believes: only what the root hash promises, every time."""

from __future__ import annotations

import errno
from collections.abc import Sequence

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.targets.verity.verity import MAX_LOGGED, Corruption, Verity, VerityOptions
from bootpath.core.device import Buffer, Device, checked, read_bytes
from bootpath.core.errors import DeviceError, IntegrityError
from bootpath.formats.verity.tree import VerityParameters
from bootpath.image.verity.tree import build_tree
from tests.support.patterns import pattern

BLOCK = 4096
COUNT = 400  # three levels with hash blocks of 512 bytes
PARAMETERS = VerityParameters(COUNT, salt=b"salt", hash_block_size=512)
ZERO = range(100, 108)  # data blocks that are zeros


def plain() -> tuple[MemoryDevice, MemoryDevice, bytes]:
    data = MemoryDevice(COUNT * BLOCK)
    data.write(0, pattern(0, COUNT * BLOCK))
    data.zero(ZERO.start * BLOCK, len(ZERO) * BLOCK)
    hashes = MemoryDevice(PARAMETERS.tree_blocks() * 512)
    return data, hashes, build_tree(data, hashes, PARAMETERS, start_block=0)


def opened(data: Device, hashes: Device, root_hash: bytes, **options: object) -> Verity:
    return Verity(data, hashes, PARAMETERS, root_hash, start_block=0, options=VerityOptions(**options))  # type: ignore[arg-type]


def flip(device: Device, offset: int) -> None:
    start = offset - offset % 512
    content = bytearray(read_bytes(device, start, 512))
    content[offset - start] ^= 1
    device.write(start, bytes(content))


def test_reads_any_range() -> None:
    data, hashes, root_hash = plain()
    device = checked(opened(data, hashes, root_hash))
    for offset, length in ((0, COUNT * BLOCK), (4096, 4096), (50 * BLOCK, 60 * BLOCK)):
        assert read_bytes(device, offset, length) == read_bytes(data, offset, length)
    assert device.read_only
    with pytest.raises(DeviceError) as refusal:
        device.write(0, bytes(4096))
    assert refusal.value.errno == errno.EPERM


@pytest.mark.parametrize("block", [0, 1, 77, COUNT - 1])
def test_a_flipped_bit_of_data(block: int) -> None:
    data, hashes, root_hash = plain()
    device = opened(data, hashes, root_hash)
    flip(data, block * BLOCK + 4095)
    with pytest.raises(IntegrityError, match=f"data block {block} "):
        device.read(block * BLOCK, BLOCK)
    other = (block + 1) % COUNT
    assert read_bytes(device, other * BLOCK, BLOCK) == read_bytes(data, other * BLOCK, BLOCK)


@pytest.mark.parametrize("level", range(len(PARAMETERS.levels(0))))
def test_a_flipped_bit_of_each_level(level: int) -> None:
    data, hashes, root_hash = plain()
    place = PARAMETERS.levels(0)[level]
    flip(hashes, place.start * 512 + 3)
    with pytest.raises(IntegrityError, match=f"level {level}"):
        opened(data, hashes, root_hash).read(0, BLOCK)


def test_a_wrong_root_hash() -> None:
    data, hashes, root_hash = plain()
    wrong = bytes([root_hash[0] ^ 1]) + root_hash[1:]
    with pytest.raises(IntegrityError):
        opened(data, hashes, wrong).read(0, BLOCK)
    with pytest.raises(DeviceError, match="root hash has"):
        opened(data, hashes, root_hash[:-1])


class Liar(MemoryDevice):
    """Tells the truth the first time that a block is read, and something else from then on."""

    def __init__(self, content: bytes) -> None:
        super().__init__(bytearray(content))
        self.seen: set[int] = set()

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        content = bytearray(b"".join(super().read(offset, length)))
        if offset in self.seen:
            content[0] ^= 1
        self.seen.add(offset)
        return (bytes(content),)


def test_a_disk_that_answers_differently_the_second_time() -> None:
    data, hashes, root_hash = plain()
    liar = Liar(read_bytes(data, 0, data.size_bytes))
    device = opened(liar, hashes, root_hash)
    assert read_bytes(device, 0, BLOCK) == read_bytes(data, 0, BLOCK)
    with pytest.raises(IntegrityError):
        device.read(0, BLOCK)


def test_a_hash_block_that_left_the_cache_is_checked_again() -> None:
    """barebox believes it then."""
    data, hashes, root_hash = plain()
    liar = Liar(read_bytes(hashes, 0, hashes.size_bytes))
    device = Verity(data, liar, PARAMETERS, root_hash, start_block=0, cache_bytes=0)
    device.read(0, BLOCK)
    device.read(0, BLOCK)  # from the cache, which holds as many blocks as there are levels
    device.read((COUNT - 1) * BLOCK, BLOCK)
    assert device.tree.cached_bytes <= 512 * len(PARAMETERS.levels(0))
    with pytest.raises(IntegrityError, match="hash block"):
        device.read(0, BLOCK)


def test_what_was_checked_is_what_is_returned() -> None:
    """A view of memory that is changed after the check must not show the change."""
    data, hashes, root_hash = plain()
    device = opened(data, hashes, root_hash)
    (view,) = device.read(0, BLOCK)
    before = bytes(view)
    flip(data, 9)
    assert bytes(view) == before


def test_ignored_corruption_is_counted() -> None:
    data, hashes, root_hash = plain()
    device = opened(data, hashes, root_hash, corruption=Corruption.IGNORE)
    flip(data, 5 * BLOCK)
    assert read_bytes(device, 0, 8 * BLOCK) == read_bytes(data, 0, 8 * BLOCK)
    assert device.corrupted_blocks == 1


def test_ignored_corruption_does_not_flood_the_log(caplog: pytest.LogCaptureFixture) -> None:
    data, hashes, root_hash = plain()
    device = opened(data, hashes, root_hash, corruption=Corruption.IGNORE)
    flip(data, 0)
    for _ in range(MAX_LOGGED + 20):
        device.read(0, BLOCK)
    assert device.corrupted_blocks == MAX_LOGGED + 20
    assert len(caplog.messages) == MAX_LOGGED + 1
    assert caplog.messages[-1].endswith("verity: 100 faults were logged, further ones are only counted")


def test_a_stopped_device_reads_nothing_any_more() -> None:
    data, hashes, root_hash = plain()
    device = opened(data, hashes, root_hash, corruption=Corruption.STOP)
    flip(data, 5 * BLOCK)
    for offset in (5 * BLOCK, 0):
        with pytest.raises(IntegrityError):
            device.read(offset, BLOCK)


def test_blocks_that_are_to_be_zeros_are() -> None:
    data, hashes, root_hash = plain()
    flip(data, ZERO.start * BLOCK + 1)
    with pytest.raises(IntegrityError):
        opened(data, hashes, root_hash).read(ZERO.start * BLOCK, BLOCK)
    device = opened(data, hashes, root_hash, ignore_zero_blocks=True)
    assert read_bytes(device, ZERO.start * BLOCK, len(ZERO) * BLOCK) == bytes(len(ZERO) * BLOCK)
    flip(data, BLOCK)
    with pytest.raises(IntegrityError):
        device.read(BLOCK, BLOCK)


def test_checked_once() -> None:
    data, hashes, root_hash = plain()
    device = opened(data, hashes, root_hash, check_at_most_once=True)
    device.read(0, 4 * BLOCK)
    flip(data, BLOCK)
    device.read(BLOCK, BLOCK)
    flip(data, 4 * BLOCK)
    with pytest.raises(IntegrityError):
        device.read(4 * BLOCK, BLOCK)


def test_resident_reads_wait_for_no_hash_block() -> None:
    data, hashes, root_hash = plain()
    device = opened(data, hashes, root_hash)
    assert device.read_resident(0, BLOCK) is None
    device.read(0, BLOCK)
    views = device.read_resident(0, BLOCK)
    assert views is not None
    assert b"".join(views) == read_bytes(data, 0, BLOCK)


def test_devices_that_are_too_short() -> None:
    data, hashes, root_hash = plain()
    with pytest.raises(DeviceError, match="the data device is too short for its hash tree"):
        opened(MemoryDevice(BLOCK), hashes, root_hash)
    with pytest.raises(DeviceError, match="hash tree ends"):
        opened(data, MemoryDevice(512), root_hash)


def test_one_block_has_no_tree() -> None:
    data = MemoryDevice(BLOCK)
    parameters = VerityParameters(1)
    root_hash = build_tree(data, MemoryDevice(512), parameters, start_block=0)
    device = Verity(data, MemoryDevice(512), parameters, root_hash, start_block=0)
    assert read_bytes(device, 0, BLOCK) == bytes(BLOCK)
    data.write(0, b"x" * 512)
    with pytest.raises(IntegrityError):
        device.read(0, BLOCK)
