"""``bootpath boot``: a disk in a machine, by our loader or by its own."""

from __future__ import annotations

import argparse
from contextlib import closing
from pathlib import Path
from typing import Any

from bootpath.cli.arguments import add_disk, add_json
from bootpath.cli.boot.firmware import run_firmware
from bootpath.cli.boot.linux import run_linux
from bootpath.cli.boot.live import run_live
from bootpath.cli.boot.options import (
    FIRMWARE,
    LINUX,
    LIVE,
    MACHINE,
    add_options,
    check_conflicts,
    check_mode,
    check_needed,
    fill_defaults,
    given_options,
)
from bootpath.cli.failures import UsageError
from bootpath.core.errors import Error

HELP = "boot a disk in a machine (QEMU): a live disk, an image-based Linux, or by the disk's own firmware"
EPILOG = """\
What is on DISK decides how it is booted. On a live disk is a RedoxFS with a Linux in it: our loader preloads it, and
lived serves it in the guest. An image-based Linux is verified first, and its kernel and initrd come through dm-verity.
With --firmware the disk's own loader boots it. The disk is never written to: what the system writes is kept in RAM.

examples:
  bootpath boot live.img                                   a live disk, to the login
  bootpath boot live.img --disk-delay 20                   its disk is plugged in after 20 seconds
  bootpath boot live.img --serial                          show the console; at the end one can log in on it
  bootpath boot os.img --dry-run --certificate os.crt      an image-based Linux: every decision, and what would run
  bootpath boot os.img --certificate os.crt                boot it
  bootpath boot ab.img --slot 4                            the root in partition 4, of two that are identical
  bootpath boot os.img --dry-run --efi-vars OVMF_VARS.fd   take the entry that these EFI variables name
  bootpath boot board.img --architecture arm64             one for another machine, if the image does not say which
  bootpath boot redox.iso --firmware uefi --record trace.json

exit codes: 0 it boots, 1 failed (no such file, wrong password), 2 usage, 3 it does not boot, or must not;
of an image-based Linux 0 when all that runs is verified, 4 when it is not, and the policy allows that
"""
COMMAND = "bootpath boot"


def configure(commands: Any, name: str) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        name, help=HELP, description=HELP, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_disk(parser)
    add_options(parser, MACHINE)
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Boot; 3 when it does not boot."""
    from bootpath.boot.look import look_at
    from bootpath.cli.disks import open_disk

    given = given_options(options)
    for option in given:
        if not option.modes & MACHINE:
            hint = f"bootpath simulate {options.disk} {option.flag}"
            raise UsageError(f"{option.flag} is for a simulation, which is now: {hint}", where=COMMAND)
    check_conflicts(given, command=COMMAND)
    _check_directory(options)
    with closing(open_disk(options.disk, options)) as disk:
        look = None if hasattr(options, "firmware") else look_at(disk)
    mode = FIRMWARE if look is None else LIVE if look.live else LINUX
    reasons = {FIRMWARE: "--firmware lets the disk's own loader decide"}
    has = "" if look is None else f"{options.disk}: {look.judged.why}"
    check_mode(given, mode, reasons.get(mode, has), command=COMMAND)
    check_needed(given, mode, command=COMMAND)
    fill_defaults(options)
    if look is None:
        return run_firmware(options)
    return run_linux(options, look) if mode is LINUX else run_live(options, look)


def _check_directory(options: argparse.Namespace) -> None:
    screenshot: Path | None = getattr(options, "screenshot", None)
    if screenshot is not None and not screenshot.absolute().parent.is_dir():
        raise Error("cannot write there: there is no such directory", where=str(screenshot))
