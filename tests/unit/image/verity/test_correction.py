"""What FEC can correct of a whole volume, counted without reading it block by block."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from random import Random

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.targets.verity.repair import ParityArea, Repair
from bootpath.core.device import Buffer, Device
from bootpath.core.errors import DeviceError, IntegrityError
from bootpath.formats.verity.fec import FecParameters
from bootpath.formats.verity.tree import VerityParameters
from bootpath.image.verity.correction import Corrected, correct_volume
from bootpath.image.verity.fec import build_fec, wrong_parity
from bootpath.image.verity.tree import build_tree
from tests.support.patterns import pattern

BLOCK = 512
COUNT = 1500
PARAMETERS = VerityParameters(COUNT, salt=b"salt", data_block_size=BLOCK, hash_block_size=BLOCK)
SHAPE = FecParameters(COUNT + PARAMETERS.tree_blocks(), BLOCK, 4)
ROUNDS = SHAPE.rounds


class Volume:
    """A volume in memory with FEC data, which can be damaged."""

    def __init__(self) -> None:
        self.data: Device = MemoryDevice(bytearray(pattern(0, COUNT * BLOCK)))
        self.hashes = MemoryDevice(bytearray(PARAMETERS.tree_blocks() * BLOCK))
        self.parity = MemoryDevice(bytearray(SHAPE.parity_bytes))
        self.root_hash = build_tree(self.data, self.hashes, PARAMETERS, start_block=0)
        build_fec(self.data, self.hashes, self.parity, SHAPE, data_blocks=COUNT, start_block=0)

    def corrected(self, seen: list[int] | None = None) -> Corrected:
        area = ParityArea(self.parity, SHAPE)
        progress = None if seen is None else seen.append
        return correct_volume(
            self.data, self.hashes, PARAMETERS, self.root_hash, area, start_block=0, progress=progress
        )


def flip(device: Device, *blocks: int, byte: int | None = None) -> None:
    """All of a block, or one byte of it."""
    for block in blocks:
        content = bytearray(b"".join(device.read(block * BLOCK, BLOCK)))
        for index in range(BLOCK) if byte is None else (byte,):
            content[index] ^= 0x5A
        device.write(block * BLOCK, bytes(content))


def test_nothing_is_wrong() -> None:
    assert Volume().corrected() == Corrected(0, 0)


@pytest.mark.parametrize(
    "blocks", [(0,), (COUNT - 1,), range(100, 100 + 4 * ROUNDS), (3, 3 + ROUNDS, 3 + 2 * ROUNDS, 3 + 3 * ROUNDS)]
)
def test_wrong_data_is_counted(blocks: Sequence[int]) -> None:
    volume, seen = Volume(), list[int]()
    flip(volume.data, *blocks)
    assert volume.corrected(seen) == Corrected(len(blocks), 0)
    assert seen[-1] == COUNT * BLOCK
    assert max(seen) == COUNT * BLOCK


def test_each_level_of_the_tree_is_corrected_before_what_is_below() -> None:
    volume = Volume()
    flip(volume.hashes, *(level.start for level in PARAMETERS.levels(0)))
    flip(volume.data, 0)
    assert volume.corrected() == Corrected(1, len(PARAMETERS.levels(0)))


def test_more_blocks_than_roots() -> None:
    volume = Volume()
    flip(volume.data, *(5 + region * ROUNDS for region in range(5)))
    with pytest.raises(IntegrityError, match="data block 5 does not match the root hash, and FEC cannot correct it"):
        volume.corrected()


def test_a_wrong_byte_in_each_block_of_a_place() -> None:
    """Far more blocks than roots, but never more than one wrong byte in a codeword."""
    volume = Volume()
    for region in range(COUNT // ROUNDS):
        flip(volume.data, 2 + region * ROUNDS, byte=region)
    assert volume.corrected() == Corrected(COUNT // ROUNDS, 0)


class Counting(Repair):
    """Counts at how many places something is to be rebuilt."""

    places = 0

    def rebuilt_at(self, *arguments: object) -> dict[int, bytes]:
        type(self).places += 1
        return super().rebuilt_at(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("first", [0, COUNT // 2], ids=["all", "half"])
def test_a_hopeless_volume_is_given_up_at_once(first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bootpath.image.verity.correction.Repair", Counting)
    Counting.places = 0
    volume = Volume()
    flip(volume.data, 1)  # which can be corrected
    volume.data.write(first * BLOCK, Random(1).randbytes((COUNT - first) * BLOCK))
    with pytest.raises(IntegrityError, match="FEC cannot correct it"):
        volume.corrected()
    assert Counting.places <= 4


def test_each_place_is_corrected_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not each block: 4 * ROUNDS of them are wrong here."""
    monkeypatch.setattr("bootpath.image.verity.correction.Repair", Counting)
    Counting.places = 0
    volume = Volume()
    flip(volume.data, *range(4 * ROUNDS))
    assert volume.corrected() == Corrected(4 * ROUNDS, 0)
    tried_at_once = (4 * ROUNDS).bit_length()
    assert Counting.places == ROUNDS + tried_at_once


class Failing(MemoryDevice):
    """Cannot read some of its blocks."""

    def __init__(self, content: bytes, blocks: Collection[int]) -> None:
        super().__init__(bytearray(content))
        self.blocks = blocks

    def direct(self) -> None:
        """It cannot be read past `read`."""

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        for block in self.blocks:
            if offset < (block + 1) * BLOCK and block * BLOCK < offset + length:
                raise DeviceError(f"bad sector at block {block}", where="disk")
        return super().read(offset, length)


def test_what_cannot_be_read_is_wrong() -> None:
    volume = Volume()
    content = b"".join(volume.data.read(0, COUNT * BLOCK))
    volume.data = Failing(content, {7, 8, 7 + ROUNDS})
    flip(volume.data, 300)
    assert volume.corrected() == Corrected(4, 0)
    volume.data = Failing(content, [7 + region * ROUNDS for region in range(5)])
    with pytest.raises(DeviceError, match="bad sector at block 7") as failure:
        volume.corrected()
    assert not isinstance(failure.value, IntegrityError)


def test_parity_that_is_wrong_is_counted() -> None:
    volume = Volume()
    area = ParityArea(volume.parity, SHAPE)
    assert wrong_parity(volume.data, volume.hashes, area, data_blocks=COUNT, start_block=0) == 0
    flip(volume.parity, 0, byte=9)
    flip(volume.parity, 7)
    assert wrong_parity(volume.data, volume.hashes, area, data_blocks=COUNT, start_block=0) == 2
