"""What a live service is doing, as a frozen value: the source of the status page, its JSON and its metrics.

A `ServiceStatus` is made of counters and states that exist anyway; the serving loop does nothing for it, and nothing is
done while nobody asks. It never waits for a disk: the late disk is asked whether it is there (`LateDisk.get_nowait`),
not for its content. `StatusSource` keeps what one status needs of the one before, and hands out the same one for
`FRESH_SECONDS`, so that many watchers cost as much as one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from bootpath.block.live.hydration import HydrationProgress
from bootpath.core.device import SupportsHeldBytes
from bootpath.serve.live.diskmap import CellState, DiskMap, Surveyor
from bootpath.serve.live.diskstate import DiskStatus, best_known, disk_status
from bootpath.serve.live.histogram import levels
from bootpath.serve.live.service import LiveService
from bootpath.serve.server.server import Server
from bootpath.serve.statistics import Statistics

FRESH_SECONDS = 0.5
_REST_SECONDS = 0.0005  # between two looks at the disk the serving thread may run


@dataclass(frozen=True, slots=True)
class Throughput:
    """What was done a second, on average since the status before."""

    read_bytes: float = 0.0
    written_bytes: float = 0.0
    requests: float = 0.0


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """A live service at one moment.

    `at_seconds` is the clock's, `up_seconds` since the first status. `overlay_bytes` is what the shared overlay
    holds of written blocks; None when there is no overlay or every client has its own. `access_counts` counts requests
    by cell of the map; `access_levels` says where most of them went since the status before (`histogram.levels`).
    """

    at_seconds: float
    up_seconds: float
    title: str
    uri: str
    read_only: bool
    size_bytes: int
    disk: DiskStatus
    hydration: HydrationProgress | None
    overlay_bytes: int | None
    statistics: Statistics
    throughput: Throughput
    map: DiskMap
    access_counts: tuple[int, ...]
    access_levels: tuple[int, ...]


def observe(
    server: Server,
    service: LiveService,
    *,
    clock: Callable[[], float] = time.monotonic,
    uri: str = "",
    before: ServiceStatus | None = None,
    disk_map: DiskMap | None = None,
) -> ServiceStatus:
    """Look at a service. `before` is the last status; without a `disk_map` one step of looking is done here."""
    if disk_map is None:
        surveyor = survey(service)
        surveyor.step()
        disk_map = surveyor.map()
    now = clock()
    statistics = server.statistics()
    access_counts = service.histogram.counts()
    return ServiceStatus(
        at_seconds=now,
        up_seconds=0.0 if before is None else before.up_seconds + now - before.at_seconds,
        title=service.base.identity.name,
        uri=uri,
        read_only=service.shape.read_only,
        size_bytes=service.base.size_bytes,
        disk=best_known([disk_status(service.base.late), *map(DiskStatus.unpack, server.notes())]),
        hydration=None if service.hydration is None else service.hydration.progress,
        overlay_bytes=_overlay_bytes(service),
        statistics=statistics,
        throughput=Throughput() if before is None else _throughput(before, statistics, now),
        map=disk_map,
        access_counts=access_counts,
        access_levels=levels(access_counts, () if before is None else before.access_counts),
    )


def survey(service: LiveService) -> Surveyor:
    """The surveyor of a service's disk, as its clients see it; overlays of single clients are not seen."""
    hydration = service.hydration
    wanted = () if hydration is None else hydration.extents
    return Surveyor(service.base if service.overlay is None else service.overlay, wanted)


def _throughput(before: ServiceStatus, statistics: Statistics, now: float) -> Throughput:
    seconds = now - before.at_seconds
    if seconds <= 0:
        return before.throughput
    was = before.statistics
    return Throughput(
        (statistics.bytes["read"] - was.bytes["read"]) / seconds,
        (statistics.bytes["write"] - was.bytes["write"]) / seconds,
        (sum(statistics.requests.values()) - sum(was.requests.values())) / seconds,
    )


def _overlay_bytes(service: LiveService) -> int | None:
    overlay = service.overlay
    return overlay.held_bytes if isinstance(overlay, SupportsHeldBytes) else None


class StatusSource:
    """The status of one service, for any number of threads."""

    def __init__(
        self,
        server: Server,
        service: LiveService,
        *,
        uri: str = "",
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._server = server
        self._service = service
        self._uri = uri
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._surveying = threading.Lock()
        self._surveyor = survey(service)
        self._surveyed_seconds = float("-inf")
        self._map = self._surveyor.map()
        self._last = self._observe(None)

    def current(self, *, look: bool = True) -> ServiceStatus:
        """The status now. Without `look` the map is the last one."""
        if look:
            self._survey()
        with self._lock:
            last = self._last
            if self._clock() - last.at_seconds >= FRESH_SECONDS:
                self._last = self._observe(last)
            elif last.map is not self._map:
                self._last = replace(last, map=self._map)
            return self._last

    def _observe(self, before: ServiceStatus | None) -> ServiceStatus:
        return observe(self._server, self._service, clock=self._clock, uri=self._uri, before=before, disk_map=self._map)

    def _survey(self) -> None:
        """Renew the map, unless somebody does, or did just now."""
        if not self._surveying.acquire(blocking=False):
            return
        try:
            now = self._clock()
            if now - self._surveyed_seconds >= FRESH_SECONDS:
                self._surveyor.step(lambda: self._sleep(_REST_SECONDS))
                self._surveyed_seconds = now
                self._map = self._surveyor.map()
        finally:
            self._surveying.release()


def as_json(status: ServiceStatus) -> dict[str, Any]:
    """A status as docs/schemas/status.json describes it."""
    statistics, throughput, hydration, cells = (
        status.statistics,
        status.throughput,
        status.hydration,
        status.map,
    )
    return {
        "schema_version": 1,
        "title": status.title,
        "uri": status.uri,
        "read_only": status.read_only,
        "size_bytes": status.size_bytes,
        "up_seconds": round(status.up_seconds, 3),
        "disk": {"name": status.disk.name, "state": status.disk.state.value, "reason": status.disk.reason},
        "hydration": None
        if hydration is None
        else {
            "done_bytes": hydration.done_bytes,
            "total_bytes": hydration.total_bytes,
            "complete": hydration.complete,
            "failure": hydration.failure,
        },
        "overlay_bytes": status.overlay_bytes,
        "clients": {
            "connected": statistics.connections,
            "total": statistics.connections_total,
            "refused": statistics.connections_refused,
        },
        "requests": dict(statistics.requests),
        "bytes": dict(statistics.bytes),
        "errors": statistics.errors,
        "protocol_errors": statistics.protocol_errors,
        "queue_depth": statistics.queue_depth,
        "waiting_workers": statistics.waiting_workers,
        "throughput": {
            "read_bytes_per_second": round(throughput.read_bytes),
            "written_bytes_per_second": round(throughput.written_bytes),
            "requests_per_second": round(throughput.requests, 1),
        },
        "map": {
            "cell_bytes": cells.cell_bytes,
            "letters": {state.letter: state.value for state in CellState},
            "states": "".join(state.letter for state in cells.states),
            "percents": list(cells.percents),
            "grounds": "".join(state.letter for state in cells.grounds),
            "bytes": {state.value: cells.bytes[state] for state in CellState},
            "complete": cells.complete,
            "access": "".join(map(str, status.access_levels)),
        },
    }
