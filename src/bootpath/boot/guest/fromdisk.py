"""Another init of an initramfs: the root straight from the physical disk, with no live disk and no loader of ours.

For images that bring their own boot loader: nothing is handed over, so the root is the one RedoxFS of the first disk
that has any. What the system writes goes to that disk. Otherwise it is as in `init`::

    40_drivers.target   the disks' drivers; then wait for a disk with a RedoxFS
    50_rootfs           the root, mounted from it by this process
    system              the root's own init, whose keeper was forked before the mount's threads came
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path

from bootpath.block.leaves.file import FileDevice
from bootpath.boot.guest import syscalls
from bootpath.boot.guest.disks import News, SysBlock, Uevents
from bootpath.boot.guest.init import COMMAND_LINE, load_modules
from bootpath.boot.guest.memory import DEVICES
from bootpath.boot.guest.reporter import ConsoleReporter
from bootpath.boot.guest.syscalls import Ending
from bootpath.boot.guest.system import CONSOLE, check_init, ending, keep_system
from bootpath.boot.protocol.settings import Settings, parse_settings
from bootpath.boot.redox.drivers import DRIVERS
from bootpath.boot.redox.rootfs import ROOTFS
from bootpath.core.device import checked
from bootpath.core.errors import BootError, DeviceError, Error
from bootpath.fs.redox.mounting import Mount
from bootpath.image.redox.discovery import choose_place, find_redoxfs, place_device

INIT, SYSTEM = "init", "system"
ROOT = Path("/sysroot")


def find_root(names: Callable[[], Iterable[str]], news: Iterable[News], devices: Path = DEVICES) -> Path:
    """The first disk with a RedoxFS; waits for `news` until there is one.

    Raises FormatError when the one that is there cannot be mounted, and BootError when the news end.
    """
    arrivals = iter(news)
    while True:
        for name in names():
            path = devices / name
            with contextlib.suppress(DeviceError), closing(FileDevice.open(path)) as disk:
                discovery = find_redoxfs(disk)
                if discovery.places:
                    choose_place(discovery, where=str(path))
                    return path
        if next(arrivals, None) is None:
            raise BootError("no disk with a RedoxFS has appeared", where=DRIVERS)


def _fork_keeper(root: Path, init: str) -> tuple[int, int]:
    """The keeper's pid, and where to write a byte when the root is there."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        os.close(writing)
        if os.read(reading, 1):
            keep_system(root, init)
        os._exit(1)
    os.close(reading)
    return pid, writing


def boot_from_disk(settings: Settings, report: ConsoleReporter) -> Ending:
    """Mount the root and run its init until that ends the machine. Raises Error, OSError."""
    news = Uevents()  # before the drivers: nothing that appears is missed
    keeper, ready = _fork_keeper(ROOT, settings.init)
    load_modules(early=True)
    load_modules(early=False)
    path = find_root(SysBlock().names, news)
    report(f"{DRIVERS}.target", "reached", str(path))
    ROOT.mkdir(exist_ok=True)
    report(ROOTFS, "mounting", str(path))
    with closing(FileDevice.open(path, writable=True)) as disk:
        discovery = find_redoxfs(disk)
        place = choose_place(discovery, where=str(path))
        with Mount(checked(place_device(disk, discovery, place)), ROOT):
            report(ROOTFS, "mounted")
            check_init(ROOT, settings.init)
            report(SYSTEM, "started", settings.init)
            os.write(ready, b"r")
            asked = _wait_for(keeper)
            report(SYSTEM, "ended", asked.name.lower().replace("_", " "))
        report(ROOTFS, "unmounted")
    return asked


def _wait_for(keeper: int) -> Ending:
    """Wait for the system's end. Other children are orphans of the system's, and are only collected."""
    while True:
        pid, status = os.wait()
        if pid == keeper:
            asked = ending(status)
            if asked is None:
                found = f"exit code {os.waitstatus_to_exitcode(status)}"
                raise BootError("the system's init ended without powering off", where=SYSTEM, found=found)
            return asked


def main() -> int:
    """Boot. Comes back only when even ending the machine failed."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    report = ConsoleReporter(os.open(CONSOLE, os.O_WRONLY | os.O_CLOEXEC | os.O_NOCTTY), time.monotonic)
    report(INIT, "started", "from disk")
    last = Ending.POWER_OFF
    try:
        last = boot_from_disk(parse_settings(COMMAND_LINE.read_text()), report)
    except (Error, OSError) as fault:
        report(INIT, "failed", str(fault))
    report(INIT, "ends the machine", last.name.lower().replace("_", " "))
    syscalls.end_machine(last)
    return 1
