"""A thousand diskless clients on one image, each with an overlay of its own that costs nothing until it writes."""

from __future__ import annotations

import os
import resource
from contextlib import ExitStack, closing
from pathlib import Path

from bootpath.block.leaves.file import FileDevice
from bootpath.block.live.hydration import Hydration
from bootpath.block.live.late import LateDisk
from bootpath.serve.limits import Limits
from bootpath.serve.live.service import LiveService, Shape
from tests.support.images import MIB, copy
from tests.support.nbd import serving

CLIENTS = 1000
DISK_BYTES = 4093 * MIB
BYTES_PER_IDLE_CLIENT = 200 << 10


def resident_bytes() -> int:
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * resource.getpagesize()


def test_a_thousand_idle_clients(image: Path, tmp_path: Path) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    large = copy(image, tmp_path / "large.img")
    os.truncate(large, DISK_BYTES)
    with closing(FileDevice.open(large)) as disk, ExitStack() as stack:
        source = LateDisk.ready(disk)
        service = LiveService(Hydration((), disk.size_bytes, source, source).live, Shape(per_client=True))
        running = stack.enter_context(serving(service.exports, limits=Limits(connections=CLIENTS + 1)))
        clients: list[object] = []

        def connect() -> None:
            client = stack.enter_context(running.connect())
            client.go()
            clients.append(client)

        for _ in range(50):  # what the first clients cost is the server's
            connect()
        before = resident_bytes()
        for _ in range(CLIENTS - 50):
            connect()
        each = (resident_bytes() - before) / (CLIENTS - 50)
        assert running.server.statistics().connections == CLIENTS
        print(f"{each / 1024:.1f} KiB for each idle client, its own side of the connection included")
        assert each < BYTES_PER_IDLE_CLIENT
