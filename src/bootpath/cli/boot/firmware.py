"""``bootpath boot --vm --firmware``: the boot by the image's own loader, from a disk that we serve."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bootpath.boot.machine.firmware import FirmwareRun

FIRMWARES = ("bios", "uefi")


def add_firmware_options(group: argparse._ArgumentGroup) -> None:
    """``--firmware``, to the options of a machine."""
    group.add_argument(
        "--firmware",
        choices=FIRMWARES,
        help="boot by the image's own loader instead, under this firmware, from a disk that is served over NBD",
    )


def firmware_contradiction(options: argparse.Namespace) -> str | None:
    """What does not go with ``--firmware``, where it is our loader's or our guest's; or None."""
    for name, text in (
        ("preload", "--preload"),
        ("plan", "--plan"),
        ("classic", "--classic"),
        ("no_disk", "--no-disk"),
        ("others", "--disk"),
        ("disk_delay", "--disk-delay"),
        ("kernel", "--kernel"),
        ("initrd", "--initrd"),
        ("append", "--append"),
        ("password_file", "--password-file"),
    ):
        if getattr(options, name):
            return f"{text} is for our loader, not the image's: it does not go with --firmware"
    return None


def run_firmware(options: argparse.Namespace) -> int:
    """Boot, say what was read, write the trace; raises what failed."""
    from bootpath.boot.machine.firmware import Firmware, FirmwareMachine, FirmwareSetup
    from bootpath.cli.boot.running import boot_arguments, display, interface, machine_arguments, told
    from bootpath.report.firmware import firmware_json, render_firmware

    setup = FirmwareSetup(
        Firmware(options.firmware),
        memory_bytes=options.memory,
        interface=interface(options),
        display=display(options),
    )
    with ExitStack() as stack:
        machine = FirmwareMachine(options.disk, setup, **machine_arguments(options, stack))
        result = machine.boot(**boot_arguments(options))
    if options.record is not None:
        _record(options.record, options.disk, result)
    return told(
        options,
        result,
        lambda: firmware_json(options.disk, result),
        lambda: render_firmware(options.disk, result),
    )


def _record(path: Path, disk: str, run: FirmwareRun) -> None:
    from bootpath.core.errors import BootError
    from bootpath.formats.trace import pack_trace
    from bootpath.image.output import atomic_output

    if run.trace is None:
        raise BootError("nothing to record", where=disk, found="no RedoxFS, or several", expected="one")
    with atomic_output(path) as temporary:
        temporary.write_bytes(pack_trace(run.trace))
