"""From rows of Linux's targets to devices. What each row says is in `bootpath.formats.dm.targets`."""

from __future__ import annotations

import errno

from bootpath.block.leaves.constant import ErrorDevice, ZeroDevice
from bootpath.block.overlay.ram import Overlay
from bootpath.block.table.resolver import Resolver, row_bytes, run_at, whole
from bootpath.block.table.verityline import verity_of_row
from bootpath.block.targets.fault import Fault, Kind, Rule
from bootpath.block.targets.flakey import Flakey
from bootpath.block.targets.readonly import ReadOnlyFilter
from bootpath.block.targets.snapshot import Snapshot
from bootpath.block.targets.striped import Striped
from bootpath.core.device import SECTOR_BYTES, Device, Identity
from bootpath.core.errors import DeviceError
from bootpath.formats.dm.crypt import CryptRow
from bootpath.formats.dm.flakey import FlakeyRow
from bootpath.formats.dm.mapping import DelayRow, ErrorRow, LinearRow, StripedRow, ZeroRow
from bootpath.formats.dm.snapshot import SnapshotOriginRow, SnapshotRow
from bootpath.formats.dm.table import Row
from bootpath.formats.dm.verity import parse_verity_args

_WRITES = frozenset({"write", "discard", "zero"})


def open_linear(row: Row, resolve: Resolver) -> Device:
    """A run of a device."""
    return run_at(row, resolve, LinearRow.parse(row.args).place)


def open_striped(row: Row, resolve: Resolver) -> Device:
    """Chunks of several devices in turn."""
    of = StripedRow.parse(row.args)
    of.check_length(row.num_sectors)
    stripes = [(resolve(place.device), place.start_sector * SECTOR_BYTES) for place in of.stripes]
    return Striped(stripes, chunk_bytes=of.chunk_sectors * SECTOR_BYTES, size_bytes=row_bytes(row))


def open_zero(row: Row, resolve: Resolver) -> Device:
    """Zeros."""
    ZeroRow.parse(row.args)
    return ZeroDevice(row_bytes(row))


def open_error(row: Row, resolve: Resolver) -> Device:
    """Errors. A device that it names for its limits is not opened."""
    ErrorRow.parse(row.args)
    return ErrorDevice(row_bytes(row), identity=Identity(f"row at sector {row.start_sector}"))


def open_delay(row: Row, resolve: Resolver) -> Device:
    """A run that is late. Reads, writes and flushes must go to one place: anything else would be another device."""
    of = DelayRow.parse(row.args)
    writes = of.writes or of.reads
    flushes = of.flushes or writes
    if not of.reads.place == writes.place == flushes.place:
        raise DeviceError("reads and writes go to different places", errno=errno.ENOTSUP, where=of.reads.place.device)
    waits = ((frozenset({"read"}), of.reads), (_WRITES, writes), (frozenset({"flush"}), flushes))
    rules = [
        Rule(Kind.DELAY, operations, delay_seconds=delay.milliseconds / 1000)
        for operations, delay in waits
        if delay.milliseconds
    ]
    return Fault(run_at(row, resolve, of.reads.place), rules)


def open_flakey(row: Row, resolve: Resolver) -> Device:
    """A run that fails now and then."""
    of = FlakeyRow.parse(row.args)
    return Flakey(run_at(row, resolve, of.place), of)


def open_verity(row: Row, resolve: Resolver) -> Device:
    """Data below a root hash."""
    return whole(row, verity_of_row(parse_verity_args(row.args), resolve))


def open_crypt(row: Row, resolve: Resolver) -> Device:
    """An encrypted run."""
    from bootpath.block.targets.crypt import Crypt
    from bootpath.block.targets.sectorcipher import open_cipher

    of = CryptRow.parse(row.args)
    where = of.place.device
    if of.keyring is not None:
        raise DeviceError("the key is in the kernel's keyring", errno=errno.ENOTSUP, where=where)
    if of.hidden:
        hint = "dmsetup table hides keys: say --showkeys"
        raise DeviceError("the key is all zeros", errno=errno.EINVAL, where=where, hint=hint)
    if of.option("integrity") is not None:
        raise DeviceError("the device has integrity metadata", errno=errno.ENOTSUP, where=where)
    return Crypt(
        run_at(row, resolve, of.place),
        open_cipher(of.cipher, of.key, where=where),
        iv_offset=of.iv_offset,
        sector_bytes=of.sector_bytes,
        large_ivs=of.iv_large_sectors,
        allow_discards="allow_discards" in of.options,
    )


def open_snapshot(row: Row, resolve: Resolver) -> Device:
    """A writable view: in Linux's exception store, or in memory as large as the COW device when it need not last."""
    from bootpath.block.targets.exceptionstore import ExceptionStore

    of = SnapshotRow.parse(row.args)
    origin, cow = whole(row, resolve(of.origin)), resolve(of.cow)
    if not of.persistent:
        return Overlay(origin, max_bytes=cow.size_bytes)
    store = ExceptionStore(cow, chunk_sectors=of.chunk_sectors, origin_bytes=origin.size_bytes)
    return Snapshot(origin, store, zero_discarded=bool(of.features))


def open_snapshot_origin(row: Row, resolve: Resolver) -> Device:
    """The device that there are snapshots of, to be read."""
    return ReadOnlyFilter(whole(row, resolve(SnapshotOriginRow.parse(row.args).origin)))
