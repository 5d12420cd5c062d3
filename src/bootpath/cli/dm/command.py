"""``bootpath dm``: device-mapper tables, checked, explained, read, served and exported."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from bootpath.cli.arguments import (
    add_export,
    add_images,
    add_json,
    add_output,
    add_read_only,
    named,
    refer_to_family,
    table_name,
    whole,
    words,
)
from bootpath.cli.disks import Disks, add_verbose
from bootpath.cli.dm.device import (
    add_device,
    add_mapping,
    add_range,
    check_mapping,
    chosen_range,
    open_dm,
    pieces,
    read_listing,
)
from bootpath.cli.failures import UsageError
from bootpath.cli.pictures import add_picture, write_picture
from bootpath.cli.serve.serving import add_listening
from bootpath.core.printable import printable

if TYPE_CHECKING:
    from bootpath.serve.live.service import LiveService

HELP = "check, explain, read, serve and export device-mapper tables"
EPILOG = """\
A table is what dmsetup reads and prints: lines for one device, or lines behind "NAME: " for several, or one line with
commas (--concise). TABLE is a file, or - for stdin. Devices in it are other tables (NAME, /dev/mapper/NAME), partitions
(PARTUUID=…, PARTLABEL=…) of the disks given with --partitions-of, numbers (8:1), paths or URIs; --device says what one
is here. Nothing below is written unless --writable is given.

examples:
  bootpath dm table root.table
  dmsetup table --showkeys | bootpath dm table - --picture stack.png
  bootpath dm read --table root.table --device 8:1=disk.img --length 1MiB -o first.bin
  bootpath dm hash --table root.table --partitions-of disk.img
  bootpath dm serve --table root.table --socket /run/root.sock
  bootpath dm export root.table --to dm-mod.create --dm-name root --read-only --device disk.img=/dev/vda

exit codes: 0 good, 1 failed, 2 usage, 3 data does not match its hash; dm serve --run: that of the command
"""

_MAX_MINOR = (1 << 20) - 1  # MINORBITS of linux/kdev_t.h


def configure(commands: Any, name: str) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        name, help=HELP, description=HELP, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    table = actions.add_parser(
        "table", help="check and explain a table", description="Check a table and explain each line."
    )
    read = actions.add_parser("read", help="copy bytes out", description="Read the device that a table describes.")
    digest = actions.add_parser("hash", help="hash the content", description="Hash the device that a table describes.")
    serve = actions.add_parser("serve", help="serve it by NBD", description="Serve the device to NBD clients.")
    export = actions.add_parser("export", help="for the kernel", description="Write a table for Linux.")
    for action in (table, export):
        action.add_argument("table", metavar="TABLE", type=named, help="file with the table, - for stdin")
    for action in (read, digest, serve):
        add_device(action)
        add_images(action)
    for action in (read, digest, serve, export):
        add_mapping(action)
    for action in (read, digest):
        add_range(action)
        add_verbose(action)
    for action in (table, digest):
        add_json(action)
    table.add_argument("--showkeys", action="store_true", help="print the keys of crypt targets instead of zeros")
    table.add_argument("--normalise", action="store_true", help="print only the table, as dmsetup would")
    add_picture(table, "draw the stack")
    add_output(read, "write to this file (default: stdout)")
    digest.add_argument(
        "--algorithm", type=_algorithm, default="sha256", metavar="A", help="of Python's hashlib (default: sha256)"
    )
    serve.add_argument("--writable", action="store_true", help="let clients write to the devices below")
    add_export(serve)
    add_listening(serve)
    export.add_argument(
        "--to",
        choices=("dmsetup", "concise", "dm-mod.create"),
        default="dmsetup",
        help="for dmsetup create, dmsetup create --concise, or the kernel's command line (default: dmsetup)",
    )
    export.add_argument("--dm-name", metavar="NAME", type=words, help="name of the device, where the table has none")
    export.add_argument("--dm-uuid", metavar="UUID", type=words, help="its UUID (dm-mod.create)")
    export.add_argument(
        "--dm-minor", type=whole(0, _MAX_MINOR), metavar="N", help="its minor number (dm-mod.create; default: any)"
    )
    add_read_only(export)
    refer_to_family(parser, actions)
    parser.set_defaults(run=run)


def _algorithm(text: str) -> str:
    """An algorithm of hashlib's that needs no length."""
    import hashlib

    if text not in hashlib.algorithms_available or text.startswith("shake"):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no hash algorithm that is known here: write, for example, sha256"
        )
    return text


def run(options: argparse.Namespace) -> int:
    """Do what was asked for."""
    actions = {"table": _table, "read": _read, "hash": _hash, "serve": _serve, "export": _export}
    return actions[options.action](options)


def _table(options: argparse.Namespace) -> int:
    from bootpath.cli.console import emit, emit_data, emit_json, note
    from bootpath.formats.dm.listing import pack_listing
    from bootpath.report.dmpicture import draw_listing
    from bootpath.report.dmtable import listing_json, normalised, render_listing

    listed = read_listing(options.table, check=True)
    normal = normalised(listed, show_keys=options.showkeys)
    if options.picture is not None:
        write_picture(options.picture, draw_listing(listed))
        note(f"wrote {options.picture}")
    if options.json:
        emit_json(listing_json(listed, show_keys=options.showkeys))
    elif options.normalise:
        emit_data(pack_listing(normal).rstrip("\n") + "\n")
    else:
        emit(render_listing(listed))
    return 0


def _read(options: argparse.Namespace) -> int:
    from bootpath.cli.console import emit_bytes

    with Disks(options, verbose=options.verbose) as disks, ExitStack() as stack:
        device = open_dm(options, stack, disks)
        chosen_range(options, device)  # before a file is made
        put: Callable[[memoryview], object] = emit_bytes
        if options.output is not None:
            put = stack.enter_context(_output(options.output)).write
        for view in pieces(options, device, "reading"):
            put(view)
    disks.report()
    return 0


@contextmanager
def _output(path: Path) -> Iterator[IO[bytes]]:
    """A file that is replaced when all is there: the name may be that of a device of the table. Or, as with dd, a pipe,
    a terminal, a block device, which get what is read as it comes. Raises Error."""
    from bootpath.core.errors import Error
    from bootpath.image.output import atomic_output

    if path.exists() and not path.is_file() and not path.is_dir():
        try:
            with path.open("r+b" if path.is_block_device() else "wb") as file:
                yield file
        except BrokenPipeError:
            raise
        except OSError as fault:
            raise Error(f"cannot write there: {fault.strerror}", where=str(path)) from fault
        return
    with atomic_output(path) as temporary, temporary.open("wb") as file:
        yield file


def _hash(options: argparse.Namespace) -> int:
    import hashlib

    from bootpath.cli.console import emit, emit_json

    hasher = hashlib.new(options.algorithm)
    with Disks(options, verbose=options.verbose) as disks, ExitStack() as stack:
        device = open_dm(options, stack, disks)
        first, end = chosen_range(options, device)
        for view in pieces(options, device, "hashing"):
            hasher.update(view)
    disks.report()
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
        emit(printable(f"{hasher.hexdigest()}  {options.select or options.table}"))
    return 0


def _serve(options: argparse.Namespace) -> int:
    from functools import partial

    from bootpath.cli.serve.serving import serve, serve_settings

    command = "bootpath dm serve"
    if options.workers > 1:
        raise UsageError("--workers cannot share what a table opens: serve with one process", where=command)
    settings = serve_settings(options, command)
    return serve(options, settings, partial(_open_service, options))


def _open_service(options: argparse.Namespace, stack: ExitStack) -> LiveService:
    from bootpath.serve.live.opening import device_service

    disks = stack.enter_context(Disks(options, verbose=False, lookup=False))
    device = open_dm(options, stack, disks, writable=options.writable)
    return device_service(device, name=options.export, device_name=options.select or "dm")


def _export(options: argparse.Namespace) -> int:
    from dataclasses import replace

    from bootpath.cli.console import emit_data
    from bootpath.core.errors import FormatError
    from bootpath.formats.dm.export import ExportFormat, export_listing
    from bootpath.formats.dm.targets import rename_devices

    listed = read_listing(options.table, check=True)
    said = {
        "name": options.dm_name,
        "uuid": options.dm_uuid,
        "minor": options.dm_minor,
        "read_only": options.read_only or None,
    }
    given = {key: value for key, value in said.items() if value is not None}
    if given and len(listed) > 1:
        raise FormatError(
            "the table describes several devices",
            where=table_name(options.table),
            hint="--dm-name is for one",
        )
    mapped = dict(options.device)
    try:
        check_mapping(options, listed)
        exported = tuple(
            replace(each, table=rename_devices(each.table, lambda name: mapped.get(name, name)), **given)
            for each in listed
        )
        emit_data(export_listing(exported, ExportFormat(options.to)).rstrip("\n") + "\n")
    except FormatError as error:
        raise error.at(table_name(options.table)) from None
    return 0
