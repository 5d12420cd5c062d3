"""``bootpath inspect``: what is on a disk, and what would boot from it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from bootpath.cli.arguments import (
    SLOT_HELP,
    add_certificates,
    add_disk,
    add_json,
    add_password,
    add_policy,
    architecture,
    read_certificates,
    read_password,
    root_hash,
    words,
)
from bootpath.cli.disks import Disks, add_verbose
from bootpath.cli.pictures import add_picture, write_picture

if TYPE_CHECKING:
    from bootpath.image.inspection.values import Inspection, InspectionRequest

HELP = "show what is on a disk, what would be its root, and how sure that is"
EPILOG = """\
examples:
  bootpath inspect disk.img
  bootpath inspect --json disk.img | jq .choice.verdict
  bootpath inspect --certificate vendor.pem --full os.raw
  bootpath inspect --policy root=verity+signed:usr=absent:=open os.raw
  bootpath inspect --slot 4 --picture disk.png ab.img
  bootpath inspect -v https://example.org/os.raw
  bootpath inspect --password-file secret locked.img

exit codes: 0 it has a root and would boot, 1 it cannot be read, 2 usage, 3 no root, a bad one, or more than one
"""


def configure(commands: Any, name: str) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        name, help=HELP, description=HELP, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_disk(parser)
    parser.add_argument(
        "--architecture", metavar="ARCH", type=architecture, help="the architecture that counts (default: any)"
    )
    add_policy(parser)
    add_certificates(parser)
    parser.add_argument("--root-hash", metavar="HEX", type=root_hash, help="trust this root hash")
    parser.add_argument("--slot", metavar="SLOT", type=words, help=SLOT_HELP)
    parser.add_argument("--full", action="store_true", help="verify all of the root")
    add_picture(parser, "draw the disk")
    add_verbose(parser)
    add_password(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Inspect; 0 when it would boot, 3 when not."""
    from bootpath.cli.console import progress_bar
    from bootpath.cli.failures import Reported
    from bootpath.image.inspection.inspect import inspect_disk

    request = _request(options)
    with Disks(verbose=options.verbose) as disks, progress_bar("verifying") as progress:
        disk = disks.open(options.disk)
        inspection = inspect_disk(disk, request, progress=lambda done: progress(done, disk.size_bytes, options.disk))
    _show(options, inspection)
    disks.report()
    if inspection.contents.unread is not None:
        raise Reported(inspection.contents.unread)
    return 0 if inspection.boots else 3


def _request(options: argparse.Namespace) -> InspectionRequest:
    """What was asked for. Raises OSError for a certificate that cannot be read."""
    from bootpath.image.inspection.values import InspectionRequest

    return InspectionRequest(
        password=read_password(options.password_file),
        policy=options.policy,
        certificates=read_certificates(options.certificate),
        slot=options.slot,
        architecture=options.architecture,
        root_hash=options.root_hash,
        full=options.full,
        # An object far away that fails or changes does so as a whole.
        in_parts=not options.disk.startswith(("http:", "https:", "s3:")),
    )


def _show(options: argparse.Namespace, inspection: Inspection) -> None:
    from bootpath.cli.console import show_result
    from bootpath.report.inspection.pages import inspection_json, render_inspection
    from bootpath.report.inspection.picture import draw_contents

    if options.picture is not None:
        write_picture(options.picture, draw_contents(inspection))
    show_result(options, lambda: inspection_json(inspection), lambda: render_inspection(inspection))
