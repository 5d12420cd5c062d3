"""From a device-mapper table to a device: one opener for each target, by name.

Targets of Linux, with Linux's grammar::

    linear <device> <start_sector>
    zero
    error
    verity <version> <data device> <hash device> …     (formats.veritytable)

Our own; quantities are bytes, as everywhere above the table::

    overlay <device> [<max_bytes>]
    overlayfile <device> <path> [<max_bytes>]
    live <preload device> <disk>|- <deadline_seconds> <offset>+<length>[,<offset>+<length>…]
    fault <device> <rules> [<seed>]

A row of `overlay`, `overlayfile`, `live` or `fault` maps its device from byte 0. `overlayfile` keeps what is written in
the file at that path, which is made when there is none. `live` takes a device of packed extents, which is
read into RAM unless it is there already, and compares the first preloaded MiB with the disk before believing it; the
disk may appear later, and ``-`` says that there is none.

To add a target: write its opener here and name it in `TARGETS`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from reprlib import repr as brief
from typing import TypeAlias

from bootpath.block.concat import Concat
from bootpath.block.constant import ErrorDevice, ZeroDevice
from bootpath.block.fault import Fault, parse_rules
from bootpath.block.late import LateDisk
from bootpath.block.linear import Linear
from bootpath.block.live import Live, accept_same_disk
from bootpath.block.overlay import Overlay
from bootpath.block.overlayfile import OverlayFile
from bootpath.block.verity import Corruption, Verity, VerityOptions
from bootpath.core.device import SECTOR_BYTES, Buffer, Checked, Device, Identity, SupportsDirect, read_bytes
from bootpath.core.errors import DeviceError, FormatError, TableError
from bootpath.core.extents import Extent, ExtentSet
from bootpath.formats.dmtable import Row, Table
from bootpath.formats.veritytable import parse_verity_args

_PROBE = Extent(0, 1 << 20)


class Resolver:
    """Turns device arguments into devices; one name is one device, however many rows name it."""

    def __init__(self, resolve: Callable[[str], Device], opened: ExitStack) -> None:
        self.fresh = resolve  # a new device each time, which belongs to whoever asked
        self._opened = opened
        self._devices: dict[str, Device] = {}

    def __call__(self, name: str) -> Device:
        """The device of that name, shared by the rows and closed with the stack."""
        if name not in self._devices:
            self._devices[name] = self.fresh(name)
            self._opened.callback(self._devices[name].close)
        return self._devices[name]


Opener: TypeAlias = Callable[[Row, Resolver], Device]


class Stack(Checked):
    """The device that a table describes. Closing it closes its rows, then the devices they stand on."""

    __slots__ = ("_opened",)

    def __init__(self, lower: Device, opened: ExitStack) -> None:
        super().__init__(lower)
        self._opened = opened

    def close(self) -> None:
        """See `Device.close`."""
        self._opened.close()


def open_table(
    table: Table,
    resolve: Callable[[str], Device],
    *,
    identity: Identity | None = None,
    targets: Mapping[str, Opener] | None = None,
) -> Stack:
    """The device that the table describes, checked.

    `resolve` opens the device that an argument names (or raises DeviceError); it belongs to the stack from then on.
    It is asked once for each name, but for the late disk of a `live` row, which is opened when it appears, and again
    when it has vanished. Raises TableError that names the row and the target.
    """
    with ExitStack() as opened:
        resolver = Resolver(resolve, opened)
        rows: list[Device] = []
        for number, row in enumerate(table.rows, start=1):
            rows.append(_open_row(number, row, resolver, TARGETS if targets is None else targets))
            opened.callback(rows[-1].close)
        stack = Stack(rows[0] if len(rows) == 1 else _concat(rows), opened.pop_all())
    if identity is not None:
        stack.identity = identity
    return stack


def _open_row(number: int, row: Row, resolve: Resolver, targets: Mapping[str, Opener]) -> Device:
    where = f"table row {number}: {row.target}"
    opener = targets.get(row.target)
    if opener is None:
        raise TableError("unknown target", where=where, expected="one of " + " ".join(sorted(targets)))
    try:
        return opener(row, resolve)
    except (DeviceError, FormatError) as error:
        raise TableError(str(error), where=where) from error
    except TableError as error:
        raise error.at(where) from None


def _concat(rows: list[Device]) -> Device:
    try:
        return Concat(rows)
    except DeviceError as error:
        raise TableError(str(error), where="table") from error


def _arguments(row: Row, least: int, most: int, grammar: str) -> tuple[str, ...]:
    if not least <= len(row.args) <= most:
        raise TableError("arguments are", found=brief(" ".join(row.args)), expected=repr(grammar))
    return row.args


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise TableError(f"{name} is", found=brief(text), expected="a decimal number")
    return int(text)


def _length(row: Row) -> int:
    return row.num_sectors * SECTOR_BYTES


def _whole(row: Row, device: Device) -> Device:
    """The device, cut to the row's length."""
    return device if device.size_bytes == _length(row) else Linear(device, 0, _length(row))


def _linear(row: Row, resolve: Resolver) -> Device:
    name, start = _arguments(row, 2, 2, "<device> <start_sector>")
    return Linear(resolve(name), _number("start_sector", start) * SECTOR_BYTES, _length(row))


def _zero(row: Row, resolve: Resolver) -> Device:
    _arguments(row, 0, 0, "")
    return ZeroDevice(_length(row))


def _error(row: Row, resolve: Resolver) -> Device:
    _arguments(row, 0, 0, "")
    return ErrorDevice(_length(row))


def _verity(row: Row, resolve: Resolver) -> Device:
    of = parse_verity_args(row.args)
    options = VerityOptions(
        corruption=next((_CORRUPTION[name] for name in of.options if name in _CORRUPTION), Corruption.EIO),
        ignore_zero_blocks="ignore_zero_blocks" in of.options,
        check_at_most_once="check_at_most_once" in of.options,
    )
    device = Verity(
        resolve(of.data), resolve(of.hashes), of.parameters, of.root_hash, start_block=of.start_block, options=options
    )
    return _whole(row, device)


def _overlay(row: Row, resolve: Resolver) -> Device:
    name, *rest = _arguments(row, 1, 2, "<device> [<max_bytes>]")
    max_bytes = _number("max_bytes", rest[0]) if rest else None
    return Overlay(_whole(row, resolve(name)), max_bytes=max_bytes)


def _overlay_file(row: Row, resolve: Resolver) -> Device:
    name, path, *rest = _arguments(row, 2, 3, "<device> <path> [<max_bytes>]")
    max_bytes = _number("max_bytes", rest[0]) if rest else None
    base = _whole(row, resolve(name))
    if os.path.lexists(path):
        return OverlayFile.open(path, base, max_bytes=max_bytes)
    return OverlayFile.create(path, base, max_bytes=max_bytes)


def _fault(row: Row, resolve: Resolver) -> Device:
    name, rules, *rest = _arguments(row, 2, 3, "<device> <rules> [<seed>]")
    seed = _number("seed", rest[0]) if rest else 0
    return Fault(_whole(row, resolve(name)), parse_rules(rules), seed=seed)


def _live(row: Row, resolve: Resolver) -> Device:
    preload_name, disk_name, seconds, text = _arguments(
        row, 4, 4, "<preload device> <disk>|- <deadline_seconds> <offset>+<length>[,…]"
    )
    deadline_seconds = _number("deadline_seconds", seconds)
    extents = [_extent(part) for part in text.split(",")]
    memory = _in_memory(resolve(preload_name))
    identity = Identity("live")
    if disk_name == "-":
        late = LateDisk.none()
    else:
        late = LateDisk(
            lambda: resolve.fresh(disk_name),
            deadline_seconds=deadline_seconds,
            accept=accept_same_disk(
                memory, extents, _length(row), identity=identity, probes=ExtentSet(extents).intersect(_PROBE)
            ),
            name=disk_name,
        )
    return Live(memory, extents, _length(row), late, identity=identity, owns=True)


def _extent(text: str) -> Extent:
    offset, _, length = text.partition("+")
    return Extent(_number("extent offset", offset), _number("extent length", length))


def _in_memory(device: Device) -> Buffer:
    """The bytes of a device in RAM: its own memory when it is that, else a copy."""
    direct = device.direct() if isinstance(device, SupportsDirect) else None
    if direct is not None and direct.buffer is not None:
        return memoryview(direct.buffer)[direct.offset : direct.offset + direct.length]
    return read_bytes(device, 0, device.size_bytes)


# A device in user space cannot restart the machine nor stop it; it can refuse to go on.
_CORRUPTION = {
    "ignore_corruption": Corruption.IGNORE,
    "restart_on_corruption": Corruption.STOP,
    "panic_on_corruption": Corruption.STOP,
}

TARGETS: Mapping[str, Opener] = {
    "linear": _linear,
    "zero": _zero,
    "error": _error,
    "verity": _verity,
    "overlay": _overlay,
    "overlayfile": _overlay_file,
    "live": _live,
    "fault": _fault,
}
