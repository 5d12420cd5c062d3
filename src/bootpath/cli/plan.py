"""``bootpath plan``: what a boot reads, and whether a preload would do."""

from __future__ import annotations

import argparse
from contextlib import closing
from pathlib import Path
from typing import Any

from bootpath.cli.arguments import (
    add_disk,
    add_json,
    add_output,
    add_password,
    add_touch,
    path,
    preload,
    read_password,
)
from bootpath.cli.failures import UsageError
from bootpath.cli.pictures import add_picture, write_picture

HELP = "find out what a boot reads, and whether a prefix preload would do"
EPILOG = """\
Runs the real open (with and without cleanup), loads kernel and initfs, and reads what a boot reads, all on a traced
device: the image is not written to.

examples:
  bootpath plan disk.img
  bootpath plan disk.img --preload 1024MiB --picture plan.png
  bootpath plan disk.img --touch /usr/bin/orbital -o disk.plan
  bootpath simulate disk.img --record disk.trace && bootpath plan disk.img --recorded disk.trace -o disk.plan

exit codes: 0 good, 1 failed, 2 usage, 3 with --preload: the classic daemon would not mount the root
"""


def configure(commands: Any, name: str) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        name, help=HELP, description=HELP, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_disk(parser)
    add_touch(parser)
    parser.add_argument(
        "--recorded",
        metavar="F",
        type=path,
        help="trace of a boot, written by --record of simulate or boot",
    )
    parser.add_argument(
        "--preload",
        type=preload,
        metavar="SIZE|full|plan",
        help="judge the classic daemon with this preload: a prefix of SIZE, or full",
    )
    add_picture(parser, "draw the disk as a map")
    add_output(parser, "write the plan, for --plan of simulate, boot and serve")
    add_password(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Plan; 3 when a given prefix would not do."""
    from bootpath.block.leaves.wholefile import read_parsed
    from bootpath.boot.redox.planning import plan_boot
    from bootpath.cli.console import show_result
    from bootpath.cli.disks import open_disk
    from bootpath.formats.plan import pack_plan
    from bootpath.formats.trace import parse_trace
    from bootpath.image.output import atomic_output
    from bootpath.report.asjson import plan_json
    from bootpath.report.diskmap import draw_plan
    from bootpath.report.text import render_plan

    if options.preload == "plan":
        raise UsageError("--preload plan is what is made here: give a SIZE, or full", where="bootpath plan")
    recorded = None if options.recorded is None else read_parsed(options.recorded, parse_trace, "trace_bytes")
    with closing(open_disk(options.disk, options)) as disk:
        planned = plan_boot(
            disk, password=read_password(options.password_file), touches=tuple(options.touch), recorded=recorded
        )
    prefix_bytes = planned.plan.size_bytes if options.preload == "full" else options.preload
    if options.output is not None:
        with atomic_output(options.output) as temporary:
            temporary.write_bytes(pack_plan(planned.plan))
    if options.picture is not None:
        canvas = draw_plan(Path(options.disk).name, planned, preload_bytes=prefix_bytes)
        write_picture(options.picture, canvas)
    show_result(
        options,
        lambda: plan_json(options.disk, planned, prefix_bytes),
        lambda: render_plan(options.disk, planned, prefix_bytes),
    )
    return 3 if prefix_bytes is not None and planned.classic_miss(prefix_bytes) is not None else 0
