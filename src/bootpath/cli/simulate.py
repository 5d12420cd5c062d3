"""``bootpath simulate``: a live boot without a machine, from the loader to a mounted root."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bootpath.cli.arguments import add_disk, add_json, read_password
from bootpath.cli.boot.linux import explain_linux
from bootpath.cli.boot.live import check_live
from bootpath.cli.boot.options import (
    LINUX,
    SIMULATE,
    add_options,
    check_conflicts,
    check_mode,
    fill_defaults,
    given_options,
)
from bootpath.cli.boot.preload import check_preload, chosen_preload
from bootpath.cli.failures import UsageError

if TYPE_CHECKING:
    from bootpath.boot.redox.simulation import Simulation, SimulationSetup, StartLive
    from bootpath.core.device import Device
    from bootpath.fs.redox.mounting import Mount

HELP = "simulate a live boot: loader, live disk, late physical disk, mounted root"
EPILOG = """\
The disk is never written to: what the system writes is kept in RAM. Of an image-based Linux, of which nothing is live,
this shows what bootpath boot --dry-run does: every decision, and what would run.

examples:
  bootpath simulate disk.img                               preload a plan, the physical disk there at once
  bootpath simulate disk.img --disk-delay 2s               the physical disk's driver takes two seconds
  bootpath simulate disk.img --no-disk                     it never comes: only what is preloaded can be read
  bootpath simulate disk.img --classic --preload 1024MiB   the old daemon, which knows only the preload
  bootpath simulate disk.img --preload full                everything in RAM first
  bootpath simulate disk.img --mount /mnt                  leave the root mounted until interrupted
  bootpath simulate disk.img --fault read:error:after=3    the physical disk fails its fourth read and all after it
  bootpath simulate disk.img --processes                   lived and the disk's driver as processes, over sockets

exit codes: 0 it boots, 1 failed (no such file, wrong password), 2 usage, 3 it does not boot;
of an image-based Linux 0 when all that runs is verified, 4 when it is not, and the policy allows that
"""
COMMAND = "bootpath simulate"


def configure(commands: Any, name: str) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        name, help=HELP, description=HELP, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_disk(parser)
    add_options(parser, frozenset({SIMULATE}))
    add_json(parser)
    parser.set_defaults(run=run)


def check(options: argparse.Namespace) -> None:
    """Refuse what does not go together, then give the rest their defaults. Raises UsageError."""
    given = given_options(options)
    check_mode(given, SIMULATE, "a simulation starts no machine: bootpath boot does", command=COMMAND)
    check_conflicts(given, command=COMMAND)
    fill_defaults(options)
    check_preload(options, command=COMMAND)
    if options.processes:
        if len(options.physical) > 1:
            raise UsageError("--processes start one driver: give one --disk", where=COMMAND)
        if not Path(options.disk).exists() and "://" in options.disk:
            raise UsageError("--processes serve a file or a block device, and DISK is a URI", where=COMMAND)


def run(options: argparse.Namespace) -> int:
    """Simulate; 3 when it does not boot."""
    import time

    from bootpath.boot.inspection.inspect import inspect_disk
    from bootpath.boot.inspection.values import InspectionRequest
    from bootpath.boot.look import look_at
    from bootpath.boot.redox.simulation import simulate
    from bootpath.cli.disks import open_disk

    given = given_options(options)
    check(options)
    password = read_password(options.password_file)
    with ExitStack() as stack:
        disk = stack.enter_context(closing(open_disk(options.disk, options)))
        look = look_at(disk)
        if not look.live:
            check_mode(given, LINUX, f"{options.disk}: {look.judged.why}", command=COMMAND)
            return explain_linux(options, look)
        check_live(inspect_disk(disk, InspectionRequest(password=password), look=look), machine=False)
        setup = _setup(options, disk, password, stack)
        start_live = _processes(options, stack) if options.processes else None
        simulation = simulate(disk, setup, clock=time.monotonic, pause=time.sleep, start_live=start_live)
        # First mounted, then shown: with --json there is one object, the result or why there is no mount.
        mount = None if options.mount is None else _mount(simulation, options.mount, password, stack)
        _show(options, simulation, setup)
        if mount is not None:
            _wait(mount)
    return 0


def _setup(options: argparse.Namespace, disk: Device, password: bytes | None, stack: ExitStack) -> SimulationSetup:
    from bootpath.boot.redox.simulation import SimulationMode, SimulationSetup

    modes = {"classic": options.classic, "from-disk": options.from_disk}
    mode = SimulationMode(next((name for name, asked in modes.items() if asked), "live"))
    return SimulationSetup(
        preload=None if mode is SimulationMode.FROM_DISK else chosen_preload(options, disk, password),
        disks=_physical_disks(options, disk, stack),
        mode=mode,
        disk_delay_seconds=options.disk_delay,
        deadline_seconds=options.deadline,
        password=password,
        touches=tuple(options.touch),
    )


def _physical_disks(options: argparse.Namespace, disk: Device, stack: ExitStack) -> list[Device]:
    from bootpath.block.targets.fault import Fault, parse_rules
    from bootpath.cli.disks import open_disk

    if options.no_disk:
        return []
    disks: list[Device] = [disk]
    if options.physical:
        disks = [stack.enter_context(closing(open_disk(path, options))) for path in options.physical]
    if options.fault:
        rules = parse_rules(",".join(options.fault))
        disks = [Fault(lower, rules) for lower in disks]
    return disks


def _processes(options: argparse.Namespace, stack: ExitStack) -> StartLive:
    """The live disk of --processes; they end with `stack`."""
    from bootpath.boot.redox.processes import DaemonPrograms, LivePath

    python = (sys.executable, "-P")
    programs = DaemonPrograms(
        lived=(*python, "-c", "import sys; from bootpath.cli.lived import main; sys.exit(main())"),
        driver=(*python, "-m", "bootpath", "serve", *_image_words(options)),
    )
    disk = None if options.no_disk else Path((*options.physical, options.disk)[0])
    return stack.enter_context(LivePath(programs, disk, rules=",".join(options.fault))).start


def _image_words(options: argparse.Namespace) -> list[str]:
    given = {"--raw": options.raw, "--allow-backing-file": options.allow_backing_file}
    return [flag for flag, is_given in given.items() if is_given]


def _show(options: argparse.Namespace, simulation: Simulation, setup: SimulationSetup) -> None:
    """Write the trace and print what happened. Raises Reported for a boot that failed."""
    from bootpath.cli.console import show_result
    from bootpath.formats.trace import pack_trace
    from bootpath.image.output import atomic_output
    from bootpath.report.asjson import simulation_json
    from bootpath.report.text import render_simulation

    if options.record is not None and simulation.trace is not None:
        with atomic_output(options.record) as temporary:
            temporary.write_bytes(pack_trace(simulation.trace))

    preload = None if setup.preload is None else setup.preload.kind.value
    show_result(
        options,
        lambda: simulation_json(options.disk, simulation, mode=setup.mode.value, preload=preload),
        lambda: render_simulation(options.disk, simulation, environment=options.show_env),
        simulation.failure,
    )


def _mount(simulation: Simulation, mountpoint: Path, password: bytes | None, stack: ExitStack) -> Mount | None:
    """The root of a boot that mounted it, mounted until `stack` unwinds. Raises FileSystemError."""
    from bootpath.fs.redox.mounting import Mount

    if simulation.failure is not None or simulation.root_device is None:
        return None
    return stack.enter_context(Mount(simulation.root_device, mountpoint, password=password))


def _wait(mount: Mount) -> None:
    from bootpath.cli.console import note

    with mount.unmounted_by():
        note(f"the root is mounted at {mount.mountpoint}; unmount it or press Ctrl-C to end")
        mount.wait()
