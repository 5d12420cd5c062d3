"""What parity mends when a volume is read, and that nothing else passes for mended."""

from __future__ import annotations

import errno
import logging
from collections.abc import Sequence

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.table.veritytarget import open_verity_target, verity_options
from bootpath.block.targets.verity.repair import ParityArea
from bootpath.block.targets.verity.verity import Corruption, Verity, VerityOptions
from bootpath.core.device import Buffer, Device, read_bytes
from bootpath.core.errors import DeviceError, FormatError, IntegrityError, SignatureError
from bootpath.formats.dm.verity import VerityFec, VerityTarget
from bootpath.formats.verity.fec import FecParameters
from bootpath.formats.verity.tree import VerityParameters
from bootpath.image.verity.fec import build_fec
from bootpath.image.verity.tree import build_tree
from tests.support.patterns import pattern

BLOCK = 512
COUNT = 600
START = 2  # where the tree begins on its device
PARAMETERS = VerityParameters(COUNT, salt=b"salt", data_block_size=BLOCK, hash_block_size=BLOCK)
MORE = 5  # blocks of other metadata behind the tree
SHAPE = FecParameters(COUNT + PARAMETERS.tree_blocks() + MORE, BLOCK, 4)
PARITY_OFFSET = 3 * BLOCK
ROUNDS = SHAPE.rounds


class Volume:
    """A volume in memory with parity, which can be broken."""

    def __init__(self, parameters: VerityParameters = PARAMETERS) -> None:
        self.content = pattern(0, COUNT * BLOCK)
        self.data = MemoryDevice(bytearray(self.content))
        self.hashes = MemoryDevice(bytearray((START + parameters.tree_blocks() + MORE) * BLOCK))
        self.parity = MemoryDevice(bytearray(PARITY_OFFSET + SHAPE.parity_bytes))
        self.root_hash = build_tree(self.data, self.hashes, parameters, start_block=START)
        self.make_parity()

    def make_parity(self) -> None:
        build_fec(
            self.data,
            self.hashes,
            self.parity,
            SHAPE,
            data_blocks=COUNT,
            start_block=START,
            offset_bytes=PARITY_OFFSET,
        )

    def opened(self, data: Device | None = None, hashes: Device | None = None, **options: object) -> Verity:
        return Verity(
            data or self.data,
            hashes or self.hashes,
            PARAMETERS,
            self.root_hash,
            start_block=START,
            options=VerityOptions(**options),  # type: ignore[arg-type]
            parity=ParityArea(self.parity, SHAPE, PARITY_OFFSET),
        )


def spoil(device: MemoryDevice, *blocks: int, start: int = 0) -> None:
    for block in blocks:
        device.write(start + block * BLOCK, bytes(BLOCK))


def everything(device: Verity) -> bytes:
    return read_bytes(device, 0, device.size_bytes)


def test_a_volume_without_flaw_needs_no_parity() -> None:
    volume = Volume()
    device = volume.opened()
    assert everything(device) == volume.content
    assert device.repaired_blocks == 0


@pytest.mark.parametrize(
    "blocks",
    [
        (7,),
        (0, COUNT - 1),
        tuple(range(100, 100 + 4 * ROUNDS)),  # a burst as long as the code allows
        (5, 5 + ROUNDS, 5 + 2 * ROUNDS, 5 + 3 * ROUNDS),  # all in one codeword
    ],
)
def test_wrong_data_is_mended(blocks: tuple[int, ...]) -> None:
    volume = Volume()
    spoil(volume.data, *blocks)
    device = volume.opened()
    assert everything(device) == volume.content
    assert device.repaired_blocks == len(blocks)
    assert device.corrupted_blocks == 0
    assert read_bytes(volume.data, blocks[0] * BLOCK, BLOCK) == bytes(BLOCK), "nothing is written back"


def test_five_wrong_blocks_of_one_codeword_are_too_many() -> None:
    volume = Volume()
    blocks = tuple(5 + region * ROUNDS for region in range(5))
    spoil(volume.data, *blocks)
    device = volume.opened()
    for block in blocks:
        with pytest.raises(IntegrityError, match=f"data block {block} "):
            device.read(block * BLOCK, BLOCK)
    assert read_bytes(device, 6 * BLOCK, BLOCK) == volume.content[6 * BLOCK : 7 * BLOCK]


@pytest.mark.parametrize("level", range(len(PARAMETERS.levels(START))))
def test_wrong_hash_blocks_are_mended(level: int) -> None:
    volume = Volume()
    spoil(volume.hashes, PARAMETERS.levels(START)[level].start)
    device = volume.opened()
    assert everything(device) == volume.content
    assert device.repaired_blocks == 1


def test_data_and_all_levels_at_once() -> None:
    """From the top: what is below a wrong hash block cannot be judged before that is mended."""
    volume = Volume()
    spoil(volume.hashes, *(each.start for each in PARAMETERS.levels(START)))
    spoil(volume.data, 0, 2)
    assert everything(volume.opened()) == volume.content


def test_parity_may_be_wrong_too() -> None:
    volume = Volume()
    spoil(volume.data, 9)
    for byte in range(0, SHAPE.parity_bytes, 7):  # at most one byte of each codeword
        offset = PARITY_OFFSET + byte
        sector = bytearray(read_bytes(volume.parity, offset // 512 * 512, 512))
        sector[offset % 512] ^= 0x55
        volume.parity.write(offset // 512 * 512, bytes(sector))
    assert everything(volume.opened()) == volume.content


def test_wrong_parity_makes_no_wrong_data() -> None:
    volume = Volume()
    spoil(volume.data, 9)
    volume.parity.write(PARITY_OFFSET, bytes(SHAPE.parity_bytes))
    with pytest.raises(IntegrityError, match="data block 9 "):
        everything(volume.opened())


def test_what_follows_the_tree_may_be_wrong_too() -> None:
    volume = Volume()
    place, _ = SHAPE.place(SHAPE.blocks - 1)
    spoil(volume.data, place)
    volume.hashes.write(volume.hashes.size_bytes - BLOCK, b"\1" * BLOCK)
    assert everything(volume.opened()) == volume.content


class Failing(MemoryDevice):
    """Cannot read some of its blocks."""

    def __init__(self, content: bytes, blocks: Sequence[int]) -> None:
        super().__init__(bytearray(content))
        self.blocks = blocks

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        if any(offset < (block + 1) * BLOCK and block * BLOCK < offset + length for block in self.blocks):
            raise DeviceError(f"bad sector at {offset}", where="disk")
        return super().read(offset, length)

    def read_resident(self, offset: int, length: int) -> Sequence[Buffer] | None:
        return None


def test_blocks_that_cannot_be_read_are_mended() -> None:
    volume = Volume()
    data = Failing(volume.content, (3, 4, 5))
    hashes = Failing(read_bytes(volume.hashes, 0, volume.hashes.size_bytes), (START, START + 3))
    device = volume.opened(data, hashes)
    assert everything(device) == volume.content
    assert device.repaired_blocks == 5


@pytest.mark.parametrize("corruption", Corruption)
def test_blocks_that_are_lost_are_never_made_up(corruption: Corruption) -> None:
    """Not even with ignore_corruption, which is for what can be read."""
    volume = Volume()
    data = Failing(volume.content, [5 + region * ROUNDS for region in range(5)])
    with pytest.raises(DeviceError, match="bad sector") as failure:
        volume.opened(data, corruption=corruption).read(4 * BLOCK, 4 * BLOCK)
    assert failure.value.errno == errno.EIO


def test_after_an_error_it_can_be_over() -> None:
    volume = Volume()
    data = Failing(volume.content, [5 + region * ROUNDS for region in range(5)])
    device = volume.opened(data, stop_on_error=True)
    with pytest.raises(DeviceError, match="bad sector"):
        device.read(5 * BLOCK, BLOCK)
    with pytest.raises(IntegrityError, match="stopped"):
        device.read(0, BLOCK)


def test_a_resident_read_waits_for_no_mending() -> None:
    volume = Volume()
    device = volume.opened()
    everything(device)
    assert device.read_resident(7 * BLOCK, BLOCK) is not None
    spoil(volume.data, 7)
    assert device.read_resident(7 * BLOCK, BLOCK) is None
    assert read_bytes(device, 7 * BLOCK, BLOCK) == volume.content[7 * BLOCK : 8 * BLOCK]


def test_garbage_where_zeros_are_meant_is_no_burden(caplog: pytest.LogCaptureFixture) -> None:
    """With ignore_zero_blocks; the parity is of zeros."""
    volume = Volume()
    zeros = [40 + region * ROUNDS for region in range(5)]
    spoil(volume.data, *zeros)
    volume.root_hash = build_tree(volume.data, volume.hashes, PARAMETERS, start_block=START)
    build_fec(
        volume.data,
        volume.hashes,
        volume.parity,
        SHAPE,
        data_blocks=COUNT,
        start_block=START,
        offset_bytes=PARITY_OFFSET,
    )
    for block in zeros:
        volume.data.write(block * BLOCK, b"\1" * BLOCK)
    spoil(volume.data, 40 + 5 * ROUNDS)
    device = volume.opened(ignore_zero_blocks=True)
    with caplog.at_level(logging.INFO):
        assert read_bytes(device, zeros[0] * BLOCK, BLOCK) == bytes(BLOCK)
        block = 40 + 5 * ROUNDS
        assert read_bytes(device, block * BLOCK, BLOCK) == volume.content[block * BLOCK : (block + 1) * BLOCK]
    assert "data block 55 was rebuilt from FEC" in caplog.text


def test_devices_that_are_too_short_for_parity() -> None:
    volume = Volume()
    for hashes, parity, message in (
        (
            MemoryDevice((START + PARAMETERS.tree_blocks()) * BLOCK),
            volume.parity,
            "what FEC covers ends past the device",
        ),
        (volume.hashes, MemoryDevice(PARITY_OFFSET + SHAPE.parity_bytes - BLOCK), "the FEC area ends past the device"),
    ):
        area = ParityArea(parity, SHAPE, PARITY_OFFSET)
        with pytest.raises(DeviceError, match=message) as refusal:
            Verity(volume.data, hashes, PARAMETERS, volume.root_hash, start_block=START, parity=area)
        assert refusal.value.errno == errno.EINVAL
        with pytest.raises(DeviceError, match="ends beyond the device"):
            build_fec(
                *(volume.data, hashes, parity, SHAPE),
                data_blocks=COUNT,
                start_block=START,
                offset_bytes=PARITY_OFFSET,
            )
    other = ParityArea(volume.parity, FecParameters(COUNT, BLOCK, 4))
    with pytest.raises(FormatError, match="fec_blocks"):
        Verity(volume.data, volume.hashes, PARAMETERS, volume.root_hash, start_block=START, parity=other)


def line_of(volume: Volume, **more: object) -> VerityTarget:
    return VerityTarget("data", "hashes", PARAMETERS, START, volume.root_hash, **more)  # type: ignore[arg-type]


def test_a_line_with_parity() -> None:
    volume = Volume()
    spoil(volume.data, 7)
    devices = {"data": volume.data, "hashes": volume.hashes, "parity": volume.parity}
    line = line_of(volume, fec=VerityFec("parity", SHAPE, PARITY_OFFSET // BLOCK))
    assert everything(open_verity_target(line, devices.__getitem__)) == volume.content


def test_a_line_with_a_signature_is_not_opened_without_somebody_who_checks_it() -> None:
    volume = Volume()
    devices = {"data": volume.data, "hashes": volume.hashes}
    line = line_of(volume, signature_key="the:key")
    with pytest.raises(DeviceError, match="keyring, as 'the:key'") as refusal:
        open_verity_target(line, devices.__getitem__)
    assert refusal.value.errno == errno.ENOTSUP
    seen: list[tuple[str, bytes]] = []
    device = open_verity_target(
        line, devices.__getitem__, verify_signature=lambda key, root_hash: seen.append((key, root_hash))
    )
    assert seen == [("the:key", volume.root_hash)]
    assert everything(device) == volume.content

    def refuse(key: str, root_hash: bytes) -> None:
        raise SignatureError("no")

    with pytest.raises(SignatureError):
        open_verity_target(line, devices.__getitem__, verify_signature=refuse)


def test_flags_of_a_line() -> None:
    assert verity_options(()) == VerityOptions()
    assert verity_options(("panic_on_corruption", "check_at_most_once", "restart_on_error")) == VerityOptions(
        Corruption.STOP, check_at_most_once=True, stop_on_error=True
    )
