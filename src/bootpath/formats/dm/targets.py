"""The targets that a table's lines may name: one literal registry, and what can be asked of a line through it.

Targets of Linux, with Linux's grammar::

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
    overlayfile <device> <path> [<max_bytes>] [no_checksums]
    live <preload device> <disk>|- <deadline_seconds> <offset>+<length>[,<offset>+<length>…]
    fault <device> <rules> [<seed>]
    erased                                                              0xFF, read-only

`TARGETS` has for each its value (`formats.dm.target.Target`: how it is parsed, packed and described) and which of its
arguments are devices. `block.table.openers` has, under the same names, how each is opened. `KERNEL_TARGETS` are those
of Linux (drivers/md, 6.12): the kernel takes their lines, whether this package opens them or not.

To add a target: CONTRIBUTING.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from bootpath.core.errors import FormatError
from bootpath.formats.dm.constant import ErasedTarget, ErrorTarget, ZeroTarget
from bootpath.formats.dm.crypt import CryptTarget
from bootpath.formats.dm.fault import DelayTarget, FaultTarget
from bootpath.formats.dm.flakey import FlakeyTarget
from bootpath.formats.dm.mapping import LinearTarget, StripedTarget
from bootpath.formats.dm.overlay import LiveTarget, OverlayFileTarget, OverlayTarget
from bootpath.formats.dm.snapshot import SnapshotOriginTarget, SnapshotTarget
from bootpath.formats.dm.table import Table, TableLine
from bootpath.formats.dm.target import Target
from bootpath.formats.dm.verity import VerityTarget, verity_device_arguments


@dataclass(frozen=True, slots=True)
class TargetGrammar:
    """The value of a target's arguments, and the indices of those arguments that are devices."""

    value: type[Target]
    devices: Callable[[Sequence[str]], Sequence[int]]


def _at(*indices: int) -> Callable[[Sequence[str]], Sequence[int]]:
    return lambda args: indices


TARGETS: Mapping[str, TargetGrammar] = {
    "linear": TargetGrammar(LinearTarget, _at(0)),
    "striped": TargetGrammar(StripedTarget, lambda args: range(2, len(args), 2)),
    "zero": TargetGrammar(ZeroTarget, _at()),
    "error": TargetGrammar(ErrorTarget, lambda args: range(0, len(args), 2)),
    "delay": TargetGrammar(DelayTarget, lambda args: range(0, len(args), 3)),
    "flakey": TargetGrammar(FlakeyTarget, _at(0)),
    "verity": TargetGrammar(VerityTarget, verity_device_arguments),
    "crypt": TargetGrammar(CryptTarget, _at(3)),
    "snapshot": TargetGrammar(SnapshotTarget, _at(0, 1)),
    "snapshot-origin": TargetGrammar(SnapshotOriginTarget, _at(0)),
    "overlay": TargetGrammar(OverlayTarget, _at(0)),
    "overlayfile": TargetGrammar(OverlayFileTarget, _at(0)),
    "live": TargetGrammar(LiveTarget, lambda args: (0,) if args[1] == "-" else (0, 1)),
    "fault": TargetGrammar(FaultTarget, _at(0)),
    "erased": TargetGrammar(ErasedTarget, _at()),
}

KERNEL_TARGETS = frozenset(
    (  # noqa: SIM905 - one name a line would be a page
        "cache clone crypt delay dust ebs era error flakey integrity linear log-writes mirror multipath raid snapshot "
        "snapshot-merge snapshot-origin striped switch thin thin-pool unstriped vdo verity writecache zero zoned"
    ).split()
)


def parse_target(line: TableLine) -> Target:
    """What the arguments of a line say. Raises FormatError that names the target, also for one that is not known."""
    grammar = TARGETS.get(line.target)
    if grammar is None:
        whose = "Linux has this target, but it cannot be opened here" if line.target in KERNEL_TARGETS else ""
        raise FormatError(
            whose or "there is no such target", where=line.target, expected="one of " + " ".join(sorted(TARGETS))
        )
    try:
        value = grammar.value.parse(line.args)
        value.check_length(line.num_sectors)
    except FormatError as error:
        if error.where != line.target:
            error.at(line.target)
        raise
    return value


def check_lines(table: Table, name: str = "") -> None:
    """Parse every line whose target is known here. Raises FormatError that names the device and the line."""
    for number, line in enumerate(table.lines, start=1):
        if line.target in TARGETS:
            try:
                parse_target(line)
            except FormatError as error:
                raise error.at(f"{name}: line {number}" if name else f"line {number}") from None


def pack_target(line: TableLine, value: Target) -> TableLine:
    """The line with the arguments of another value of its target."""
    return replace(line, args=value.pack())


def describe_line(line: TableLine) -> str:
    """What a line does, in a sentence without its end. Raises FormatError for arguments that do not fit its target."""
    if line.target not in TARGETS:
        whose = "a target of Linux" if line.target in KERNEL_TARGETS else "unknown"
        return f"{line.target}: {whose}, which cannot be opened here"
    return parse_target(line).describe(line.size_bytes)


def is_openable(line: TableLine) -> bool:
    """Whether this package can open the line, as far as it tells. Raises FormatError as `parse_target`."""
    return line.target in TARGETS and parse_target(line).openable


def hide_key(line: TableLine) -> TableLine:
    """The line as `dmsetup table` shows it without ``--showkeys``: the key of a crypt target is zeros."""
    if line.target != "crypt" or len(line.args) < 2:
        return line
    cipher, key, *rest = line.args
    return replace(line, args=(cipher, "0" * len(key), *rest))


def device_names(line: TableLine) -> tuple[str, ...]:
    """The devices that a line names, in its order. Raises FormatError as `parse_target` does."""
    parse_target(line)
    return tuple(line.args[index] for index in _device_indices(line))


def rename_devices(table: Table, rename: Callable[[str], str]) -> Table:
    """The table with other names for its devices; lines of targets that are not known here stay as they are.

    Raises FormatError as `parse_target` does.
    """

    def renamed(line: TableLine) -> TableLine:
        args = list(line.args)
        if line.target in TARGETS:
            parse_target(line)
        for index in _device_indices(line):
            args[index] = rename(args[index])
        return replace(line, args=tuple(args))

    return Table(tuple(map(renamed, table.lines)))


def _device_indices(line: TableLine) -> Sequence[int]:
    if line.target not in TARGETS:
        return ()
    return TARGETS[line.target].devices(line.args)
