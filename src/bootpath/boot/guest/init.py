"""The initramfs' init: units in order, then the system, then everything back in the opposite order.

::

    10_lived            memory's drivers, the handoff, the live disk on its socket
    40_drivers.target   the disks' drivers: a physical disk may come now, later, or never
    50_rootfs           the root, mounted from the live disk; reads it asks for wait there
    system              the root's own init; ends when the system powers off
    50_rootfs, 10_lived unmounted, stopped

It stays PID 1 of the machine and never leaves the initramfs. Everything is imported before the first unit, and lived is
a fork of it, so that nothing depends on a file that the root hides.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path, PurePosixPath

from bootpath.boot.guest import syscalls
from bootpath.boot.guest.counters import DiskCounters
from bootpath.boot.guest.lived import Lived, plan_lived
from bootpath.boot.guest.memory import PhysicalMemory, find_regions
from bootpath.boot.guest.processes import LAST, Worker
from bootpath.boot.guest.reporter import ConsoleReporter
from bootpath.boot.guest.rootfs import ROOT
from bootpath.boot.guest.syscalls import Ending
from bootpath.boot.guest.system import CONSOLE, check_init, ending, keep_system
from bootpath.boot.protocol.settings import Settings, environment_block, parse_settings
from bootpath.boot.redox.drivers import DRIVERS
from bootpath.boot.redox.lived import LIVED
from bootpath.boot.redox.rootfs import ROOTFS
from bootpath.core.errors import BootError, Error

INIT = "init"
SYSTEM = "system"
DRIVERS_TARGET = f"{DRIVERS}.target"
MODULES_LIST = Path("/etc/bootpath/modules")
COMMAND_LINE = Path("/proc/cmdline")
EARLY_MODULES = frozenset({"nd_pmem", "nd_e820", "nd_btt", "libnvdimm", "fuse", "nbd", "loop"})
"""What lived and the root need; all other modules belong to disks, and come with 40_drivers."""
SHELL = "/bin/sh"


class Boot:
    """One boot, from the first unit to the way back. `unit` is where it is, and where it failed."""

    def __init__(self, settings: Settings, report: ConsoleReporter) -> None:
        self.settings = settings
        self.report = report
        self.counters = DiskCounters()
        self.unit = LIVED
        self._lived: Worker | None = None
        self._mounted = False

    def run(self) -> Ending:
        """Every unit in order, then the system; what it asked for in the end. Raises Error, OSError."""
        load_modules(early=True)
        memory = PhysicalMemory(find_regions())
        block = environment_block(os.environ, memory.read)
        plan = plan_lived(block, memory, self.settings, self.counters, self.report)
        self._lived = lived = Worker("lived", lambda: Lived(plan).orders)

        self.unit = DRIVERS_TARGET
        load_modules(early=False)
        self.report(DRIVERS_TARGET, "reached")

        self.unit = ROOTFS
        self.report(ROOTFS, "mounting")
        lived.order("mount")
        self._mounted = True
        self.report(ROOTFS, "mounted", self.counters.counts().detail())

        self.unit = SYSTEM
        check_init(ROOT, self.settings.init)
        self.report(SYSTEM, "started", self.settings.init)
        return self._system(lived)

    def _system(self, lived: Worker) -> Ending:
        """Run the root's init; what it asked for in the end."""
        keeper = os.fork()
        if keeper == 0:
            keep_system(ROOT, self.settings.init)
        signal.signal(signal.SIGINT, lambda *_: os.kill(keeper, signal.SIGINT))
        syscalls.hand_over_ctrl_alt_del()
        while True:
            pid, status = os.wait()
            if pid == lived.pid:
                self._lived = None
                raise BootError("lived has died, and the root with it", found=f"status {_code(status)}")
            if pid == keeper:
                asked = ending(status)
                if asked is None:
                    found = f"exit code {_code(status)}"
                    raise BootError("the system's init ended without powering off", found=found)
                self.report(SYSTEM, "ended", _as_text(asked))
                return asked

    def close(self) -> None:
        """Unmount the root, then stop lived. Raises BootError."""
        if self._lived is not None:
            if self._mounted:
                self.unit = ROOTFS
                self._lived.order("unmount")
                self.report(ROOTFS, "unmounted")
            self.unit = LIVED
            self._lived.order(LAST)


def _code(status: int) -> int:
    return os.waitstatus_to_exitcode(status)


def _as_text(asked: Ending) -> str:
    return asked.name.lower().replace("_", " ")


def load_modules(*, early: bool, listed: Path = MODULES_LIST) -> None:
    """Load the modules of the list that belong to this stage, in its order. Raises OSError."""
    for line in listed.read_text().splitlines():
        name = PurePosixPath(line).name.partition(".")[0].replace("-", "_")
        if (name in EARLY_MODULES) == early:
            syscalls.load_module(line)


def main() -> int:
    """Boot. Comes back only when even ending the machine failed."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    console = os.open(CONSOLE, os.O_WRONLY | os.O_CLOEXEC | os.O_NOCTTY)
    report = ConsoleReporter(console, time.monotonic)
    report(INIT, "started")
    settings = Settings()
    boot = Boot(settings, report)
    last = Ending.POWER_OFF
    try:
        boot.settings = settings = parse_settings(COMMAND_LINE.read_text())
        last = boot.run()
        boot.close()
    except (Error, OSError) as fault:
        report(boot.unit, "failed", str(fault).removeprefix(f"{boot.unit}: "))
        if settings.shell:
            _shell(report)
        with contextlib.suppress(Error, OSError):
            boot.close()
    report(INIT, "ends the machine", _as_text(last))
    syscalls.end_machine(last)
    return 1


def _shell(report: ConsoleReporter) -> None:
    """A shell on the console, until it is left."""
    report(INIT, "shell", "leave it to power off")
    os.waitpid(os.posix_spawn(SHELL, [SHELL, "-i"], {"PATH": "/bin:/sbin:/usr/bin"}), 0)
