from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from random import Random

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.overlay.ram import Overlay
from bootpath.block.targets.anybytes import AnyBytes, Gated, WriteGate, session_device
from bootpath.block.targets.filter import Filter
from bootpath.block.targets.linear import Linear
from bootpath.core.device import Buffer, Checked, Device, checked, read_bytes
from tests.support.patterns import pattern

SIZE = 32 << 10


class WholeBlocks(Filter):
    """A device that refuses anything else, as a real disk does; `between` is called before each write."""

    def __init__(self, lower: Device) -> None:
        super().__init__(Checked(lower))
        self.between: Callable[[], None] = lambda: None

    def write(self, offset: int, data: Buffer, *, fua: bool = False) -> None:
        self.between()
        self.lower.write(offset, data, fua=fua)


DEVICES: dict[str, Callable[[bytearray], Device]] = {
    "memory": MemoryDevice,
    "overlay": lambda content: Overlay(MemoryDevice(content), drop_matching=False),
    "overlay that compares": lambda content: Overlay(MemoryDevice(content)),
    "overlay over whole blocks": lambda content: Overlay(WholeBlocks(MemoryDevice(content)), drop_matching=False),
    "part of an overlay": lambda content: Linear(Overlay(MemoryDevice(bytes(512) + content)), 512, SIZE),
    "blocks of 512": lambda content: WholeBlocks(MemoryDevice(content)),
    "blocks of 4096": lambda content: WholeBlocks(MemoryDevice(content, block_bytes=4096)),
}


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("seed", range(3))
def test_it_is_a_bytearray(name: str, seed: int) -> None:
    model = bytearray(pattern(0, SIZE))
    device = AnyBytes(DEVICES[name](bytearray(model)), WriteGate())
    random = Random(seed)
    for _ in range(300):
        offset = random.randrange(SIZE)
        length = min(random.choice([1, 3, 511, 512, 513, 4096, 5000, 9000]), SIZE - offset)
        match random.randrange(5):
            case 0 | 1:
                data = random.randbytes(length)
                device.write(offset, data, fua=random.random() < 0.1)
                model[offset : offset + length] = data
            case 2:
                device.zero(offset, length)
                model[offset : offset + length] = bytes(length)
            case 3:
                assert sum(each.length for each in device.extents(offset, length)) == length
            case _:
                resident = device.read_resident(offset, length)
                assert resident is None or b"".join(resident) == model[offset : offset + length]
                assert read_bytes(device, offset, length) == model[offset : offset + length]
    assert read_bytes(device, 0, SIZE) == model


def test_a_discard_leaves_parts_of_blocks_alone() -> None:
    device = AnyBytes(WholeBlocks(MemoryDevice(bytearray(b"x" * 2048))), WriteGate())
    device.discard(100, 1300)
    assert read_bytes(device, 0, 2048) == b"x" * 512 + bytes(512) + b"x" * 1024
    device.discard(600, 100)
    assert read_bytes(device, 1024, 1024) == b"x" * 1024


def test_no_write_of_another_is_undone() -> None:
    """Several write a byte each of the same block, and one the block below it, at the same time."""
    lower = WholeBlocks(MemoryDevice(1024))
    gate = WriteGate()
    turns = 200

    def bytes_of(place: int) -> None:
        device = session_device(lower, gate, any_bytes=True, read_only=False)
        for turn in range(turns):
            device.write(place, bytes((turn,)))
            assert read_bytes(device, place, 1) == bytes((turn,))

    def blocks() -> None:
        device = session_device(lower, gate, any_bytes=False, read_only=False)
        for turn in range(turns):
            device.write(512, bytes((turn,)) * 512)
            assert read_bytes(device, 512, 512) == bytes((turn,)) * 512

    faults: list[BaseException] = []

    def running(work: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            try:
                work()
            except BaseException as fault:  # noqa: BLE001 - told to the test
                faults.append(fault)

        return threading.Thread(target=run)

    works: Sequence[Callable[[], None]] = [lambda place=place: bytes_of(place) for place in (0, 1, 2, 511)]  # type: ignore[misc]
    threads = [running(work) for work in (*works, blocks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


def test_a_whole_write_waits_for_a_merge() -> None:
    """Without the gate the merge would write back what it had read before."""
    lower = WholeBlocks(MemoryDevice(512))
    gate = WriteGate()
    any_bytes, whole = AnyBytes(lower, gate), Gated(lower, gate)
    writer = threading.Thread(target=whole.write, args=(0, b"w" * 512))

    def start_the_other() -> None:
        lower.between = lambda: None
        writer.start()
        writer.join(0.05)
        assert writer.is_alive()

    lower.between = start_the_other
    any_bytes.write(3, b"m")
    writer.join()
    assert read_bytes(lower, 0, 512) == b"w" * 512


def test_who_needs_which() -> None:
    gate = WriteGate()
    memory, blocks = MemoryDevice(512), WholeBlocks(MemoryDevice(512))
    assert session_device(memory, gate, any_bytes=False, read_only=False) is memory
    assert session_device(blocks, gate, any_bytes=False, read_only=True) is blocks
    assert isinstance(session_device(blocks, gate, any_bytes=False, read_only=False), Gated)
    assert session_device(memory, gate, any_bytes=True, read_only=False).block_bytes == 1
    assert AnyBytes(memory, gate).write_granularity() == 1
    assert AnyBytes(blocks, gate).write_granularity() is None
    assert checked(blocks).block_bytes == 512
