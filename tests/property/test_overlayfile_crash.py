"""After a crash a persistent overlay is the disk of one moment at or after the last flush, whatever the disk kept.

With checksums too: a write that no flush has ended is there or is not, and is never EIO. Each run has checksums, or has
none when its seed is odd.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from random import Random

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.overlay import journal as overlayjournal
from bootpath.block.overlay import writer as overlaywriter
from bootpath.block.overlay.check import OverlayFault, check_storage
from bootpath.block.overlay.commit import commit_into
from bootpath.block.overlay.file import OverlayFile, load_for
from bootpath.block.overlay.state import lay_out
from bootpath.core.device import checked, read_bytes
from bootpath.core.errors import DeviceError, FormatError
from tests.support.crashstorage import CrashStorage
from tests.support.patterns import pattern

BLOCK = 4096
SIZE = 24 * BLOCK
BASE = pattern(0, SIZE)
KEEPS = (0.0, 1.0, 0.5, 0.9)
_OPERATIONS = {"write": 12, "fua": 2, "zero": 2, "discard": 3, "flush": 4, "reset": 0.3, "reopen": 0.7}


def new_base() -> MemoryDevice:
    return MemoryDevice(BASE)


@pytest.fixture(autouse=True)
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log of a few records and commits unasked, so that short runs meet a new log and both kinds of commit."""
    monkeypatch.setattr(overlayjournal, "LOG_MIN_BYTES", 2048)
    monkeypatch.setattr(overlaywriter, "_COMMIT_ENTRIES", 12)
    monkeypatch.setattr(overlaywriter, "_COMMIT_SUPERSEDED", 30)
    monkeypatch.setattr(overlaywriter, "_PUNCH_CLUSTERS", 1)


@dataclass
class Run:
    """A device, the model beside it, and the model's state after every operation."""

    storage: CrashStorage
    device: OverlayFile
    model: bytearray
    states: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.states.append(bytes(self.model))
        self.storage.mark("stable", 0)

    def work(self, random: Random, count: int) -> None:
        target = checked(self.device)
        for _ in range(count):
            number = len(self.states)
            self.storage.mark("begun", number)
            name = random.choices(list(_OPERATIONS), list(_OPERATIONS.values()))[0]
            unit = BLOCK if name in ("zero", "discard") or random.random() < 0.5 else 512
            low = random.randrange(SIZE // unit)
            length = unit * random.randint(1, min(SIZE // unit - low, 5 * BLOCK // unit))
            offset = low * unit
            if name in ("write", "fua"):
                data = pattern(offset, length, tag=number)
                self.model[offset : offset + length] = data
                self.states.append(bytes(self.model))
                target.write(offset, data, fua=name == "fua")
            elif name in ("zero", "discard"):
                self.model[offset : offset + length] = bytes(length)
                self.states.append(bytes(self.model))
                getattr(target, name)(offset, length)
            elif name == "reset":
                self.model[:] = BASE
                self.states.append(bytes(self.model))
                self.device.reset()
            elif name == "reopen":
                self.states.append(bytes(self.model))
                self.device.close()
                self.device = reopened(self.storage)
                target = checked(self.device)
            else:
                self.states.append(bytes(self.model))
                target.flush()
            if name in ("fua", "flush", "reset", "reopen"):
                self.storage.mark("stable", number)
        assert read_bytes(target, 0, SIZE) == self.model

    def moments(self, upto: int) -> range:
        """The operations after any of which the disk may be, when only the first `upto` calls were made."""
        calls = self.storage.calls[:upto]
        stable = max(value for name, value, _ in calls if name == "stable")
        begun = max([stable, *(value for name, value, _ in calls if name == "begun")])
        return range(stable, begun + 1)


def begin(seed: int) -> Run:
    random = Random(seed)
    storage = CrashStorage()
    base = new_base()
    overlay = lay_out(storage, base, checksums=seed % 2 == 0, random=random.randbytes)
    return Run(storage, OverlayFile(storage, overlay, base), bytearray(BASE))


def reopened(storage: CrashStorage) -> OverlayFile:
    base = new_base()
    return OverlayFile(storage, load_for(storage, base, writable=True), base)


def check(run: Run, upto: int, image: bytes) -> tuple[OverlayFile, bytes]:
    damage = {finding.fault.reason for finding in check_storage(CrashStorage(image)).findings if finding.damage}
    assert damage <= {OverlayFault.HEADER_DAMAGED}, f"after call {upto}"  # a copy that was being written
    device = reopened(CrashStorage(image))
    content = read_bytes(device, 0, SIZE)
    moments = run.moments(upto)
    assert content in [run.states[number] for number in moments], f"after call {upto} it is of no moment in {moments}"
    return device, content


@pytest.mark.parametrize("seed", range(8))
def test_every_prefix_and_many_reorderings(seed: int) -> None:
    run = begin(seed)
    first = len(run.storage.calls)
    run.work(Random(seed), 45)
    random = Random(seed + 1000)
    for upto in range(first, len(run.storage.calls) + 1):
        for keep in KEEPS:
            check(run, upto, run.storage.lost_power(upto, random, keep=keep))


@pytest.mark.parametrize("seed", range(20, 24))
def test_a_second_crash_after_the_first(seed: int) -> None:
    random = Random(seed)
    for _ in range(12):
        run = begin(seed)
        first = len(run.storage.calls)
        run.work(random, 25)
        upto = random.randrange(first, len(run.storage.calls) + 1)
        device, content = check(run, upto, run.storage.lost_power(upto, random, keep=0.7))
        storage = device._storage
        assert isinstance(storage, CrashStorage)
        again = Run(storage, device, bytearray(content))
        first = len(storage.calls)
        again.work(random, 15)
        for upto in range(first, len(storage.calls) + 1, 3):
            for keep in KEEPS:
                check(again, upto, storage.lost_power(upto, random, keep=keep))


@pytest.mark.parametrize("seed", range(40, 44))
def test_a_killed_process_then_a_power_cut(seed: int) -> None:
    """A record that only the page cache has is believed by the next process, and must not be lost after that."""
    random = Random(seed)
    for _ in range(12):
        run = begin(seed)
        first = len(run.storage.calls)
        run.work(random, 25)
        upto = random.randrange(first, len(run.storage.calls))
        storage = run.storage.killed(upto, random)
        device = reopened(storage)
        content = read_bytes(device, 0, SIZE)
        assert content in [run.states[number] for number in run.moments(upto + 1)]
        again = Run(storage, device, bytearray(content))
        first = len(storage.calls)
        again.work(random, 12)
        for upto in range(first, len(storage.calls) + 1, 3):
            for keep in KEEPS:
                check(again, upto, storage.lost_power(upto, random, keep=keep))


def test_creation_that_was_cut_short_is_no_overlay() -> None:
    run = begin(1)
    random = Random(1)
    for upto in range(len(run.storage.calls)):
        for keep in KEEPS:
            image = run.storage.lost_power(upto, random, keep=keep)
            try:
                device = reopened(CrashStorage(image))
            except FormatError:
                continue
            assert read_bytes(device, 0, SIZE) == BASE


@pytest.mark.parametrize("seed", range(60, 64))
def test_commit_into_the_base_can_be_made_again_after_a_crash_anywhere(seed: int) -> None:
    random = Random(seed)
    run = begin(seed)
    run.work(random, 20)
    run.device.flush()
    expected = bytes(run.model)
    image = bytes(run.storage.current)
    # First, how many calls it takes on both.
    total = len(commit_with_crash(image, random, None)[0].log)
    for stop in range(total):
        base, storage = commit_with_crash(image, random, stop)
        after = CrashStorage(storage)
        target = MemoryDevice(bytearray(base.after_crash(random)))
        try:
            commit_into(after, target, random=random.randbytes)
        except DeviceError as error:
            pytest.fail(f"stopped before call {stop}: {error}")
        assert read_bytes(target, 0, SIZE) == expected, f"stopped before call {stop}"
        empty = load_for(after, target, writable=True)
        assert list(empty.blocks.held()) == []


class PowerCutError(Exception):
    pass


class CuttingStorage(CrashStorage):
    def __init__(self, image: bytes, log: list[str], stop: int | None) -> None:
        super().__init__(image)
        self.log = log
        self.stop = stop

    def _do(self, name: str, offset: int, data: bytes) -> None:
        if self.stop is not None and len(self.log) >= self.stop:
            raise PowerCutError
        self.log.append(name)
        super()._do(name, offset, data)


class CuttingBase(MemoryDevice):
    def __init__(self, content: bytes, log: list[str], stop: int | None) -> None:
        super().__init__(bytearray(content))
        self.log = log
        self.stop = stop
        self.stable = content

    def _step(self, name: str) -> None:
        if self.stop is not None and len(self.log) >= self.stop:
            raise PowerCutError
        self.log.append(name)

    def write(self, offset: int, data: bytes | bytearray | memoryview, *, fua: bool = False) -> None:
        self._step("base write")
        super().write(offset, data, fua=fua)

    def zero(self, offset: int, length: int) -> None:
        self._step("base zero")
        super().zero(offset, length)

    def flush(self) -> None:
        self._step("base flush")
        self.stable = read_bytes(self, 0, self.size_bytes)

    def after_crash(self, random: Random) -> bytes:
        now = read_bytes(self, 0, self.size_bytes)
        sectors = range(0, self.size_bytes, 512)
        return b"".join(random.choice((self.stable, now))[low : low + 512] for low in sectors)


def commit_with_crash(image: bytes, random: Random, stop: int | None) -> tuple[CuttingBase, bytes]:
    """The base, and what the overlay's disk may hold, when the power goes before call `stop` of both."""
    log: list[str] = []
    storage = CuttingStorage(image, log, stop)
    base = CuttingBase(BASE, log, stop)
    with contextlib.suppress(PowerCutError):
        commit_into(storage, base, random=random.randbytes)
    return base, storage.lost_power(len(storage.calls), random, keep=0.6)


@pytest.mark.parametrize("block_bytes", [512, 4096])
@pytest.mark.parametrize("seed", range(3))
def test_equals_a_bytearray_also_at_odd_edges_and_after_opening_again(seed: int, block_bytes: int) -> None:
    random = Random(seed)
    size = SIZE + (512 if block_bytes == 512 else 0)
    content = pattern(0, size)
    base = MemoryDevice(content, block_bytes=block_bytes)
    storage = CrashStorage()
    overlay = lay_out(storage, base, checksums=seed != 1, random=random.randbytes)
    device = OverlayFile(storage, overlay, base)
    model = bytearray(content)
    for step in range(400):
        offset = random.randrange(size // block_bytes) * block_bytes
        length = block_bytes * random.randint(1, min((size - offset) // block_bytes, 6 * BLOCK // block_bytes))
        match random.randrange(6):
            case 0 | 1:
                data = pattern(offset, length, tag=step)
                model[offset : offset + length] = data
                device.write(offset, data)
            case 2:
                model[offset : offset + length] = bytes(length)
                device.zero(offset, length)
            case 3:
                low = -(-offset // BLOCK) * BLOCK
                high = size if offset + length == size else (offset + length) // BLOCK * BLOCK
                model[low : max(low, high)] = bytes(max(high - low, 0))
                device.discard(offset, length)
            case 4:
                device.flush()
            case _:
                assert read_bytes(device, offset, length) == model[offset : offset + length]
                parts = list(device.extents(offset, length))
                assert sum(part.length for part in parts) == length
                assert all(not any(model[part.offset : part.offset + part.length]) for part in parts if part.zero)
        if step % 100 == 99:
            device.close()
            storage = CrashStorage(bytes(storage.current))
            device = OverlayFile(storage, load_for(storage, base, writable=True), base)
            assert read_bytes(device, 0, size) == model
    assert device.dirty_bytes == sum(part.length for part in device.extents(0, size) if part.source == "overlay") or (
        size % BLOCK
    )
