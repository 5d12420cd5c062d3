"""``bootpath build live``: a live disk from a directory."""

from __future__ import annotations

import argparse
from typing import Any

from bootpath.cli.arguments import add_json, add_output, path, read_password, room, uuid

HELP = "build a live disk from a directory: GPT, EFI partition, RedoxFS with the tree in it"
EPILOG = """\
The layout is that of Redox's installer: BIOS boot partition, EFI partition at 1 MiB, RedoxFS at 2 MiB, named REDOX.
With --uuid, and SOURCE_DATE_EPOCH in the environment, the same tree gives the same bytes (unless it is encrypted).

examples:
  bootpath build live tree/ -o disk.img --kernel kernel --initfs initfs
  bootpath build live tree/ -o disk.img --size 4093MiB --password-file secret
  bootpath build live tree/ -o disk.img --efi-loader BOOTX64.EFI --bios-loader bootloader.bin
"""


def configure(kinds: Any, name: str) -> None:
    """Add the kind to the parser of ``bootpath build``."""
    live = kinds.add_parser(
        name,
        help=HELP,
        description=HELP,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    live.add_argument("tree", metavar="DIR", type=path, help="directory whose content becomes the root")
    add_output(live, "image to write; replaced when it exists", required=True)
    live.add_argument(
        "--size", type=room, metavar="SIZE", help="size of the disk (default: the tree and a quarter to spare)"
    )
    live.add_argument("--kernel", metavar="F", type=path, help="ELF kernel to put at usr/lib/boot/kernel")
    live.add_argument("--initfs", metavar="F", type=path, help="Redox initfs to put at usr/lib/boot/initfs")
    live.add_argument("--efi-loader", metavar="F", type=path, help="program that UEFI starts; it is put at EFI/BOOT")
    live.add_argument(
        "--esp-size", type=room, metavar="SIZE", default=1 << 20, help="size of the EFI partition (default: 1MiB)"
    )
    live.add_argument("--bios-loader", metavar="F", type=path, help="boot loader to write from LBA 0, under the GPT")
    live.add_argument(
        "--password-file", metavar="F", type=path, help="encrypt the file system with the password in this file"
    )
    live.add_argument("--uuid", type=uuid, metavar="UUID", help="UUID of the file system (default: random)")
    add_json(live)
    live.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Build a live disk."""
    import os
    import time
    from uuid import uuid4

    from bootpath.cli.console import progress_bar, show_result
    from bootpath.image.epoch import source_date_epoch
    from bootpath.image.redox.build import LiveImage, build_live
    from bootpath.report.asjson import built_json
    from bootpath.report.text import render_built

    epoch = source_date_epoch(os.environ)
    image = LiveImage(
        tree=options.tree,
        uuid=options.uuid or uuid4(),
        created_ns=time.time_ns() if epoch is None else epoch * 10**9,
        size_bytes=options.size,
        efi_bytes=options.esp_size,
        kernel=options.kernel,
        initfs=options.initfs,
        efi_loader=options.efi_loader,
        bios_loader=options.bios_loader,
        password=read_password(options.password_file),
        clamp_mtime_ns=None if epoch is None else epoch * 10**9,
    )
    with progress_bar("building") as progress:
        built = build_live(image, options.output, progress=progress)
    show_result(options, lambda: built_json(built), lambda: render_built(built))
    return 0
