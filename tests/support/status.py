"""A small live service in every state that the status page can show."""

from __future__ import annotations

import threading

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.live.hydration import Hydration
from bootpath.block.live.late import LateDisk
from bootpath.core.device import Identity
from bootpath.core.extents import Extent
from bootpath.serve.live.service import LiveService, Shape
from bootpath.serve.server.server import Server
from tests.support.patterns import pattern

MIB = 1 << 20
SIZE = 8 * MIB
WANTED = (Extent(MIB, 2 * MIB), Extent(5 * MIB, MIB))


def disk() -> MemoryDevice:
    return MemoryDevice(bytearray(pattern(0, SIZE)), read_only=True, identity=Identity("small.img"))


def make_service(late: LateDisk | None = None, *, steps: int = 0, shape: Shape | None = None) -> LiveService:
    """A live disk whose preload came as far as `steps` steps of hydration of 1 MiB."""
    ready = LateDisk.ready(disk())
    hydration = Hydration(WANTED, SIZE, ready, late or ready, identity=Identity("small.img"))
    if steps:
        stop = threading.Event()
        done: list[object] = []

        def count(progress: object) -> None:
            done.append(progress)
            if len(done) == steps:
                stop.set()

        hydration.run(stop, progress=count)
    return LiveService(hydration.live, shape or Shape(), hydration=hydration)


def make_server(service: LiveService) -> Server:
    return Server(service.exports)


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now
