"""From a device-mapper table to a device: one opener for each target, by name.

Targets of Linux, with Linux's grammar (`formats.dm.targets`)::

    linear <device> <start_sector>
    striped <#stripes> <chunk_sectors> <device> <start_sector> …
    zero
    error
    delay <device> <start_sector> <milliseconds> …
    flakey <device> <start_sector> <up interval> <down interval> …      counted in operations, not in seconds
    verity <version> <data device> <hash device> …
    crypt <cipher> <key> <iv_offset> <device> <start_sector> …          aes-xts-plain64
    snapshot <origin> <COW device> P|PO|N <chunk_sectors> …
    snapshot-origin <origin>                                            read-only

Our own; quantities are bytes, as everywhere above the table::

    overlay <device> [<max_bytes>]
    overlayfile <device> <path> [<max_bytes>]
    live <preload device> <disk>|- <deadline_seconds> <offset>+<length>[,<offset>+<length>…]
    fault <device> <rules> [<seed>]
    erased                                                              0xFF, read-only

A row of `overlay`, `overlayfile`, `live`, `fault`, `verity` or a snapshot maps its device from byte 0. `overlayfile`
keeps what is written in the file at that path, which is made when there is none. `live` takes a device of packed
extents, which is read into RAM unless it is there already, and compares the first preloaded MiB with the disk before
believing it; the disk may appear later, and ``-`` says that there is none.

To add a target: CONTRIBUTING.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack

from bootpath.block.table.kerneltargets import (
    open_crypt,
    open_delay,
    open_error,
    open_flakey,
    open_linear,
    open_snapshot,
    open_snapshot_origin,
    open_striped,
    open_verity,
    open_zero,
)
from bootpath.block.table.owntargets import open_erased, open_fault, open_live, open_overlay, open_overlay_file
from bootpath.block.table.resolver import Opener, Resolver
from bootpath.block.targets.concat import Concat
from bootpath.core.device import Checked, Device, Identity
from bootpath.core.errors import DeviceError, FormatError, TableError
from bootpath.formats.dm.table import Row, Table


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


TARGETS: Mapping[str, Opener] = {
    "linear": open_linear,
    "striped": open_striped,
    "zero": open_zero,
    "error": open_error,
    "delay": open_delay,
    "flakey": open_flakey,
    "verity": open_verity,
    "crypt": open_crypt,
    "snapshot": open_snapshot,
    "snapshot-origin": open_snapshot_origin,
    "overlay": open_overlay,
    "overlayfile": open_overlay_file,
    "live": open_live,
    "fault": open_fault,
    "erased": open_erased,
}
