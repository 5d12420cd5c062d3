"""``bootpath boot`` of a live disk: our loader, the preload in the machine's memory, lived in its initramfs."""

from __future__ import annotations

import argparse
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

from bootpath.cli.arguments import read_password
from bootpath.cli.boot.preload import check_preload, chosen_preload
from bootpath.cli.boot.running import boot_arguments, display, interface, machine_arguments
from bootpath.cli.failures import UsageError

if TYPE_CHECKING:
    from bootpath.boot.inspection.values import Inspection
    from bootpath.boot.look import Look

COMMAND = "bootpath boot"


def run_live(options: argparse.Namespace, look: Look) -> int:
    """Boot, and say what happened; raises what failed."""
    from bootpath.boot.inspection.inspect import inspect_disk
    from bootpath.boot.inspection.values import InspectionRequest
    from bootpath.boot.protocol.settings import Settings
    from bootpath.boot.redox.machine import LiveMachine, MachineSetup
    from bootpath.cli.console import show_result
    from bootpath.cli.disks import open_disk, plain_file
    from bootpath.report.inspection.pages import inspection_json, render_inspection
    from bootpath.report.machine import machine_json, render_machine

    check_preload(options, command=COMMAND)
    if len(options.physical) > 1:
        raise UsageError("a machine has one physical disk: give one --disk", where=COMMAND)
    if "://" in options.disk and not Path(options.disk).exists():
        raise UsageError("the live disk of a machine is a file or a block device, and DISK is a URI", where=COMMAND)
    password = read_password(options.password_file)
    with closing(open_disk(options.disk, options)) as disk:
        plain_file(disk, options)
        inspection = inspect_disk(disk, InspectionRequest(password=password), look=look)
        if options.kernel is None:
            check_live(inspection, machine=True)
        if options.dry_run:
            show_result(options, lambda: inspection_json(inspection), lambda: render_inspection(inspection))
            return 0
        preload = chosen_preload(options, disk, password)
    setup = MachineSetup(
        preload=preload,
        memory_bytes=options.memory,
        disk_delay_seconds=None if options.no_disk else options.disk_delay,
        appears=Path(options.physical[0]) if options.physical else None,
        interface=interface(options),
        settings=Settings(classic=options.classic, deadline=options.deadline),
        password=password,
        kernel=options.kernel,
        initrd=options.initrd,
        display=display(options),
        command_line=options.append,
    )
    with ExitStack() as stack:
        machine = LiveMachine(Path(options.disk), setup, **machine_arguments(options, stack))
        result = machine.boot(**boot_arguments(options))
    mode = "classic" if options.classic else "live"
    show_result(
        options,
        lambda: machine_json(options.disk, result, mode=mode, preload=preload.kind.value),
        lambda: render_machine(options.disk, result),
        result.failure,
    )
    return 0


def check_live(inspection: Inspection, *, machine: bool) -> None:
    """Raise BootError when the disk does not boot, and Error when a `machine` of ours cannot boot it.

    A system of Redox is started by its own boot loader.
    """
    from bootpath.boot.inspection.values import LiveInspection
    from bootpath.core.errors import BootError, Error

    assert isinstance(inspection, LiveInspection)
    if inspection.problems:
        raise BootError(f"it does not boot: {inspection.problems[0]}", where=inspection.name)
    if machine and inspection.file_system is not None and not inspection.file_system.linux:
        raise Error(
            "the kernel is Redox's, which Redox's own boot loader starts",
            where=inspection.name,
            hint="bootpath boot --firmware uefi or bios; bootpath simulate shows the path without a machine; "
            "--kernel and --initrd start a Linux",
        )
