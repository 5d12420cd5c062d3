"""``bootpath boot --firmware``: the boot by the disk's own loader, from a disk that we serve."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from bootpath.cli.boot.running import boot_arguments, display, machine_arguments

if TYPE_CHECKING:
    from bootpath.boot.machine.firmware import FirmwareRun


def run_firmware(options: argparse.Namespace) -> int:
    """Boot, say what was read, write the trace; raises what failed."""
    from bootpath.boot.machine.firmware import Firmware, FirmwareMachine, FirmwareSetup
    from bootpath.cli.console import show_result
    from bootpath.cli.disks import image_rules
    from bootpath.formats.partitions.dps import Architecture
    from bootpath.report.firmware import firmware_json, render_firmware
    from bootpath.vm.boards import board_of
    from bootpath.vm.disks import Interface

    setup = FirmwareSetup(
        Firmware(options.firmware),
        board_of(options.architecture or Architecture.X86_64),
        memory_bytes=options.memory,
        interface=Interface.AHCI if options.ahci else None,
        display=display(options),
        images=image_rules(options),
    )
    with ExitStack() as stack:
        machine = FirmwareMachine(options.disk, setup, **machine_arguments(options, stack))
        result = machine.boot(**boot_arguments(options))
    if options.record is not None:
        _record(options.record, options.disk, result)
    show_result(
        options,
        lambda: firmware_json(options.disk, result),
        lambda: render_firmware(options.disk, result),
        result.failure,
    )
    return 0


def _record(path: Path, disk: str, run: FirmwareRun) -> None:
    from bootpath.core.errors import BootError
    from bootpath.formats.trace import pack_trace
    from bootpath.image.output import atomic_output

    if run.trace is None:
        raise BootError(
            "the boot has no trace: the disk has no RedoxFS, or several", where=disk, hint="boot without --record"
        )
    with atomic_output(path) as temporary:
        temporary.write_bytes(pack_trace(run.trace))
