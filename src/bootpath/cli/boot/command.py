"""``bootpath boot``: simulate a boot, from the loader to a mounted root, or do it in a machine."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bootpath.cli.arguments import add_disk, add_json, add_password, duration, preload, read_password
from bootpath.cli.boot.firmware import run_firmware
from bootpath.cli.boot.linux import (
    add_linux_options,
    firmware_or_live_contradiction,
    is_linux,
    linux_contradiction,
    run_linux,
)
from bootpath.cli.boot.machine import add_machine_options, contradiction, live_contradiction, run_machine

if TYPE_CHECKING:
    from bootpath.boot.redox.preload import PreloadChoice
    from bootpath.boot.redox.simulation import Simulation, StartLive
    from bootpath.core.device import Device

HELP = "simulate a boot: loader, live disk, late physical disk, mounted root; with --vm in a machine"
CLASSIC_PRELOAD_BYTES = 1 << 30
EPILOG = """\
The image is never written to: what the system writes is kept in RAM.

examples:
  bootpath boot disk.img                                   plan preload, disk there at once
  bootpath boot disk.img --disk-delay 2s                   the physical disk's driver takes two seconds
  bootpath boot disk.img --no-disk                         it never comes: only what is preloaded can be read
  bootpath boot disk.img --classic --preload 1024MiB       the old daemon, which knows only the preload
  bootpath boot disk.img --preload full                    everything in RAM first
  bootpath boot disk.img --mount /mnt                      leave the root mounted until interrupted
  bootpath boot disk.img --fault read:error:after=3        the physical disk fails its fourth read and all after it
  bootpath boot disk.img --processes                       lived and the disk's driver as processes, over sockets
  bootpath boot live.img --vm --disk-delay 20              a Linux in QEMU, its disk plugged in late, to the login
  bootpath boot live.img --vm --serial                     the same, with its console, on which one can log in
  bootpath boot redox.iso --vm --firmware uefi --record trace.json
  bootpath boot os.img --dry-run --certificate os.crt      an image-based Linux: every decision, and what would run
  bootpath boot os.img --vm --certificate os.crt           boot it: kernel and initrd come through dm-verity

exit codes: 0 it boots, 1 failed (no such file, wrong password), 2 usage, 3 it does not boot, or must not;
of an image-based Linux 0 when all that runs is verified, 4 when it is not, and the policy allows that
"""


def configure(commands: Any, name: str) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        name, help=HELP, description=HELP, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_disk(parser)
    group = parser.add_argument_group("preload")
    group.add_argument(
        "--preload",
        type=preload,
        metavar="SIZE|full|plan",
        help="what goes to RAM first: a prefix, everything, or a plan (default: plan; with --classic 1024MiB)",
    )
    group.add_argument(
        "--plan", metavar="F", type=Path, help="use this plan (default: make one before the clock starts)"
    )
    group = parser.add_argument_group("path")
    modes = group.add_mutually_exclusive_group()
    modes.add_argument("--classic", action="store_true", help="the old daemon and the old sizes, for comparison")
    modes.add_argument("--from-disk", action="store_true", help="no live disk: mount the physical disk itself")
    group.add_argument(
        "--processes", action="store_true", help="run lived and the disk's driver as processes that talk over sockets"
    )
    group.add_argument(
        "--touch", metavar="PATH", nargs="+", action="extend", default=[], help="read these paths as well"
    )
    group = parser.add_argument_group("physical disk")
    group.add_argument(
        "--disk-delay", type=duration, default=0.0, metavar="S", help="seconds until it appears (default: 0)"
    )
    group.add_argument(
        "--deadline", type=duration, default=30.0, metavar="S", help="how long a read waits for it (default: 30)"
    )
    group.add_argument("--no-disk", action="store_true", help="it never appears")
    group.add_argument(
        "--disk", dest="others", metavar="F", action="append", help="what appears instead of DISK; repeatable"
    )
    group.add_argument(
        "--fault", metavar="RULE", action="append", help="make it fail, for example read:error:errno=EIO:after=3"
    )
    add_machine_options(parser)
    add_linux_options(parser)
    group = parser.add_argument_group("output")
    group.add_argument("--show-env", action="store_true", help="print the environment that the loader hands over")
    group.add_argument(
        "--record", metavar="F", type=Path, help="write the trace of the boot, for bootpath plan --recorded"
    )
    group.add_argument(
        "--mount", metavar="DIR", type=Path, help="leave the root mounted there (FUSE) until interrupted"
    )
    add_password(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def _choose_preload(options: argparse.Namespace, disk: Device, password: bytes | None) -> PreloadChoice:
    from bootpath.boot.redox.planning import plan_boot
    from bootpath.boot.redox.preload import PreloadChoice, PreloadKind
    from bootpath.formats.plan import parse_plan

    if options.plan is not None:
        return PreloadChoice(PreloadKind.PLAN, plan=parse_plan(options.plan.read_bytes()))
    wanted = options.preload
    if wanted is None:
        wanted = CLASSIC_PRELOAD_BYTES if options.classic else "plan"
    if wanted == "full":
        return PreloadChoice(PreloadKind.FULL)
    if wanted == "plan":
        return PreloadChoice(PreloadKind.PLAN, plan=plan_boot(disk, password=password).plan)
    return PreloadChoice(PreloadKind.PREFIX, prefix_bytes=wanted)


def _physical_disks(options: argparse.Namespace, disk: Device, stack: ExitStack) -> list[Device]:
    from bootpath.block.leaves.file import FileDevice
    from bootpath.block.targets.fault import Fault, parse_rules

    if options.no_disk:
        return []
    disks: list[Device] = [disk]
    if options.others:
        disks = [stack.enter_context(closing(FileDevice.open(path))) for path in options.others]
    if options.fault:
        rules = parse_rules(",".join(options.fault))
        disks = [Fault(lower, rules) for lower in disks]
    return disks


def _usage(options: argparse.Namespace) -> str | None:
    """What is contradictory about the options, or None."""
    if options.plan is not None and options.preload not in (None, "plan"):
        return "--plan goes with --preload plan only"
    if options.classic and (options.plan is not None or options.preload == "plan"):
        return "--classic knows only prefixes: give --preload SIZE or full"
    if options.no_disk and (options.others or options.fault or options.from_disk):
        return "--no-disk contradicts --disk, --fault and --from-disk"
    if options.processes and (options.classic or options.from_disk):
        return "--processes are those of a live boot: drop --classic and --from-disk"
    if options.processes and len(options.others or ()) > 1:
        return "--processes start one driver: give one --disk"
    return contradiction(options)


def run(options: argparse.Namespace) -> int:
    """Simulate, or boot in a machine; 3 when it does not boot."""
    import time

    from bootpath.block.leaves.open import open_device
    from bootpath.boot.redox.simulation import SimulationMode, SimulationSetup, simulate
    from bootpath.cli.console import note

    wrong = _usage(options)
    if wrong is None and options.firmware is not None:
        wrong = firmware_or_live_contradiction(options)
        if wrong is None:
            open_device(options.disk).close()  # what is no disk is told before a machine is made
            return run_firmware(options)
    if wrong is None:
        with closing(open_device(options.disk)) as looked_at:
            linux = is_linux(options, looked_at)
        wrong = linux_contradiction(options) if linux else live_contradiction(options)
        if wrong is None and not linux and (options.vm or options.processes) and not Path(options.disk).exists():
            wrong = "a live disk in a machine, or with --processes, is a file or a block device"
        if wrong is None and linux:
            return run_linux(options)
    if wrong is not None:
        note(f"bootpath: boot: {wrong}")
        return 2
    password = read_password(options.password_file)
    mode = (
        SimulationMode.CLASSIC
        if options.classic
        else SimulationMode.FROM_DISK
        if options.from_disk
        else SimulationMode.LIVE
    )
    with ExitStack() as stack:
        disk = stack.enter_context(closing(open_device(options.disk)))
        preload = None if mode is SimulationMode.FROM_DISK else _choose_preload(options, disk, password)
        if options.vm:
            assert preload is not None
            return run_machine(options, preload, password)
        setup = SimulationSetup(
            preload=preload,
            disks=_physical_disks(options, disk, stack),
            mode=mode,
            disk_delay_seconds=options.disk_delay,
            deadline_seconds=options.deadline,
            password=password,
            touches=tuple(options.touch),
        )
        start_live = _processes(options, stack) if options.processes else None
        simulation = simulate(disk, setup, clock=time.monotonic, pause=time.sleep, start_live=start_live)
        code = _finish(options, simulation, mode.value, None if preload is None else preload.kind.value)
        if options.mount is not None:
            _leave_mounted(simulation, options.mount, password)
        return code


def _processes(options: argparse.Namespace, stack: ExitStack) -> StartLive:
    """The live disk of --processes; they end with `stack`."""
    from bootpath.boot.redox.processes import DaemonPrograms, LivePath

    python = (sys.executable, "-P")
    programs = DaemonPrograms(
        lived=(*python, "-c", "import sys; from bootpath.cli.lived import main; sys.exit(main())"),
        driver=(*python, "-m", "bootpath", "serve"),
    )
    disk = None if options.no_disk else Path((options.others or [options.disk])[0])
    return stack.enter_context(LivePath(programs, disk, rules=",".join(options.fault or ()))).start


def _finish(options: argparse.Namespace, simulation: Simulation, mode: str, preload: str | None) -> int:
    """Print what happened, write the trace, mount; the exit code."""
    from bootpath.cli.console import emit, emit_json
    from bootpath.formats.trace import pack_trace
    from bootpath.image.output import atomic_output
    from bootpath.report.asjson import simulation_json
    from bootpath.report.text import render_simulation

    if options.record is not None and simulation.trace is not None:
        with atomic_output(options.record) as temporary:
            temporary.write_bytes(pack_trace(simulation.trace))
    if options.json:
        emit_json(simulation_json(options.disk, simulation, mode=mode, preload=preload))
    else:
        emit(render_simulation(options.disk, simulation))
        if options.show_env and simulation.handover is not None:
            emit(simulation.handover.environment.decode().rstrip())
    if simulation.failure is not None:
        raise simulation.failure
    return 0


def _leave_mounted(simulation: Simulation, mountpoint: Path, password: bytes | None) -> None:
    from bootpath.cli.console import note
    from bootpath.fs.redox.mounting import Mount

    assert simulation.root_device is not None
    with Mount(simulation.root_device, mountpoint, password=password) as mount, mount.unmounted_by():
        note(f"the root is mounted at {mountpoint}; unmount it or press Ctrl-C to end")
        mount.wait()
