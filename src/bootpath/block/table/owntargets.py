"""From rows of our own targets to devices. What each row says is in `bootpath.formats.dm.own`."""

from __future__ import annotations

import os

from bootpath.block.leaves.constant import ErasedDevice
from bootpath.block.live.disk import Live, accept_same_disk
from bootpath.block.live.late import LateDisk
from bootpath.block.overlay.file import OverlayFile
from bootpath.block.overlay.ram import Overlay
from bootpath.block.table.resolver import Resolver, row_bytes, whole
from bootpath.block.targets.fault import Fault, parse_rules
from bootpath.core.device import Buffer, Device, Identity, direct_access, read_bytes
from bootpath.core.extents import Extent, ExtentSet
from bootpath.formats.dm.own import ErasedRow, FaultRow, LiveRow, OverlayFileRow, OverlayRow
from bootpath.formats.dm.table import Row

_PROBE = Extent(0, 1 << 20)


def open_overlay(row: Row, resolve: Resolver) -> Device:
    """Changes in RAM."""
    of = OverlayRow.parse(row.args)
    return Overlay(whole(row, resolve(of.device)), max_bytes=of.max_bytes)


def open_overlay_file(row: Row, resolve: Resolver) -> Device:
    """Changes in a file."""
    of = OverlayFileRow.parse(row.args)
    base = whole(row, resolve(of.device))
    if os.path.lexists(of.path):
        return OverlayFile.open(of.path, base, max_bytes=of.max_bytes)
    return OverlayFile.create(of.path, base, max_bytes=of.max_bytes)


def open_fault(row: Row, resolve: Resolver) -> Device:
    """Faults by rules."""
    of = FaultRow.parse(row.args)
    return Fault(whole(row, resolve(of.device)), parse_rules(of.rules), seed=of.seed or 0)


def open_erased(row: Row, resolve: Resolver) -> Device:
    """0xFF."""
    ErasedRow.parse(row.args)
    return ErasedDevice(row_bytes(row))


def open_live(row: Row, resolve: Resolver) -> Device:
    """A preload in RAM, and a disk behind it that may come later."""
    of = LiveRow.parse(row.args)
    memory = _in_memory(resolve(of.preload))
    identity = Identity("live")
    if of.disk is None:
        late = LateDisk.none()
    else:
        name = of.disk
        late = LateDisk(
            lambda: resolve.fresh(name),
            deadline_seconds=of.deadline_seconds,
            accept=accept_same_disk(
                memory, of.extents, row_bytes(row), identity=identity, probes=ExtentSet(of.extents).intersect(_PROBE)
            ),
            name=name,
        )
    return Live(memory, of.extents, row_bytes(row), late, identity=identity, owns=True)


def _in_memory(device: Device) -> Buffer:
    """The bytes of a device in RAM: its own memory when it is that, else a copy."""
    direct = direct_access(device)
    if direct is not None and direct.buffer is not None:
        return memoryview(direct.buffer)[direct.offset : direct.offset + direct.length]
    return read_bytes(device, 0, device.size_bytes)
