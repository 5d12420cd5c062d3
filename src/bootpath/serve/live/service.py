"""lived's work: a live disk as exports.

One stack is shared by all exports, so that clients of the whole disk and of its file system see each other's writes::

    "" and disk/0    the whole disk     overlay over (preload over late disk)
    disk.live        the file system    a linear run of the same

With an overlay for each client, the stack below the overlay is shared and every connection writes to RAM of its own,
which it pays for only where it writes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bootpath.block.live.disk import Live
from bootpath.block.live.hydration import Hydration
from bootpath.block.overlay.ram import Overlay
from bootpath.block.targets.anybytes import WriteGate
from bootpath.block.targets.linear import Linear
from bootpath.core.device import Device, Identity, checked
from bootpath.core.extents import Extent
from bootpath.serve.export import Export, Exports, ExportSource
from bootpath.serve.live.diskstate import disk_status
from bootpath.serve.live.histogram import AccessHistogram

WHOLE_DISK, FILE_SYSTEM = "disk/0", "disk.live"

OverlayMaker = Callable[[Device], Device]


@dataclass(frozen=True, slots=True)
class Shape:
    """How a live disk is exported: as `name`, the default, and `device_name`; `file_system` is where one lies on it."""

    name: str = ""
    device_name: str = WHOLE_DISK
    file_system: Extent | None = None
    read_only: bool = False
    per_client: bool = False
    overlay_bytes: int | None = None


class LiveService:
    """The exports of one live disk, and the thread that hydrates it.

    `make_overlay` gives the overlay that all clients share, over the base it is called with; by default one in RAM,
    which with `forks` the processes that are forked later share. The service owns the overlay; the base's disks stay
    their owner's.
    """

    def __init__(
        self,
        base: Live,
        shape: Shape,
        *,
        hydration: Hydration | None = None,
        make_overlay: OverlayMaker | None = None,
        forks: bool = False,
        extra: Mapping[str, Export] | None = None,
    ) -> None:
        self.shape = shape
        self.base = base
        self.hydration = hydration
        self._extra = dict(extra or {})
        self.histogram = AccessHistogram(base.size_bytes)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.overlay: Device | None = None
        self._gate = WriteGate()
        if not shape.read_only and not shape.per_client:
            self.overlay = self._ram_overlay(base, shared=forks) if make_overlay is None else make_overlay(base)

    def _ram_overlay(self, base: Device, *, shared: bool = False) -> Overlay:
        # A server does not ask its base, for every block that is written, whether it held the same before.
        return Overlay(base, max_bytes=self.shape.overlay_bytes, drop_matching=False, shared=shared)

    @property
    def exports(self) -> ExportSource:
        """What to give to a Server."""
        if self.shape.per_client and not self.shape.read_only:
            return lambda: self._exports(self._ram_overlay(self.base), shared=False)
        return self._exports(self.base if self.overlay is None else self.overlay, shared=True)

    def _exports(self, device: Device, *, shared: bool) -> Exports:
        whole = checked(device)
        read_only = self.shape.read_only
        exports = {
            name: Export(name, whole, "the live disk", read_only, shared, self.histogram.counter(), self._gate)
            for name in (self.shape.name, self.shape.device_name)
        }
        place = self.shape.file_system
        if place is not None:
            inner = Linear(device, place.offset, place.length, identity=Identity(FILE_SYSTEM))
            count_access = self.histogram.counter(place.offset)
            about = "the file system on it"
            exports[FILE_SYSTEM] = Export(
                FILE_SYSTEM, checked(inner), about, read_only, shared, count_access, self._gate
            )
        return {**exports, **self._extra}

    def follow(self) -> str:
        """In a forked process: take what has been hydrated elsewhere meanwhile; the packed `DiskStatus` here."""
        if self.hydration is not None:
            self.hydration.follow()
        return disk_status(self.base.late).pack()

    def start(self) -> None:
        """Begin to hydrate in the background."""
        if self.hydration is not None:
            self._thread = threading.Thread(
                target=self.hydration.run, args=(self._stop,), name="hydration", daemon=True
            )
            self._thread.start()

    def close(self) -> None:
        """Stop hydrating and close the overlay."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        if self.overlay is not None:
            self.overlay.close()
