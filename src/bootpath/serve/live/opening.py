"""A live disk made from the disks that somebody opened: the preload, what is behind it, and the overlay over both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bootpath.block.live.disk import Live, accept_same_disk
from bootpath.block.live.hydration import Hydration
from bootpath.block.live.late import LateDisk
from bootpath.block.overlay.file import OverlayFile
from bootpath.core.device import Device, Identity, read_bytes
from bootpath.core.extents import Extent
from bootpath.serve.export import Export
from bootpath.serve.live.service import LiveService, OverlayMaker, Shape

_PROBE_BYTES = 4 << 20
"""So much from the start of a disk says whether another one is the same disk."""


def late_copy(disk: Device, open_copy: Callable[[], Device], *, name: str, deadline_seconds: float) -> LateDisk:
    """The disk that `open_copy` opens when it is needed; refused unless it is the same disk as `disk`.

    Reads the probe from `disk`. Raises DeviceError.
    """
    probe = Extent(0, min(_PROBE_BYTES, disk.size_bytes))
    content = read_bytes(disk, probe.offset, probe.length)
    accept = accept_same_disk(content, [probe], disk.size_bytes, identity=Identity(name), probes=[probe])
    return LateDisk(open_copy, deadline_seconds=deadline_seconds, accept=accept, name=name)


def overlay_in_file(path: Path, *, checksums: bool = True, max_bytes: int | None) -> OverlayMaker:
    """Makes an overlay that lasts: the one in the file, or a new one, with or without checksums, if there is none."""

    def make(base: Device) -> Device:
        if path.exists():
            return OverlayFile.open(path, base, max_bytes=max_bytes)
        return OverlayFile.create(path, base, checksums=checksums, max_bytes=max_bytes)

    return make


def hydrated_service(
    disk: Device,
    preload: Sequence[Extent],
    shape: Shape,
    *,
    name: str | None = None,
    late: LateDisk | None = None,
    make_overlay: OverlayMaker | None = None,
    forks: bool = False,
    extra: Mapping[str, Export] | None = None,
) -> LiveService:
    """`disk`, of which `preload` is read into RAM in the background; what is not there comes from `late`.

    Without `late` it comes from `disk` again. `name` is what the live disk is called, `disk`'s name by default. For the
    other arguments see `LiveService`. The disks stay their owner's.
    """
    source = LateDisk.ready(disk)
    identity = Identity(name or disk.identity.name)
    hydration = Hydration(
        preload, disk.size_bytes, source, late or source, block_bytes=disk.block_bytes, identity=identity
    )
    return LiveService(hydration.live, shape, hydration=hydration, make_overlay=make_overlay, forks=forks, extra=extra)


def device_service(device: Device, *, name: str, device_name: str) -> LiveService:
    """One device as it is, exported as `name` and `device_name`: clients write to it. The service owns it."""
    base = Live(b"", [], device.size_bytes, LateDisk.ready(device), block_bytes=device.block_bytes)
    return LiveService(base, Shape(name=name, device_name=device_name), make_overlay=lambda base: device)
