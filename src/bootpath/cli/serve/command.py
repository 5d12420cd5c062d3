"""``bootpath serve``: a disk, live, to NBD clients."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bootpath.cli.arguments import add_disk, add_password, duration, preload, read_password, size
from bootpath.cli.serve.serving import Listening, add_listening, serve

if TYPE_CHECKING:
    from bootpath.core.device import Device
    from bootpath.core.extents import Extent
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


def configure(commands: Any, name: str) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        name, help=HELP, description=HELP, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_disk(parser)
    group = parser.add_argument_group("what is served")
    group.add_argument(
        "--preload", type=preload, default=0, metavar="SIZE|full|plan", help="what to read into RAM (default: nothing)"
    )
    group.add_argument("--plan", metavar="F", type=Path, help="preload by this plan (default: make one at the start)")
    group.add_argument("--disk", dest="late", metavar="LATE", help="what is behind the preload (default: DISK again)")
    group.add_argument(
        "--deadline", type=duration, default=30.0, metavar="S", help="how long a read waits for it (default: 30)"
    )
    group.add_argument("--table", metavar="FILE", type=Path, help="also serve this device-mapper table, as dm")
    group.add_argument(
        "--name", metavar="EXPORT", default="", help="name of the default export (default: the empty one)"
    )
    group = parser.add_argument_group("what happens to writes")
    group.add_argument("--read-only", action="store_true", help="refuse them")
    group.add_argument("--overlay", metavar="ram|FILE", default="ram", help="where they are kept (default: ram)")
    group.add_argument("--overlay-size", type=size, metavar="N", help="at most this much, then ENOSPC")
    group.add_argument("--overlay-per-client", action="store_true", help="every connection its own, forgotten with it")
    add_password(parser)
    add_listening(parser)
    parser.set_defaults(run=run)


def _usage(options: argparse.Namespace) -> str | None:
    """What is contradictory about the options, or None."""
    if options.plan is not None and options.preload not in (0, "plan"):
        return "--plan goes with --preload plan only"
    if options.read_only and (options.overlay != "ram" or options.overlay_per_client or options.overlay_size):
        return "--read-only keeps no writes: drop --overlay, --overlay-size and --overlay-per-client"
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
    from bootpath.cli.console import note

    contradiction = _usage(options) or Listening.contradiction(options)
    if contradiction is not None:
        note(f"bootpath: serve: {contradiction}")
        return 2
    return serve(options, _service)


def _service(options: argparse.Namespace, stack: ExitStack) -> LiveService:
    """The live disk that the options describe; what it opens is closed by `stack`."""
    from bootpath.block.leaves.open import open_device
    from bootpath.block.live.hydration import Hydration
    from bootpath.block.live.late import LateDisk
    from bootpath.core.device import Identity
    from bootpath.serve.live.service import LiveService, Shape

    disk = stack.enter_context(closing(open_device(options.disk)))
    file_system, extents = _what_to_preload(options, disk)
    source = LateDisk.ready(disk)
    late = source
    if options.late is not None:
        late = LateDisk(
            lambda: open_device(options.late, timeout_seconds=options.deadline or None),
            deadline_seconds=options.deadline,
            accept=_same_disk(options.late, disk),
            name=options.late,
        )
        stack.callback(late.close)
    hydration = Hydration(
        extents, disk.size_bytes, source, late, block_bytes=disk.block_bytes, identity=Identity(options.disk)
    )
    shape = Shape(
        name=options.name,
        file_system=file_system,
        read_only=options.read_only,
        per_client=options.overlay_per_client,
        overlay_bytes=options.overlay_size,
    )
    return LiveService(
        hydration.live,
        shape,
        hydration=hydration,
        make_overlay=_persistent(options),
        forks=options.workers > 1,
        extra=_table(options, stack),
    )


def _what_to_preload(options: argparse.Namespace, disk: Device) -> tuple[Extent | None, list[Extent]]:
    """Where the file system lies on the disk, and the extents to preload, both relative to the disk."""
    from bootpath.boot.redox.loader import Preload, PreloadKind
    from bootpath.boot.redox.planning import plan_boot
    from bootpath.core.extents import Extent, ExtentSet
    from bootpath.formats.plan import parse_plan
    from bootpath.image.redox.discovery import choose_place, find_redoxfs

    places = find_redoxfs(disk).places
    usable = [place for place in places if place.fault is None]
    file_system = None
    if len(usable) == 1 and usable[0].ring.newest is not None:
        file_system = Extent(usable[0].offset_bytes, usable[0].ring.newest.size_bytes)
    wanted = "plan" if options.plan is not None else options.preload
    if wanted == "full":
        return file_system, [Extent(0, disk.size_bytes)]
    if isinstance(wanted, int):
        length = min(wanted, disk.size_bytes) // disk.block_bytes * disk.block_bytes
        return file_system, [Extent(0, length)] if length else []
    place = choose_place(find_redoxfs(disk), where=disk.identity.name)
    newest = place.ring.newest
    assert newest is not None
    if options.plan is not None:
        plan = parse_plan(options.plan.read_bytes())
    else:
        plan = plan_boot(disk, password=read_password(options.password_file)).plan
    inner = Preload(PreloadKind.PLAN, plan=plan).extents(newest)
    # Whoever reads the disk begins with its partition table.
    table = [Extent(0, min(64 << 10, place.offset_bytes))] if place.offset_bytes else []
    wanted_extents = ExtentSet([*table, *(extent.shift(place.offset_bytes) for extent in inner)])
    return file_system, list(wanted_extents)


def _same_disk(late: str, disk: Device) -> Any:
    """Refuse what is behind the preload when it is not the disk that the preload is read from."""
    from bootpath.block.live.disk import accept_same_disk
    from bootpath.core.device import Identity, read_bytes
    from bootpath.core.extents import Extent

    probe = Extent(0, min(4 << 20, disk.size_bytes))
    content = read_bytes(disk, probe.offset, probe.length)
    return accept_same_disk(content, [probe], disk.size_bytes, identity=Identity(late), probes=[probe])


def _persistent(options: argparse.Namespace) -> Any:
    """What makes the overlay that lasts, or None for one in RAM."""
    if options.overlay == "ram":
        return None
    from bootpath.block.overlay.file import OverlayFile

    def make(base: Device) -> Device:
        if Path(options.overlay).exists():
            return OverlayFile.open(options.overlay, base)
        return OverlayFile.create(options.overlay, base, max_bytes=options.overlay_size)

    return make


def _table(options: argparse.Namespace, stack: ExitStack) -> Mapping[str, Export]:
    """The export of --table."""
    if options.table is None:
        return {}
    from bootpath.block.leaves.open import open_device
    from bootpath.block.table.stack import open_table
    from bootpath.core.errors import FormatError
    from bootpath.formats.dm.table import parse_table
    from bootpath.serve.export import Export

    try:
        table = parse_table(options.table.read_text())
    except (FormatError, UnicodeDecodeError) as fault:
        raise FormatError(str(fault), where=str(options.table)) from fault
    device = stack.enter_context(closing(open_table(table, open_device)))
    return {"dm": Export("dm", device, str(options.table), read_only=options.read_only)}
