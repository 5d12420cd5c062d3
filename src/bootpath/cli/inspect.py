"""``bootpath inspect``: what is on a disk, and what would boot from it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from bootpath.cli.arguments import add_disk, add_json, add_password, read_password
from bootpath.cli.boot.decision import add_decision, linux_request
from bootpath.cli.disks import Disks, add_verbose
from bootpath.cli.pictures import add_picture, write_picture

if TYPE_CHECKING:
    from bootpath.boot.inspection.values import Inspection, InspectionRequest

HELP = "show what is on a disk, what boots from it, and how sure that is"
EPILOG = """\
examples:
  bootpath inspect disk.img
  bootpath inspect --json disk.img | jq .choice.verdict
  bootpath inspect --certificate vendor.pem --full os.raw
  bootpath inspect --policy root=verity+signed:usr=absent:=open os.raw
  bootpath inspect --slot 4 --picture disk.png ab.img
  bootpath inspect --identical-slots first ab.img
  bootpath inspect --look-in esp,xbootldr --efi-vars OVMF_VARS.fd os.raw
  bootpath inspect --allow-backing-file snapshot.qcow2
  bootpath inspect -v https://example.org/os.raw
  bootpath inspect --password-file secret locked.img

The verdict is the one of bootpath boot with the same options: which root, and which boot entry of it.

exit codes: 0 it would boot, 1 it cannot be read, 2 usage, 3 it does not boot, though there may be a root
"""


def configure(commands: Any, name: str) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        name, help=HELP, description=HELP, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_disk(parser)
    add_decision(parser.add_argument_group("which root and which entry are booted"))
    parser.add_argument("--full", action="store_true", help="verify all of the root")
    add_picture(parser, "draw the disk")
    add_verbose(parser)
    add_password(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Inspect; 0 when it would boot, 3 when not."""
    from bootpath.boot.inspection.inspect import inspect_disk
    from bootpath.cli.console import progress_bar
    from bootpath.cli.failures import Reported

    request = _request(options)
    with Disks(options, verbose=options.verbose) as disks, progress_bar("verifying") as progress:
        disk = disks.open(options.disk)
        inspection = inspect_disk(disk, request, progress=lambda done: progress(done, disk.size_bytes, options.disk))
    _show(options, inspection)
    disks.report()
    if inspection.contents.unread is not None:
        raise Reported(inspection.contents.unread)
    return 0 if inspection.boots else 3


def _request(options: argparse.Namespace) -> InspectionRequest:
    """What was asked for. Raises OSError for a certificate that cannot be read."""
    from bootpath.boot.inspection.values import InspectionRequest

    return InspectionRequest(
        linux_request(options),
        password=read_password(options.password_file),
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
