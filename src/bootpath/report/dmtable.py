"""Tables explained: what each line does, the stack of devices as a tree, and the same as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from bootpath.core.limits import check_limit
from bootpath.core.printable import Printable, printable_lines
from bootpath.core.units import format_bytes, plural
from bootpath.formats.dm.listing import ListedTable, pack_listing
from bootpath.formats.dm.table import Table, TableLine
from bootpath.formats.dm.targets import (
    KERNEL_TARGETS,
    TARGETS,
    describe_line,
    device_names,
    hide_key,
    is_openable,
    pack_target,
    parse_target,
)

_MAPPER = "/dev/mapper/"


def normalised(listed: Sequence[ListedTable], *, show_keys: bool = False) -> tuple[ListedTable, ...]:
    """The listing with every line as its value packs it. Raises FormatError that names the device and the line."""
    return tuple(
        replace(each, table=Table(tuple(_normal_line(line, show_keys=show_keys) for line in each.table.lines)))
        for each in listed
    )


def _normal_line(line: TableLine, *, show_keys: bool) -> TableLine:
    packed = pack_target(line, parse_target(line)) if line.target in TARGETS else line
    return packed if show_keys else hide_key(packed)


def render_listing(listed: Sequence[ListedTable]) -> Printable:
    """The devices, their lines in words, and below each line what it stands on. Raises FormatError."""
    tables = {each.name: each.table for each in listed if each.name}
    below = {name.removeprefix(_MAPPER) for each in listed for line in each.table.lines for name in _names(line)}
    lines: list[str] = []
    for each in listed:
        if each.name in below and len(listed) > 1:
            continue  # it is shown below what stands on it
        name = each.name or "device"
        lines.append(f"{name}: {format_bytes(each.table.size_bytes)}, {plural(len(each.table.lines), 'line')}")
        for line in _tree(each.table, tables, (each.name,), ""):
            lines.append(line)
            check_limit("table_lines", len(lines), "the tables would be shown with too many lines")
    if not lines:  # they stand on each other
        lines = [f"{each.name}: stands on itself" for each in listed]
    return printable_lines(lines)


def _names(line: TableLine) -> tuple[str, ...]:
    return device_names(line) if line.target in TARGETS else ()


def _tree(table: Table, tables: dict[str, Table], above: tuple[str, ...], indent: str) -> Iterator[str]:
    check_limit("table_depth", len(above) - 1, "too many devices stand on each other", where=above[0])
    for number, line in enumerate(table.lines, start=1):
        last = number == len(table.lines)
        size = format_bytes(line.size_bytes)
        yield f"{indent}{'└' if last else '├'}─ {line.start_sector} +{size}  {line.target}: {describe_line(line)}"
        deeper = indent + ("   " if last else "│  ")
        for name in dict.fromkeys(name.removeprefix(_MAPPER) for name in _names(line)):
            if name in above:
                yield f"{deeper}{name}: stands on itself"
            elif name in tables:
                yield f"{deeper}{name}: {format_bytes(tables[name].size_bytes)}"
                yield from _tree(tables[name], tables, (*above, name), deeper)


def listing_json(listed: Sequence[ListedTable], *, show_keys: bool = False) -> dict[str, Any]:
    """``bootpath dm table --json`` (docs/schemas/dm.json). Raises FormatError."""
    normal_tables = normalised(listed, show_keys=show_keys)
    return {
        "devices": [
            {
                "name": each.name or None,
                "size_bytes": each.table.size_bytes,
                "lines": [
                    {
                        "start_sector": line.start_sector,
                        "num_sectors": line.num_sectors,
                        "target": line.target,
                        "args": list(normal.args),
                        "devices": list(_names(line)),
                        "openable": is_openable(line),
                        "in_linux": line.target in KERNEL_TARGETS,
                        "words": describe_line(line),
                    }
                    for line, normal in zip(each.table.lines, normal_each.table.lines, strict=True)
                ],
            }
            for each, normal_each in zip(listed, normal_tables, strict=True)
        ],
        "table": pack_listing(normal_tables),
    }
