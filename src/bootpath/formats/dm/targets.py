"""The targets a table's rows may name: for each, its grammar, and which of its words are devices.

`parse_target` turns the words of a row into a value (`LinearRow`, `CryptRow`, …) and so checks them; `pack_target`
gives the words back. What a target does is in `block.table.stack`; only those in `TARGET_FORMATS` can be opened.

`KERNEL_TARGETS` are those of Linux (drivers/md, 6.12): the kernel takes their rows, whether we open them or not.

To add a target: write the class of its row, with `parse` and `pack`, and name it here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from bootpath.core.errors import FormatError
from bootpath.formats.dm.crypt import CryptRow
from bootpath.formats.dm.flakey import FlakeyRow
from bootpath.formats.dm.mapping import DelayRow, ErrorRow, LinearRow, StripedRow, ZeroRow
from bootpath.formats.dm.own import ErasedRow, FaultRow, LiveRow, OverlayFileRow, OverlayRow
from bootpath.formats.dm.snapshot import SnapshotOriginRow, SnapshotRow
from bootpath.formats.dm.table import Row, Table
from bootpath.formats.dm.verity import VerityRow, pack_verity_args, parse_verity_args

TargetRow: TypeAlias = (
    LinearRow
    | StripedRow
    | ZeroRow
    | ErrorRow
    | DelayRow
    | FlakeyRow
    | VerityRow
    | CryptRow
    | SnapshotRow
    | SnapshotOriginRow
    | OverlayRow
    | OverlayFileRow
    | LiveRow
    | FaultRow
    | ErasedRow
)


@dataclass(frozen=True, slots=True)
class TargetFormat:
    """How the words of a target are read and written, and at which of them devices stand."""

    parse: Callable[[Sequence[str]], TargetRow]
    pack: Callable[[Any], tuple[str, ...]]
    devices: Callable[[Sequence[str]], Sequence[int]]


KERNEL_TARGETS = frozenset(
    (  # noqa: SIM905 - one name a line would be a page
        "cache clone crypt delay dust ebs era error flakey integrity linear log-writes mirror multipath raid snapshot "
        "snapshot-merge snapshot-origin striped switch thin thin-pool unstriped vdo verity writecache zero zoned"
    ).split()
)


def parse_target(row: Row) -> TargetRow:
    """What the words of a row say. Raises FormatError that names the target, also for one that is not known here."""
    known = TARGET_FORMATS.get(row.target)
    if known is None:
        linux = ", which Linux has and this package cannot open" if row.target in KERNEL_TARGETS else ""
        expected = "one of " + " ".join(sorted(TARGET_FORMATS))
        raise FormatError(f"unknown target{linux}", where=row.target, expected=expected)
    try:
        value = known.parse(row.args)
        if isinstance(value, StripedRow):
            value.check_length(row.num_sectors)
    except FormatError as error:
        if error.where != row.target:
            error.at(row.target)
        raise
    return value


def check_rows(table: Table, name: str = "") -> None:
    """Parse every row whose target is known here. Raises FormatError that names the device, the row and its target."""
    for number, row in enumerate(table.rows, start=1):
        if row.target in TARGET_FORMATS:
            try:
                parse_target(row)
            except FormatError as error:
                raise error.at(f"{name}: row {number}" if name else f"row {number}") from None


def pack_target(row: Row, value: TargetRow) -> Row:
    """The row with the words of another value of its target."""
    return replace(row, args=TARGET_FORMATS[row.target].pack(value))


def hide_key(row: Row) -> Row:
    """The row as `dmsetup table` shows it without ``--showkeys``: a crypt row's key is zeros."""
    if row.target != "crypt" or len(row.args) < 2:
        return row
    cipher, key, *rest = row.args
    return replace(row, args=(cipher, "0" * len(key), *rest))


def device_names(row: Row) -> tuple[str, ...]:
    """The devices that a row names, in its order. Raises FormatError as `parse_target` does."""
    parse_target(row)
    return tuple(row.args[index] for index in TARGET_FORMATS[row.target].devices(row.args))


def rename_devices(table: Table, rename: Callable[[str], str]) -> Table:
    """The table with other names for its devices; rows of targets that are not known here stay as they are.

    Raises FormatError as `parse_target` does.
    """

    def renamed(row: Row) -> Row:
        if row.target not in TARGET_FORMATS:
            return row
        parse_target(row)
        args = list(row.args)
        for index in TARGET_FORMATS[row.target].devices(args):
            args[index] = rename(args[index])
        return replace(row, args=tuple(args))

    return Table(tuple(map(renamed, table.rows)))


def _at(*indices: int) -> Callable[[Sequence[str]], Sequence[int]]:
    return lambda args: indices


def _verity_devices(args: Sequence[str]) -> Sequence[int]:
    fec = (index + 1 for index, word in enumerate(args) if word == "use_fec_from_device")
    return 1, 2, *(index for index in fec if index < len(args))


def _live_devices(args: Sequence[str]) -> Sequence[int]:
    return (0,) if args[1] == "-" else (0, 1)


TARGET_FORMATS: Mapping[str, TargetFormat] = {
    "linear": TargetFormat(LinearRow.parse, LinearRow.pack, _at(0)),
    "striped": TargetFormat(StripedRow.parse, StripedRow.pack, lambda args: range(2, len(args), 2)),
    "zero": TargetFormat(ZeroRow.parse, ZeroRow.pack, _at()),
    "error": TargetFormat(ErrorRow.parse, ErrorRow.pack, lambda args: range(0, len(args), 2)),
    "delay": TargetFormat(DelayRow.parse, DelayRow.pack, lambda args: range(0, len(args), 3)),
    "flakey": TargetFormat(FlakeyRow.parse, FlakeyRow.pack, _at(0)),
    "verity": TargetFormat(parse_verity_args, pack_verity_args, _verity_devices),
    "crypt": TargetFormat(CryptRow.parse, CryptRow.pack, _at(3)),
    "snapshot": TargetFormat(SnapshotRow.parse, SnapshotRow.pack, _at(0, 1)),
    "snapshot-origin": TargetFormat(SnapshotOriginRow.parse, SnapshotOriginRow.pack, _at(0)),
    "overlay": TargetFormat(OverlayRow.parse, OverlayRow.pack, _at(0)),
    "overlayfile": TargetFormat(OverlayFileRow.parse, OverlayFileRow.pack, _at(0)),
    "live": TargetFormat(LiveRow.parse, LiveRow.pack, _live_devices),
    "fault": TargetFormat(FaultRow.parse, FaultRow.pack, _at(0)),
    "erased": TargetFormat(ErasedRow.parse, ErasedRow.pack, _at()),
}
