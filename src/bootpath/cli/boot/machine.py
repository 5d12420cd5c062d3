"""``bootpath boot --vm``: the options of a machine, and the boot in it. Light: every command imports it."""

from __future__ import annotations

import argparse
import re
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from bootpath.cli.arguments import duration, size
from bootpath.cli.boot.firmware import add_firmware_options, firmware_contradiction
from bootpath.cli.boot.running import boot_arguments, display, interface, machine_arguments, told

if TYPE_CHECKING:
    from bootpath.boot.redox.preload import PreloadChoice

DEFAULT_MEMORY = "512MiB"
_MIB = 1 << 20
_TOGETHER = "--kernel and --initrd go together"


def expression(text: str) -> str:
    """A regular expression."""
    try:
        re.compile(text)
    except re.error as fault:
        raise argparse.ArgumentTypeError(f"{text!r} is not a regular expression: {fault}") from None
    return text


def memory(text: str) -> int:
    """The memory of a machine, which has whole MiB."""
    found = size(text)
    if found < _MIB or found % _MIB:
        raise argparse.ArgumentTypeError(f"{text!r} is not the memory of a machine: write whole MiB, 1MiB or more")
    return found


def add_machine_options(parser: argparse.ArgumentParser) -> None:
    """``--vm`` and what goes with it."""
    group = parser.add_argument_group("machine")
    group.add_argument(
        "--vm", action="store_true", help="boot it for real: a Linux in QEMU, from the kernel and initfs of the root"
    )
    group.add_argument(
        "--memory",
        type=memory,
        default=memory(DEFAULT_MEMORY),
        metavar="N",
        help=f"memory of the system, beside the preload (default: {DEFAULT_MEMORY})",
    )
    add_firmware_options(group)
    group.add_argument("--kernel", metavar="F", type=Path, help="Linux to start instead of usr/lib/boot/kernel")
    group.add_argument("--initrd", metavar="F", type=Path, help="initramfs instead of usr/lib/boot/initfs")
    group.add_argument("--append", metavar="WORDS", default="", help="more words for Linux's command line")
    group.add_argument("--ahci", action="store_true", help="the physical disk is a SATA disk (default: virtio)")
    group.add_argument(
        "--until", type=expression, metavar="RE", help="what the console says in the end (default: login: at its end)"
    )
    group.add_argument(
        "--timeout", type=duration, default=300.0, metavar="S", help="how long that may take (default: 300)"
    )
    group.add_argument("--screenshot", metavar="F", type=Path, help="write the screen at the end to this PNG")
    group.add_argument("--display", action="store_true", help="a graphics card (implied by --screenshot)")
    group.add_argument(
        "--serial", action="store_true", help="show the console on stderr; at the end it is yours, Ctrl-] leaves"
    )


def contradiction(options: argparse.Namespace) -> str | None:
    """What is contradictory about the options of a machine, or None."""
    if not options.vm and not options.dry_run:
        for name in ("firmware", "kernel", "initrd", "until", "screenshot", "append", "ahci", "display", "serial"):
            if getattr(options, name):
                return f"--{name} goes with --vm"
        return None
    for name, text in (
        ("from_disk", "--from-disk"),
        ("touch", "--touch"),
        ("fault", "--fault"),
        ("mount", "--mount"),
        ("show_env", "--show-env"),
        ("processes", "--processes"),
    ):
        if getattr(options, name):
            return f"{text} does not go with --vm"
    if options.screenshot is not None and not options.screenshot.absolute().parent.is_dir():
        return f"--screenshot {options.screenshot}: there is no such directory"
    if options.firmware:
        return firmware_contradiction(options)
    if options.record:
        return "--record goes with --vm only for a boot by --firmware"
    if options.kernel is not None and options.initrd is None:
        return _TOGETHER
    if options.others and len(options.others) > 1:
        return "a machine has one --disk"
    if options.ahci and (options.disk_delay or options.others):
        return "--ahci disks cannot be plugged in: no --disk-delay and no --disk"
    return None


def live_contradiction(options: argparse.Namespace) -> str | None:
    """What is contradictory about the options when the disk has a RedoxFS, or None."""
    return _TOGETHER if (options.kernel is None) != (options.initrd is None) else None


def run_machine(options: argparse.Namespace, preload: PreloadChoice, password: bytes | None) -> int:
    """Boot, and say what happened; raises what failed."""
    from bootpath.boot.protocol.settings import Settings
    from bootpath.boot.redox.machine import LiveMachine, MachineSetup
    from bootpath.report.machine import machine_json, render_machine

    setup = MachineSetup(
        preload=preload,
        memory_bytes=options.memory,
        disk_delay_seconds=None if options.no_disk else options.disk_delay,
        appears=Path(options.others[0]) if options.others else None,
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
    return told(
        options,
        result,
        lambda: machine_json(options.disk, result, mode=mode, preload=preload.kind.value),
        lambda: render_machine(options.disk, result),
    )
