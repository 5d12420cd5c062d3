"""``bootpath dm``: device-mapper tables, checked, explained, read, served and exported."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, TYPE_CHECKING, Any

from bootpath.cli.arguments import add_json, size
from bootpath.cli.serving import add_listening

if TYPE_CHECKING:
    from bootpath.block import Stack
    from bootpath.formats import ListedTable

HELP = "check, explain, read, serve and export device-mapper tables"
EPILOG = """\
A table is what dmsetup reads and prints: rows for one device, or rows behind "NAME: " for several, or one line with
commas (--concise). TABLE is a file, or - for stdin. Devices in it are other tables (NAME, /dev/mapper/NAME), partitions
(PARTUUID=…, PARTLABEL=…) of the disks given with --disk, numbers (8:1), paths or URIs; --device says what one is here.
Nothing below is written unless --writable is given.

examples:
  bootpath dm table root.table
  dmsetup table --showkeys | bootpath dm table - --picture stack.png
  bootpath dm read --table root.table --device 8:1=disk.img --length 1MiB -o first.bin
  bootpath dm hash --table root.table --disk disk.img
  bootpath dm serve --table root.table --socket /run/root.sock
  bootpath dm export root.table --format dm-mod.create --name root --ro --device disk.img=/dev/vda
"""
_CHUNK_BYTES = 1 << 20
_MAPPING = re.compile(r"(PART(?:UUID|LABEL)=[^=/]+(?:/PARTNROFF=-?[0-9]+)?|[^=]+)=(.+)")


def configure(commands: Any, name: str) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        name, help=HELP, description=HELP, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    table = actions.add_parser("table", help="check and explain", description="Check a table and say what it does.")
    read = actions.add_parser("read", help="copy bytes out", description="Read the device that a table describes.")
    digest = actions.add_parser("hash", help="hash the content", description="Hash the device that a table describes.")
    serve = actions.add_parser("serve", help="serve it by NBD", description="Serve the device to NBD clients.")
    export = actions.add_parser("export", help="for the kernel", description="Write a table for Linux.")
    for action in (table, export):
        action.add_argument("table", metavar="TABLE", help="file with the table, - for stdin")
    for action in (read, digest, serve):
        action.add_argument("--table", required=True, metavar="FILE", help="file with the table, - for stdin")
        action.add_argument("--select", metavar="NAME", help="which device, when the table describes several")
        action.add_argument("--disk", action="append", default=[], metavar="D", help="disk whose partitions are meant")
    for action in (read, digest, serve, export):
        action.add_argument(
            "--device",
            action="append",
            default=[],
            type=_mapping,
            metavar="NAME=X",
            help="what a device of the table is called here: a path or a URI",
        )
    for action in (read, digest):
        action.add_argument("--offset", type=size, default=0, metavar="N", help="where to begin (default: 0)")
        action.add_argument("--length", type=size, metavar="N", help="how much (default: up to the end)")
    for action in (table, digest):
        add_json(action)
    table.add_argument("--showkeys", action="store_true", help="print the keys of crypt rows, not zeros")
    table.add_argument("--normalise", action="store_true", help="print only the table, as dmsetup would")
    table.add_argument("--picture", metavar="F", type=Path, help="draw the stack to this .png or .svg")
    read.add_argument("-o", "--output", metavar="F", type=Path, help="write to this file (default: stdout)")
    digest.add_argument("--algorithm", default="sha256", metavar="A", help="of Python's hashlib (default: sha256)")
    serve.add_argument("--writable", action="store_true", help="let clients write to the devices below")
    serve.add_argument("--name", metavar="EXPORT", default="", help="name of the export (default: the empty one)")
    add_listening(serve)
    export.add_argument(
        "--format", choices=("dmsetup", "dm-mod.create"), default="dmsetup", help="for whom (default: dmsetup)"
    )
    export.add_argument("--name", help="name of the device, where the table has none")
    export.add_argument("--uuid", help="its UUID (dm-mod.create)")
    export.add_argument("--minor", type=int, metavar="N", help="its minor number (dm-mod.create; default: any)")
    export.add_argument("--ro", action="store_true", help="make it read-only (dm-mod.create)")
    parser.set_defaults(run=run)


def _mapping(text: str) -> tuple[str, str]:
    """``NAME=X``, also for a name that has a ``=`` itself (``PARTUUID=…=disk.img``)."""
    match = _MAPPING.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=PATH or NAME=URI")
    return match[1], match[2]


def run(options: argparse.Namespace) -> int:
    """Do what was asked for."""
    actions = {"table": _table, "read": _read, "hash": _hash, "serve": _serve, "export": _export}
    return actions[options.action](options)


def _listing(path: str) -> tuple[ListedTable, ...]:
    """The tables in a file or on stdin."""
    from bootpath.core import FormatError
    from bootpath.formats import parse_listing

    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
        return parse_listing(text)
    except UnicodeDecodeError:
        raise FormatError("is no text in UTF-8", where=path) from None
    except FormatError as error:
        raise error.at(path) from None


def _table(options: argparse.Namespace) -> int:
    from bootpath.cli.console import emit, emit_json, note
    from bootpath.formats import pack_listing
    from bootpath.report import draw_listing, listing_json, normalised, render_listing

    listed = _listing(options.table)
    shown = normalised(listed, show_keys=options.showkeys)
    if options.picture is not None:
        canvas = draw_listing(listed)
        svg = options.picture.suffix.lower() == ".svg"
        options.picture.write_bytes(canvas.to_svg().encode() if svg else canvas.to_png())
        note(f"wrote {options.picture}")
    if options.json:
        emit_json(listing_json(listed, show_keys=options.showkeys))
    elif options.normalise:
        emit(pack_listing(shown).rstrip("\n"))
    else:
        emit(render_listing(listed))
    return 0


def _open(options: argparse.Namespace, stack: ExitStack, *, writable: bool = False) -> Stack:
    """The device that is asked for; what it opens is closed by `stack`."""
    from bootpath.block import DeviceNames, open_device, open_table
    from bootpath.core import Error, Identity, TableError

    listed = _listing(options.table)
    names = [each.name for each in listed]
    if options.select is None and len(listed) > 1:
        raise TableError("several devices are described", where=options.table, hint=f"--select {' or '.join(names)}")
    if options.select is not None and options.select not in names:
        expected = " or ".join(names) if any(names) else "no --select: its device has no name"
        raise TableError("there is no device", where=options.table, found=options.select, expected=expected)
    chosen = listed[0] if options.select is None else listed[names.index(options.select)]
    opener = partial(open_device, writable=writable)
    resolve = DeviceNames(
        opener,
        mapped=dict(options.device),
        tables={each.name: each.table for each in listed if each.name},
        disks=[stack.enter_context(closing(opener(disk))) for disk in options.disk],
    )
    stack.callback(resolve.close)
    try:
        opened = open_table(chosen.table, resolve, identity=Identity(chosen.name or options.table))
    except Error as error:
        raise error.at(options.table) from None
    return stack.enter_context(closing(opened))


def _range(options: argparse.Namespace, device: Stack) -> tuple[int, int]:
    """(first byte, byte after the last) of --offset and --length, any bytes of the device."""
    from bootpath.core import Error

    end = device.size_bytes if options.length is None else options.offset + options.length
    if options.offset > end or end > device.size_bytes:
        raise Error(
            f"{options.offset} to {end} is past the end", where=options.table, expected=f"at most {device.size_bytes}"
        )
    return options.offset, end


def _pieces(options: argparse.Namespace, device: Stack, title: str) -> Iterator[memoryview]:
    """The bytes that are asked for, with progress."""
    from bootpath.block.views import read_wide
    from bootpath.cli.console import progress_bar

    first, end = _range(options, device)
    with progress_bar(title) as progress:
        for start in range(first, end, _CHUNK_BYTES):
            for view in read_wide(device, start, min(_CHUNK_BYTES, end - start)):
                yield memoryview(view)
            progress(min(start + _CHUNK_BYTES, end) - first, end - first, options.table)


def _read(options: argparse.Namespace) -> int:
    with ExitStack() as stack:
        device = _open(options, stack)
        _range(options, device)  # before a file is made
        file = sys.stdout.buffer if options.output is None else stack.enter_context(_whole_file(options.output))
        for view in _pieces(options, device, "reading"):
            file.write(view)
    return 0


@contextmanager
def _whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes its name when all of it is written: the name may be that of a device of the table."""
    if path.exists() and not path.is_file():  # a pipe, a terminal, a block device
        with path.open("wb") as file:
            yield file
        return
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as temporary:
        try:
            yield temporary.file
            temporary.flush()
            umask = os.umask(0)  # it can only be asked for by setting it
            os.umask(umask)
            os.fchmod(temporary.fileno(), 0o666 & ~umask)
            os.replace(temporary.name, path)
        except BaseException:
            os.unlink(temporary.name)
            raise


def _hash(options: argparse.Namespace) -> int:
    import hashlib

    from bootpath.cli.console import emit, emit_json
    from bootpath.core import Error

    if options.algorithm not in hashlib.algorithms_available or options.algorithm.startswith("shake"):
        raise Error(
            "the algorithm is", found=repr(options.algorithm), expected="one of hashlib's, as sha256 or blake2b"
        )
    hasher = hashlib.new(options.algorithm)
    with ExitStack() as stack:
        device = _open(options, stack)
        first, end = _range(options, device)
        for view in _pieces(options, device, "hashing"):
            hasher.update(view)
    if options.json:
        emit_json(
            {
                "algorithm": options.algorithm,
                "digest": hasher.hexdigest(),
                "offset_bytes": first,
                "length_bytes": end - first,
            }
        )
    else:
        emit(f"{hasher.hexdigest()}  {options.select or options.table}")
    return 0


def _serve(options: argparse.Namespace) -> int:
    from bootpath.cli.console import note
    from bootpath.cli.serving import Listening, confine, device_service, run_server

    contradiction = Listening.contradiction(options)
    if options.workers > 1:
        contradiction = "--workers cannot share what a table opens: serve with one process"
    if contradiction is not None:
        note(f"bootpath: dm serve: {contradiction}")
        return 2
    with ExitStack() as stack:
        confine(options, stack)
        device = _open(options, stack, writable=options.writable)
        service = device_service(device, name=options.name, device_name=options.select or "dm")
        stack.callback(service.close)
        return run_server(options, service)


def _export(options: argparse.Namespace) -> int:
    from dataclasses import replace

    from bootpath.cli.console import emit
    from bootpath.core import FormatError
    from bootpath.formats import ExportFormat, export_listing, rename_devices

    listed = _listing(options.table)
    said = {"name": options.name, "uuid": options.uuid, "minor": options.minor, "read_only": options.ro or None}
    given = {key: value for key, value in said.items() if value is not None}
    if given and len(listed) > 1:
        raise FormatError(
            "several devices are described", where=options.table, hint="give --name and such for one only"
        )
    mapped = dict(options.device)
    try:
        exported = tuple(
            replace(each, table=rename_devices(each.table, lambda name: mapped.get(name, name)), **given)
            for each in listed
        )
        emit(export_listing(exported, ExportFormat(options.format)).rstrip("\n"))
    except FormatError as error:
        raise error.at(options.table) from None
    return 0
