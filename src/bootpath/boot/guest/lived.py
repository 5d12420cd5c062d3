"""``10_lived`` in the guest: the live disk, served on a Unix socket before any disk driver is there.

The process holds the overlay with everything that was written, and mounts the root from it (see `rootfs`). What it
needs from files it has before the root takes their place. A thread listens to the kernel's news about disks: a
disk that appears is checked at once, whether or not a read waits for it, and the result is reported.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.live.disk import Classic
from bootpath.block.live.late import LateDisk
from bootpath.block.overlay.ram import Overlay
from bootpath.boot.guest.counters import DiskCounters
from bootpath.boot.guest.disks import News, SysBlock, Uevents
from bootpath.boot.guest.memory import PhysicalMemory
from bootpath.boot.guest.processes import LAST, Orders
from bootpath.boot.guest.reporter import ConsoleReporter
from bootpath.boot.guest.rootfs import mount_root
from bootpath.boot.protocol.settings import Settings
from bootpath.boot.redox.drivers import DRIVERS
from bootpath.boot.redox.lived import LIVE_NAME, LIVED, Finder, live_base, read_environment
from bootpath.core.device import Buffer, Checked, Identity, checked
from bootpath.core.errors import BootError, DeviceError
from bootpath.formats.handoff import Handoff
from bootpath.fs.redox.mounting import Mount
from bootpath.fs.redox.ring import scan_ring
from bootpath.serve.export import Export
from bootpath.serve.server.server import Server

SOCKET = Path("/run/bootpath/lived.sock")
OOM_SCORE = Path("/proc/self/oom_score_adj")
_NEVER_KILLED = "-1000"
MEMINFO = Path("/proc/meminfo")
_GRACE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class LivePlan:
    """What lived is started with: the handoff, its settings, its counters, and where it reports."""

    handoff: Handoff
    preload: memoryview
    password: bytes | None
    settings: Settings
    counters: DiskCounters
    report: ConsoleReporter


def plan_lived(
    environment: bytes, memory: PhysicalMemory, settings: Settings, counters: DiskCounters, report: ConsoleReporter
) -> LivePlan:
    """Read the handoff and find the preload. Raises FormatError, BootError."""
    handoff = read_environment(environment)
    assert handoff.live_addr is not None
    preload = memory.at(handoff.live_addr, handoff.live_size_bytes or 0, "DISK_LIVE_ADDR")
    password = None
    if handoff.password_addr is not None:
        password = memory.read(handoff.password_addr, handoff.password_size_bytes or 0, "REDOXFS_PASSWORD")
    return LivePlan(handoff, preload, password, settings, counters, report)


class WatchedDisk(LateDisk):
    """A late disk that counts reads, and reports a read that begins to wait for the disk or fails."""

    def __init__(self, finder: Finder, plan: LivePlan) -> None:
        super().__init__(
            finder.find,
            accept=finder.judge,
            patient=True,
            deadline_seconds=plan.settings.deadline,
            name="physical disk",
        )
        self._counters = plan.counters
        self._report = plan.report

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        """See `LateDisk.read`."""
        waits = self.get_nowait() is None
        self._counters.add(reads=1, bytes_read=length, waits=int(waits))
        if waits:
            self._report(LIVED, "waits for the disk", f"{length} bytes at {offset}")
        try:
            return super().read(offset, length)
        except DeviceError as fault:
            self._counters.add(failures=1)
            self._report(LIVED, "read failed", f"{length} bytes at {offset}: {fault}")
            raise

    def read_resident(self, offset: int, length: int) -> Sequence[Buffer] | None:
        """See `LateDisk.read_resident`."""
        views = super().read_resident(offset, length)
        if views is not None:
            self._counters.add(reads=1, bytes_read=length)
        return views


class Watch:
    """Checks disks as they appear, and reports the result. `run` is for a thread of its own."""

    def __init__(self, disks: SysBlock, late: LateDisk, report: ConsoleReporter) -> None:
        self._disks = disks
        self._late = late
        self._report = report

    def start(self) -> None:
        """Listen from now on, and look at what is there already."""
        threading.Thread(target=self._run, args=(Uevents(),), name="disk news", daemon=True).start()

    def _run(self, uevents: Uevents) -> None:
        for name in self._disks.names():
            self.hear(News("add", name))
        for news in uevents:
            self.hear(news)

    def hear(self, news: News) -> None:
        """Act on one piece of news."""
        if news.action == "remove":
            self._report(DRIVERS, "disk removed", news.name)
            disk = self._late.get_nowait()
            if disk is not None and news.name not in self._disks.names():
                self._late.failed(disk)
        elif news.action == "add":
            self._report(DRIVERS, "disk appeared", news.name)
            self._judge(news.name)

    def _judge(self, name: str) -> None:
        self._late.notify()
        disk = self._late.look()
        if disk is not None:
            self._report(DRIVERS, "disk accepted", disk.identity.name)
        elif self._late.refusal is not None:  # else a drive without a medium
            self._report(DRIVERS, "disk refused", f"{name}: {self._late.refusal}")


class Lived:
    """The process: what it does when it is ordered to. Making it starts serving. Raises BootError, FormatError."""

    def __init__(self, plan: LivePlan, *, socket: Path = SOCKET) -> None:
        self._plan = plan
        self._mount: Mount | None = None
        for number in (signal.SIGTERM, signal.SIGINT):  # it ends by order only
            signal.signal(number, signal.SIG_IGN)
        OOM_SCORE.write_text(_NEVER_KILLED)  # whoever else fills the memory: without lived there is no root
        self.device = _classic_disk(plan) if plan.settings.classic else _live_disk(plan)
        # The root belongs to the mount: whoever else looks at its disk may not write.
        exports = {
            name: Export(name, self.device, "the live disk", read_only=True, shared=True) for name in ("", LIVE_NAME)
        }
        self._server = Server(exports)
        socket.parent.mkdir(parents=True, exist_ok=True)
        self._server.listen_unix(socket)
        self._thread = threading.Thread(target=self._server.run, name="server")
        self._thread.start()

    @property
    def orders(self) -> Orders:
        """What init may order."""
        return {"mount": self.mount, "unmount": self.unmount, LAST: self.stop}

    def mount(self) -> None:
        """Mount the root. Raises BootError, FormatError, FileSystemError."""
        self._mount = mount_root(self.device, self._plan.password)

    def unmount(self) -> None:
        """Unmount it, and wait until it has gone. Raises FileSystemError."""
        if self._mount is not None:
            self._mount.unmount()
            self._mount = None

    def stop(self) -> None:
        """Stop serving."""
        self._server.stop(_GRACE_SECONDS)
        self._thread.join()
        self._plan.report(LIVED, "stopped", self._plan.counters.counts().detail())


def _live_disk(plan: LivePlan) -> Checked:
    disks = SysBlock()
    late = WatchedDisk(Finder(plan.handoff, plan.preload, disks), plan)
    base = live_base(plan.handoff, plan.preload, late)
    overlay_bytes = plan.settings.overlay or available_bytes() // 2
    # Whether what is written was there before is not asked of a disk that may not have come.
    overlay = Overlay(base, max_bytes=overlay_bytes, drop_matching=False)
    Watch(disks, late, plan.report).start()
    plan.report(LIVED, "started", f"size={base.size_bytes} preload={len(plan.preload)} overlay={overlay_bytes}")
    return checked(overlay)


def _classic_disk(plan: LivePlan) -> Checked:
    """The old daemon. It shows the file system's size, which the preload's own header tells; see `Classic`."""
    newest = scan_ring(MemoryDevice(plan.preload, read_only=True), 0).newest
    if newest is None:
        raise BootError("the preload does not begin with a RedoxFS", where=LIVED)
    plan.report(LIVED, "started", f"classic, preload={len(plan.preload)}")
    return checked(Classic(plan.preload, shown_bytes=newest.size_bytes, identity=Identity(LIVE_NAME)))


def available_bytes(meminfo: Path = MEMINFO) -> int:
    """Memory that programs may still take, by MemAvailable (proc(5)). Raises BootError when it does not say."""
    for line in meminfo.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    raise BootError("the file does not say how much memory is available", where=str(meminfo))
