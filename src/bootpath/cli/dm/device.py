"""What the actions of ``bootpath dm`` share: the tables that are meant, and the device that one of them describes."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from functools import partial
from typing import TYPE_CHECKING

from bootpath.cli.arguments import add_table, named, read_table, size, table_name

if TYPE_CHECKING:
    from bootpath.block.table.stack import Stack
    from bootpath.cli.disks import Disks
    from bootpath.formats.dm.listing import ListedTable

_CHUNK_BYTES = 1 << 20
_NAMED = 8
_MAPPING = re.compile(r"(PART(?:UUID|LABEL)=[^=/]+(?:/PARTNROFF=-?[0-9]+)?|[^=]+)=(.+)")


def add_device(parser: argparse.ArgumentParser) -> None:
    """The options that say what stands below a table."""
    add_table(parser, required=True)
    parser.add_argument("--select", metavar="NAME", help="which device, when the table describes several")
    parser.add_argument(
        "--partitions-of",
        action="append",
        default=[],
        type=named,
        metavar="D",
        help="disk whose partitions PARTUUID=… and PARTLABEL=… name; repeatable",
    )


def add_mapping(parser: argparse.ArgumentParser) -> None:
    """``--device``."""
    parser.add_argument(
        "--device",
        action="append",
        default=[],
        type=_mapping,
        metavar="NAME=X",
        help="use X (a path, a URI or a table) for the device NAME of the table; export writes X instead",
    )


def add_range(parser: argparse.ArgumentParser) -> None:
    """``--offset`` and ``--length``."""
    parser.add_argument("--offset", type=size, default=0, metavar="N", help="where to begin (default: 0)")
    parser.add_argument("--length", type=size, metavar="N", help="how much (default: up to the end)")


def _mapping(text: str) -> tuple[str, str]:
    """``NAME=X``, also for a name that has a ``=`` itself (``PARTUUID=…=disk.img``)."""
    match = _MAPPING.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=PATH or NAME=URI")
    return match[1], match[2]


def read_listing(path: str, *, check: bool = False) -> tuple[ListedTable, ...]:
    """The tables in a file or on stdin; with `check`, their lines are parsed too. Raises FormatError, OSError."""
    from bootpath.core.errors import FormatError
    from bootpath.formats.dm.listing import parse_listing
    from bootpath.formats.dm.targets import check_lines

    text = read_table(path)
    try:
        listed = parse_listing(text)
        for each in listed if check else ():
            check_lines(each.table, each.name)
        return listed
    except FormatError as error:
        raise error.at(table_name(path)) from None


def check_mapping(options: argparse.Namespace, listed: tuple[ListedTable, ...]) -> None:
    """Refuse a --device whose name is in no line: a misspelt name would go unnoticed. Raises Error."""
    from bootpath.core.errors import Error, FormatError
    from bootpath.formats.dm.targets import device_names

    try:
        used = list(dict.fromkeys(name for each in listed for line in each.table.lines for name in device_names(line)))
    except FormatError:
        return  # it is not known which arguments of that line are devices
    for name, _ in options.device:
        if name not in used:
            expected = " or ".join(used) if used else "no --device: it has none"
            raise Error(
                "the table has no device with the name that --device gives",
                where=table_name(options.table),
                found=name,
                expected=expected,
            )


def open_dm(options: argparse.Namespace, stack: ExitStack, disks: Disks, *, writable: bool = False) -> Stack:
    """The device that is asked for, closed by `stack`; what it stands on is opened by `disks`. Raises Error."""
    from bootpath.block.table.devicenames import DeviceNames
    from bootpath.block.table.stack import open_table
    from bootpath.core.device import Identity
    from bootpath.core.errors import TableError

    where = table_name(options.table)
    listed = read_listing(options.table)
    names = [each.name for each in listed]
    if options.select is None and len(listed) > 1:
        raise TableError("the table describes several devices", where=where, hint=f"--select {_some(names)}")
    if options.select is not None and options.select not in names:
        expected = _some(names) if any(names) else "no --select: its device has no name"
        raise TableError("the table has no such device", where=where, found=options.select, expected=expected)
    chosen = listed[0] if options.select is None else listed[names.index(options.select)]
    try:
        check_mapping(options, listed)
        resolve = DeviceNames(
            partial(disks.open, writable=writable),
            mapped=dict(options.device),
            tables={each.name: each.table for each in listed if each.name},
            disks=[disks.open(disk, writable=writable) for disk in options.partitions_of],
        )
        stack.callback(resolve.close)
        opened = open_table(chosen.table, resolve, identity=Identity(chosen.name or where))
    except TableError as error:
        raise error.at(where) from None
    return stack.enter_context(closing(opened))


def _some(names: Sequence[str]) -> str:
    """The first names, for a line."""
    return " or ".join(names[:_NAMED]) + (f" or {len(names) - _NAMED} others" if len(names) > _NAMED else "")


def chosen_range(options: argparse.Namespace, device: Stack) -> tuple[int, int]:
    """(first byte, byte after the last) of --offset and --length, any bytes of the device. Raises Error."""
    from bootpath.core.errors import Error

    first = options.offset
    end = max(device.size_bytes, first) if options.length is None else first + options.length
    if end > device.size_bytes:
        what = f"{end - first} bytes from byte {first} on are" if options.length is not None else f"byte {first} is"
        raise Error(f"{what} past the end", where=table_name(options.table), expected=f"at most {device.size_bytes}")
    return first, end


def pieces(options: argparse.Namespace, device: Stack, title: str) -> Iterator[memoryview]:
    """The bytes that are asked for, with progress. Raises DeviceError that names the table."""
    from bootpath.block.views import read_wide
    from bootpath.cli.console import progress_bar
    from bootpath.core.errors import DeviceError

    first, end = chosen_range(options, device)
    with progress_bar(title) as progress:
        for start in range(first, end, _CHUNK_BYTES):
            try:
                views = read_wide(device, start, min(_CHUNK_BYTES, end - start))
            except DeviceError as error:
                raise error.at(options.select or table_name(options.table)) from None
            for view in views:
                yield memoryview(view)
            progress(min(start + _CHUNK_BYTES, end) - first, end - first, options.table)
