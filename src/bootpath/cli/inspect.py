"""``bootpath inspect``: what is on a disk, and what would boot from it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from bootpath.cli.arguments import (
    add_certificates,
    add_json,
    add_password,
    image_policy,
    read_certificates,
    read_password,
    root_hash,
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

A slot is a place: a path as this command prints it (4, vg0/root), or DISK-GUID:NUMBER, or DISK-GUID:NUMBER:FIRST-LBA.

exit codes: 0 it has a root and would boot, 1 it cannot be read, 2 usage, 3 no root, a bad one, or more than one
"""


def configure(commands: Any, name: str) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        name, help=HELP, description=HELP, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    disk = parser.add_argument(
        "disk",
        metavar="DISK",
        help="disk image, block device, nbd:// export, http(s):// or s3:// object",
    )
    disk.complete = {"bash": "_shtab_compgen_files", "zsh": "_files"}
    parser.add_argument("--architecture", metavar="A", help="only this one: x86-64, arm64 …, or as uname -m says it")
    parser.add_argument(
        "--policy",
        metavar="P",
        type=image_policy,
        help="image policy, as systemd.image-policy(7): root=verity+signed:usr=absent:=open",
    )
    add_certificates(
        parser, "certificate (PEM or DER) whose signatures are believed; without --policy, root must then be signed"
    )
    parser.add_argument("--root-hash", metavar="HEX", type=root_hash, help="the verity root hash to trust")
    parser.add_argument("--slot", metavar="PLACE", help="of identical slots, this one")
    parser.add_argument("--full", action="store_true", help="also read all of the root and compare it with its hashes")
    add_picture(parser, "draw the disk")
    add_verbose(parser)
    add_password(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Inspect; 0 when it would boot, 3 when not."""
    from bootpath.cli.console import note, progress_bar
    from bootpath.image.inspection.inspect import inspect_disk

    request = _request(options)
    if isinstance(request, str):
        note(f"bootpath: {request}")
        return 2
    with Disks(verbose=options.verbose) as disks, progress_bar("verifying") as progress:
        disk = disks.open(options.disk)
        inspection = inspect_disk(disk, request, progress=lambda done: progress(done, disk.size_bytes, options.disk))
    _show(options, inspection)
    disks.report()
    if inspection.contents.unread is not None:
        raise inspection.contents.unread
    return 0 if inspection.boots else 3


def _request(options: argparse.Namespace) -> InspectionRequest | str:
    """What was asked for, or what is wrong with it. Raises OSError for a certificate that cannot be read."""
    from bootpath.formats.partitions.dps import Architecture
    from bootpath.image.inspection.values import InspectionRequest

    architecture = None
    if options.architecture is not None:
        architecture = Architecture.of_machine(options.architecture)
        if architecture is None:
            names = " ".join(each.value for each in Architecture)
            return f"--architecture: {options.architecture}: expected one of {names}"
    return InspectionRequest(
        password=read_password(options.password_file),
        policy=options.policy,
        certificates=read_certificates(options.certificate),
        slot=options.slot,
        architecture=architecture,
        root_hash=options.root_hash,
        full=options.full,
        # An object far away that fails or changes does so as a whole.
        in_parts=not options.disk.startswith(("http:", "https:", "s3:")),
    )


def _show(options: argparse.Namespace, inspection: Inspection) -> None:
    from bootpath.cli.console import emit, emit_json
    from bootpath.report.inspection.pages import inspection_json, render_inspection
    from bootpath.report.inspection.picture import draw_contents

    if options.picture is not None:
        write_picture(options.picture, draw_contents(inspection))
    if options.json:
        emit_json(inspection_json(inspection))
    else:
        emit(render_inspection(inspection))
