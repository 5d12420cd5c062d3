"""``bootpath inspect``: what is on a disk, and whether it would boot."""

from __future__ import annotations

import argparse
from contextlib import closing
from typing import Any

from bootpath.cli.arguments import add_disk, add_json, add_password, read_password

HELP = "show what is on a disk, and whether it would boot"
EPILOG = """\
examples:
  bootpath inspect disk.img
  bootpath inspect --json disk.img | jq .file_system.used_bytes
  bootpath inspect --password-file secret locked.img

exit codes: 0 it would boot, 1 it cannot be read, 2 usage, 3 it would not boot
"""


def configure(commands: Any, name: str) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        name, help=HELP, description=HELP, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_disk(parser)
    add_password(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Inspect; 0 when it would boot, 3 when not."""
    from bootpath.block import FileDevice
    from bootpath.cli.console import emit, emit_json
    from bootpath.image import inspect_disk
    from bootpath.report import inspection_json, render_inspection

    with closing(FileDevice.open(options.disk)) as disk:
        inspection = inspect_disk(disk, password=read_password(options.password_file))
    if options.json:
        emit_json(inspection_json(inspection))
    else:
        emit(render_inspection(inspection))
    return 0 if inspection.boots else 3
