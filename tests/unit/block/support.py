"""Doubles for the block floor: a clock that only waiting moves, and devices that misbehave."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.core.device import Buffer, Device, Identity, read_bytes
from bootpath.core.errors import DeviceError
from tests.support.patterns import pattern

KIB = 1 << 10
MIB = 1 << 20


def disk(size_bytes: int, *, tag: int = 0, block_bytes: int = 512, identity: Identity | None = None) -> MemoryDevice:
    """A read-only disk of sectors that identify themselves."""
    return MemoryDevice(pattern(0, size_bytes, tag), block_bytes=block_bytes, identity=identity)


def whole(device: Device) -> bytes:
    return read_bytes(device, 0, device.size_bytes)


class FakeTime(threading.Condition):
    """A clock and its condition: waiting moves the clock, and runs what was scheduled for then."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.waits: list[float] = []
        self.schedule: list[tuple[float, Callable[[], None]]] = []

    def clock(self) -> float:
        return self.now

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None, "a wait without a deadline"
        assert timeout > 0, "a busy loop"
        self.waits.append(timeout)
        end = self.now + timeout
        for at, action in sorted(self.schedule, key=lambda row: row[0]):
            if at <= end:
                self.schedule.remove((at, action))
                self.now = max(self.now, at)
                action()
                return True
        self.now = end
        return False


class Counting(MemoryDevice):
    """Memory that notes the ranges that were read, and can be made to be absent from the cache or broken."""

    def __init__(self, buffer: Buffer, *, block_bytes: int = 512, identity: Identity | None = None) -> None:
        super().__init__(buffer, block_bytes=block_bytes, identity=identity)
        self.reads: list[tuple[int, int]] = []
        self.resident = False
        self.broken = False
        self.closed = 0

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        self.reads.append((offset, length))
        if self.broken:
            raise DeviceError("gone", where=self.identity.name)
        return super().read(offset, length)

    def read_resident(self, offset: int, length: int) -> Sequence[Buffer] | None:
        return super().read_resident(offset, length) if self.resident else None

    def close(self) -> None:
        self.closed += 1


class Shortening(MemoryDevice):
    """Breaks the contract: returns half of what it was asked for."""

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        return super().read(offset, length // 2)

    def read_resident(self, offset: int, length: int) -> Sequence[Buffer] | None:
        return None
