"""From the value of a line's arguments to a device: one opener for each target of `formats.dm.targets`, by name.

An opener gets the value, the line and a `Resolver` for the devices that the value names. overlay,
overlayfile, live, fault, verity and the snapshots map their device from byte 0. Modules that need more than the others
(the `cryptography` package) are imported by their opener.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from bootpath.block.leaves.constant import ErasedDevice, ErrorDevice, ZeroDevice
from bootpath.block.live.disk import Live, accept_same_disk
from bootpath.block.live.late import LateDisk
from bootpath.block.overlay.file import OverlayFile
from bootpath.block.overlay.ram import Overlay
from bootpath.block.table.resolver import Resolver, cut
from bootpath.block.table.veritytarget import open_verity_target
from bootpath.block.targets.fault import Fault, FaultKind, FaultRule, parse_rules
from bootpath.block.targets.flakey import Flakey
from bootpath.block.targets.readonly import ReadOnlyFilter
from bootpath.block.targets.snapshot import Snapshot
from bootpath.block.targets.striped import Striped
from bootpath.core.device import SECTOR_BYTES, Buffer, Device, Identity, direct_access, read_bytes
from bootpath.core.errors import DeviceError
from bootpath.core.extents import Extent, ExtentSet
from bootpath.formats.dm.constant import ErasedTarget, ErrorTarget, ZeroTarget
from bootpath.formats.dm.crypt import CryptTarget
from bootpath.formats.dm.fault import DelayTarget, FaultTarget
from bootpath.formats.dm.flakey import FlakeyTarget
from bootpath.formats.dm.mapping import LinearTarget, StripedTarget
from bootpath.formats.dm.overlay import LiveTarget, OverlayFileTarget, OverlayTarget
from bootpath.formats.dm.snapshot import SnapshotOriginTarget, SnapshotTarget
from bootpath.formats.dm.table import TableLine
from bootpath.formats.dm.verity import VerityTarget

TargetOpener: TypeAlias = Callable[[Any, TableLine, Resolver], Device]
"""(the value of the arguments, the line, the devices): raises DeviceError, FormatError or TableError."""

_WRITES = frozenset({"write", "discard", "zero"})
_PROBE = Extent(0, 1 << 20)


def _open_linear(target: LinearTarget, line: TableLine, resolve: Resolver) -> Device:
    return resolve.run(target.start, line.size_bytes)


def _open_striped(target: StripedTarget, line: TableLine, resolve: Resolver) -> Device:
    stripes = [(resolve(each.device), each.start_sector * SECTOR_BYTES) for each in target.stripes]
    return Striped(stripes, chunk_bytes=target.chunk_sectors * SECTOR_BYTES, size_bytes=line.size_bytes)


def _open_zero(target: ZeroTarget, line: TableLine, resolve: Resolver) -> Device:
    return ZeroDevice(line.size_bytes)


def _open_error(target: ErrorTarget, line: TableLine, resolve: Resolver) -> Device:
    """A device that it names for its limits is not opened."""
    return ErrorDevice(line.size_bytes, identity=Identity(f"line at sector {line.start_sector}"))


def _open_delay(target: DelayTarget, line: TableLine, resolve: Resolver) -> Device:
    """Reads, writes and flushes must go to the same place: anything else would be another device."""
    writes = target.writes or target.reads
    flushes = target.flushes or writes
    if not target.reads.start == writes.start == flushes.start:
        raise DeviceError(
            "reads and writes go to different places", errno=errno.ENOTSUP, where=target.reads.start.device
        )
    waits = ((frozenset({"read"}), target.reads), (_WRITES, writes), (frozenset({"flush"}), flushes))
    rules = [
        FaultRule(FaultKind.DELAY, operations, delay_seconds=delay.milliseconds / 1000)
        for operations, delay in waits
        if delay.milliseconds
    ]
    return Fault(resolve.run(target.reads.start, line.size_bytes), rules)


def _open_flakey(target: FlakeyTarget, line: TableLine, resolve: Resolver) -> Device:
    return Flakey(resolve.run(target.start, line.size_bytes), target)


def _open_verity(target: VerityTarget, line: TableLine, resolve: Resolver) -> Device:
    return cut(open_verity_target(target, resolve), line.size_bytes)


def _open_crypt(target: CryptTarget, line: TableLine, resolve: Resolver) -> Device:
    from bootpath.block.targets.crypt import Crypt
    from bootpath.block.targets.sectorcipher import open_cipher

    where = target.start.device
    if target.keyring is not None:
        raise DeviceError("the key is in the kernel's keyring", errno=errno.ENOTSUP, where=where)
    if target.hidden:
        hint = "dmsetup table hides keys: use --showkeys"
        raise DeviceError("the key is all zeros", errno=errno.EINVAL, where=where, hint=hint)
    if target.option("integrity") is not None:
        raise DeviceError("the device has integrity metadata", errno=errno.ENOTSUP, where=where)
    return Crypt(
        resolve.run(target.start, line.size_bytes),
        open_cipher(target.cipher, target.key, where=where),
        iv_offset=target.iv_offset,
        sector_bytes=target.sector_bytes,
        large_ivs=target.iv_large_sectors,
        allow_discards="allow_discards" in target.options,
    )


def _open_snapshot(target: SnapshotTarget, line: TableLine, resolve: Resolver) -> Device:
    """In Linux's exception store, or in memory as large as the COW device when the changes need not last."""
    from bootpath.block.targets.exceptionstore import ExceptionStore

    origin, cow = resolve.whole(target.origin, line.size_bytes), resolve(target.cow)
    if not target.persistent:
        return Overlay(origin, max_bytes=cow.size_bytes)
    store = ExceptionStore(cow, chunk_sectors=target.chunk_sectors, origin_bytes=origin.size_bytes)
    return Snapshot(origin, store, zero_discarded=bool(target.features))


def _open_snapshot_origin(target: SnapshotOriginTarget, line: TableLine, resolve: Resolver) -> Device:
    return ReadOnlyFilter(resolve.whole(target.origin, line.size_bytes))


def _open_overlay(target: OverlayTarget, line: TableLine, resolve: Resolver) -> Device:
    return Overlay(resolve.whole(target.device, line.size_bytes), max_bytes=target.max_bytes)


def _open_overlay_file(target: OverlayFileTarget, line: TableLine, resolve: Resolver) -> Device:
    base = resolve.whole(target.device, line.size_bytes)
    if os.path.lexists(target.path):
        return OverlayFile.open(target.path, base, max_bytes=target.max_bytes)
    return OverlayFile.create(target.path, base, checksums=target.checksums, max_bytes=target.max_bytes)


def _open_live(target: LiveTarget, line: TableLine, resolve: Resolver) -> Device:
    memory = _in_memory(resolve(target.preload))
    identity = Identity("live")
    if target.disk is None:
        late = LateDisk.none()
    else:
        name = target.disk
        late = LateDisk(
            lambda: resolve.open_again(name),
            deadline_seconds=target.deadline_seconds,
            accept=accept_same_disk(
                memory,
                target.extents,
                line.size_bytes,
                identity=identity,
                probes=ExtentSet(target.extents).intersect(_PROBE),
            ),
            name=name,
        )
    return Live(memory, target.extents, line.size_bytes, late, identity=identity, owns=True)


def _open_fault(target: FaultTarget, line: TableLine, resolve: Resolver) -> Device:
    return Fault(resolve.whole(target.device, line.size_bytes), parse_rules(target.rules), seed=target.seed or 0)


def _open_erased(target: ErasedTarget, line: TableLine, resolve: Resolver) -> Device:
    return ErasedDevice(line.size_bytes)


def _in_memory(device: Device) -> Buffer:
    """The bytes of a device in RAM: its own memory when it is that, else a copy."""
    direct = direct_access(device)
    if direct is not None and direct.buffer is not None:
        return memoryview(direct.buffer)[direct.offset : direct.offset + direct.length]
    return read_bytes(device, 0, device.size_bytes)


OPENERS: Mapping[str, TargetOpener] = {
    "linear": _open_linear,
    "striped": _open_striped,
    "zero": _open_zero,
    "error": _open_error,
    "delay": _open_delay,
    "flakey": _open_flakey,
    "verity": _open_verity,
    "crypt": _open_crypt,
    "snapshot": _open_snapshot,
    "snapshot-origin": _open_snapshot_origin,
    "overlay": _open_overlay,
    "overlayfile": _open_overlay_file,
    "live": _open_live,
    "fault": _open_fault,
    "erased": _open_erased,
}
