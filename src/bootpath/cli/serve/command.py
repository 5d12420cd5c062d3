"""``bootpath serve``: a disk, live, to NBD clients."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bootpath.cli.arguments import (
    DEADLINE_HELP,
    add_disk,
    add_export,
    add_password,
    add_read_only,
    add_table,
    duration,
    named,
    path,
    preload,
    read_password,
    read_table,
    room,
    table_name,
)
from bootpath.cli.failures import UsageError
from bootpath.cli.serve.serving import add_listening, serve, serve_settings

if TYPE_CHECKING:
    from bootpath.boot.redox.served import ServedDisk
    from bootpath.core.device import Device
    from bootpath.serve.export import Export
    from bootpath.serve.live.service import LiveService

HELP = "serve a disk to NBD clients: from RAM first, from the disk behind it, writes in an overlay"
EPILOG = """\
Exports: the default one and disk/0 are the whole disk, disk.live is the RedoxFS on it, and with --table a device-mapper
table is served as dm. Answering begins at once; the preload is read in the background, in the plan's order.

examples:
  bootpath serve disk.img --preload plan --socket /run/disk.sock
  bootpath serve disk.img --preload plan --run 'nbdinfo $uri && qemu-img bench -c 10000 $uri'
  bootpath serve disk.img --tcp 127.0.0.1:10809 --overlay changes.overlay
  bootpath serve disk.img --overlay-per-client --socket /run/disk.sock
  bootpath serve disk.img --workers 4 --preload full --socket /run/disk.sock
  bootpath serve https://example.org/disk.img --read-only --socket /run/disk.sock

exit codes: 0 stopped, 1 failed, 2 usage; with --run that of the command
"""

COMMAND = "bootpath serve"


def configure(commands: Any, name: str) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        name, help=HELP, description=HELP, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_disk(parser)
    group = parser.add_argument_group("what is served")
    group.add_argument(
        "--preload",
        type=preload,
        default=0,
        metavar="SIZE|full|plan",
        help="what is read into RAM first: a prefix, everything, or a plan (default: nothing)",
    )
    group.add_argument("--plan", metavar="F", type=path, help="preload by this plan (default: make one at the start)")
    group.add_argument(
        "--disk", dest="physical", metavar="D", type=named, help="the physical disk behind the preload (default: DISK)"
    )
    group.add_argument(
        "--deadline",
        type=duration,
        default=30.0,
        metavar="S",
        help=DEADLINE_HELP,
    )
    add_table(group)
    add_export(group)
    group = parser.add_argument_group("what happens to writes")
    add_read_only(group)
    group.add_argument(
        "--overlay",
        metavar="ram|FILE",
        type=named,
        default="ram",
        help="where writes are kept: in RAM, or in this file (default: ram)",
    )
    group.add_argument(
        "--no-overlay-checksums",
        action="store_true",
        help="make a new overlay file without checksums, so that damage of what it holds is not noticed",
    )
    group.add_argument(
        "--overlay-size", type=room, metavar="N", help="keep at most this much, then fail writes with ENOSPC"
    )
    group.add_argument(
        "--overlay-per-client",
        action="store_true",
        help="give each connection an overlay of its own, which ends with it",
    )
    add_password(parser)
    add_listening(parser)
    parser.set_defaults(run=run)


def _usage(options: argparse.Namespace) -> str | None:
    """What is contradictory about the options, or None."""
    if options.plan is not None and options.preload not in (0, "plan"):
        return "--plan goes with --preload plan only"
    if options.read_only and (options.overlay != "ram" or options.overlay_per_client or options.overlay_size):
        return "--read-only keeps no writes: drop --overlay, --overlay-size and --overlay-per-client"
    if options.no_overlay_checksums and options.overlay == "ram":
        return "--no-overlay-checksums is for an overlay in a file: add --overlay FILE"
    if options.overlay_per_client and options.overlay != "ram":
        return "--overlay-per-client keeps writes in RAM: drop --overlay"
    if options.workers > 1:
        return _unshareable(options)
    return None


def _unshareable(options: argparse.Namespace) -> str | None:
    """Which of the options several processes cannot serve together, or None."""
    if options.overlay != "ram":
        return "--workers cannot share a persistent overlay: drop --overlay, or serve with one process"
    if options.table is not None:
        return "--workers cannot share what a table opens: drop --table, or serve with one process"
    if "://" in options.disk and not options.disk.lower().startswith("file://"):
        return "--workers cannot share a connection: DISK must be a file or a block device (--disk may be anything)"
    return None


def run(options: argparse.Namespace) -> int:
    """Serve until stopped."""
    contradiction = _usage(options)
    if contradiction is not None:
        raise UsageError(contradiction, where=COMMAND)
    settings = serve_settings(options, COMMAND)
    return serve(options, settings, partial(_open_service, options))


def _open_service(options: argparse.Namespace, stack: ExitStack) -> LiveService:
    """The live disk that the options describe; what it opens is closed by `stack`."""
    from bootpath.block.leaves.open import open_later
    from bootpath.cli.disks import image_rules, open_disk
    from bootpath.serve.live.opening import hydrated_service, late_copy, overlay_in_file
    from bootpath.serve.live.service import Shape

    disk = stack.enter_context(closing(open_disk(options.disk, options)))
    _check_shared(options, disk)
    served = _served_disk(options, disk)
    late = None
    if options.physical is not None:
        open_late = open_later(options.physical, timeout_seconds=options.deadline or None, images=image_rules(options))
        late = late_copy(disk, open_late, name=options.physical, deadline_seconds=options.deadline)
        stack.callback(late.close)
    shape = Shape(
        name=options.export,
        file_system=served.file_system,
        read_only=options.read_only,
        per_client=options.overlay_per_client,
        overlay_bytes=options.overlay_size,
    )
    return hydrated_service(
        disk,
        served.preload,
        shape,
        name=options.disk,
        late=late,
        make_overlay=None
        if options.overlay == "ram"
        else overlay_in_file(
            Path(options.overlay), checksums=not options.no_overlay_checksums, max_bytes=options.overlay_size
        ),
        forks=options.workers > 1,
        extra=_table(options, stack),
    )


def _check_shared(options: argparse.Namespace, disk: Device) -> None:
    """Raises Error for a disk that several processes cannot read."""
    from bootpath.core.diskimage import disk_images
    from bootpath.core.errors import Error

    program = next((each.program for each in disk_images(disk) if each.program is not None), None)
    if program is not None and options.workers > 1:
        what = f"--workers cannot share {program}, which reads the disk"
        raise Error(what, where=options.disk, hint="serve with one process")


def _served_disk(options: argparse.Namespace, disk: Device) -> ServedDisk:
    from bootpath.block.leaves.wholefile import read_parsed
    from bootpath.boot.redox.preload import PreloadKind
    from bootpath.boot.redox.served import choose_served_preload
    from bootpath.formats.plan import parse_plan

    plan = None if options.plan is None else read_parsed(options.plan, parse_plan, "plan_bytes")
    preload = "plan" if plan is not None else options.preload
    return choose_served_preload(
        disk,
        preload if isinstance(preload, int) else PreloadKind(preload),
        plan=plan,
        password=read_password(options.password_file),
    )


def _table(options: argparse.Namespace, stack: ExitStack) -> Mapping[str, Export]:
    """The export of --table."""
    if options.table is None:
        return {}
    from bootpath.block.table.stack import open_table
    from bootpath.cli.disks import open_disk
    from bootpath.core.errors import FormatError
    from bootpath.formats.dm.table import parse_table
    from bootpath.serve.export import Export

    try:
        table = parse_table(read_table(options.table))
    except FormatError as fault:
        raise fault.at(table_name(options.table)) from None
    device = stack.enter_context(closing(open_table(table, partial(open_disk, options=options))))
    return {"dm": Export("dm", device, table_name(options.table), read_only=options.read_only)}
