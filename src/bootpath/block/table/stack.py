"""From a device-mapper table to a device.

`formats.dm.targets` has the grammar of the targets, `openers` opens each of them. The devices of the lines are laid end
to end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack

from bootpath.block.table.openers import OPENERS, TargetOpener
from bootpath.block.table.resolver import Resolver
from bootpath.block.targets.concat import Concat
from bootpath.core.device import Checked, Device, Identity
from bootpath.core.errors import DeviceError, FormatError, TableError
from bootpath.formats.dm.table import Table, TableLine
from bootpath.formats.dm.targets import TARGETS, parse_target


class Stack(Checked):
    """The device that a table describes. Closing it closes the lines' devices, then the devices they stand on."""

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
    openers: Mapping[str, TargetOpener] = OPENERS,
) -> Stack:
    """The device that the table describes, checked.

    `resolve` opens the device that an argument names (or raises DeviceError); it belongs to the stack from then on.
    It is asked once for each name, but for the late disk of a `live` line, which is opened when it appears, and again
    when it has vanished. Targets that have no opener in `openers` are refused. Raises TableError that names the line
    and the target.
    """
    with ExitStack() as opened:
        resolver = Resolver(resolve, opened)
        parts: list[Device] = []
        for number, line in enumerate(table.lines, start=1):
            parts.append(_open_line(number, line, resolver, openers))
            opened.callback(parts[-1].close)
        stack = Stack(parts[0] if len(parts) == 1 else _concat(parts), opened.pop_all())
    if identity is not None:
        stack.identity = identity
    return stack


def _open_line(number: int, line: TableLine, resolve: Resolver, openers: Mapping[str, TargetOpener]) -> Device:
    where = f"table line {number}"
    opener = openers.get(line.target)
    try:
        if opener is None and line.target in TARGETS:
            raise FormatError("this target is not opened here", where=line.target)
        target = parse_target(line)
    except FormatError as error:
        raise _table_error(error, where) from error
    assert opener is not None, "every target that has a grammar has an opener"
    try:
        return opener(target, line, resolve)
    except (DeviceError, FormatError) as error:
        raise _table_error(error, f"{where}: {line.target}") from error
    except TableError as error:
        raise error.at(f"{where}: {line.target}") from None


def _concat(parts: list[Device]) -> Device:
    try:
        return Concat(parts)
    except DeviceError as error:
        raise _table_error(error, "table") from error


def _table_error(error: DeviceError | FormatError, where: str) -> TableError:
    """The same facts, of the table."""
    return TableError(
        error.what,
        where=where if error.where is None else f"{where}: {error.where}",
        expected=error.expected,
        found=error.found,
        spec=error.spec,
        hint=error.hint,
    )
