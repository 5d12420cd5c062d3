"""The live path of a simulation as real processes that talk over sockets, as on a machine::

    10_lived     lived --env - --preload-memory (sealed memory) --disk nbd+unix:///?socket=RUN/driver
    40_drivers   bootpath serve DISK --read-only --socket RUN/driver, started when lived serves, after the disk's delay
    50_rootfs    this process: RedoxFS over an NBD connection to lived

`LivePath.start` is a `StartLive` for `simulate`. The preload is handed over in a memfd that is sealed, so lived maps it
instead of copying it, and nobody keeps a second one: what the loader had is let go. The processes end with the
LivePath, and with this process however it ends; their sockets lie in a private directory, which only a kill -9 leaves.

The driver may be killed, started again, or paused while the root is in use: `stop_driver`, `start_driver`, `driver`.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bootpath.block.leaves.nbdclient import open_nbd
from bootpath.boot.machine.daemons import Daemon
from bootpath.boot.redox.drivers import DRIVERS
from bootpath.boot.redox.lived import LIVE_NAME, LIVED
from bootpath.boot.redox.loader import Handover
from bootpath.boot.redox.simulation import Root, SimulationSetup
from bootpath.boot.timeline import Timeline
from bootpath.core.device import SECTOR_BYTES, Device, checked
from bootpath.core.errors import BootError, DeviceError, Error
from bootpath.formats.dm.table import Table, TableLine, pack_table
from bootpath.formats.handoff import parse_handoff
from bootpath.formats.nbd.uri import NbdUri, pack_nbd_uri

_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
_WRITE_BYTES = 64 << 20
_QUICK = ("--grace", "1")  # nobody waits for answers any more when they are stopped
# lived gives up on the disk at its deadline; that it says so must not be mistaken for its own silence.
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class DaemonPrograms:
    """The commands, without arguments: the daemon ``lived``, and ``bootpath serve`` as the disk's driver."""

    lived: tuple[str, ...]
    driver: tuple[str, ...]


class LivePath:
    """Runs the processes of one simulation. `disk` is what the driver serves (None: no driver starts, no disk comes).

    `rules` make it fail, in the grammar of `parse_rules`. Closed at the end of a ``with``, or by `close`.
    """

    def __init__(self, programs: DaemonPrograms, disk: Path | None, *, rules: str = "") -> None:
        self.lived: Daemon | None = None
        self.driver: Daemon | None = None
        self._programs = programs
        self._disk = disk
        self._rules = rules
        self._stack = ExitStack()
        self._run = Path(tempfile.mkdtemp(prefix="bootpath-"))
        self._stack.callback(shutil.rmtree, self._run, ignore_errors=True)
        self._stack.callback(self.stop_driver)
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._drivers = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    def start(self, setup: SimulationSetup, handover: Handover, timeline: Timeline) -> Root:
        """See `StartLive`. Raises BootError when lived does not come up, DeviceError when it cannot be reached."""
        with timeline.step(LIVED, "start") as step:
            device = self._start_lived(setup, handover)
            assert self.lived is not None
            step.detail = f"{LIVE_NAME} has its full size: {device.size_bytes} bytes; process {self.lived.pid}"
        if self._disk is None:
            timeline.note(DRIVERS, "start", "the physical disk's driver finds no disk")
        else:
            late = threading.Thread(
                target=self._start_late, args=(setup.disk_delay_seconds, timeline), name="late driver"
            )
            self._stack.callback(late.join)
            self._stack.callback(self._closing.set)
            timeline.note(DRIVERS, "start", f"the physical disk's driver, after {setup.disk_delay_seconds:g} s")
            late.start()
        return Root(checked(device), LIVE_NAME, lambda: _written_bytes(device))

    def start_driver(self) -> None:
        """Start the driver and wait until it serves; one that runs is stopped first. Raises BootError."""
        assert self._disk is not None
        with self._lock:
            self.stop_driver()
            self._drivers += 1
            socket = self._run / "driver"
            command = [*self._programs.driver, str(self._disk), "--read-only", "--socket", str(socket), *_QUICK]
            if self._rules:
                command += ["--table", str(self._faulty_table())]
            self.driver = Daemon(DRIVERS, command, self._run / f"driver-{self._drivers}.notify")
            self.driver.wait_ready()

    def stop_driver(self) -> None:
        """End the driver, if it runs."""
        with self._lock:
            if self.driver is not None:
                self.driver.close()
                self.driver = None

    def close(self) -> None:
        """End all processes."""
        self._stack.close()

    def _start_late(self, delay_seconds: float, timeline: Timeline) -> None:
        if self._closing.wait(delay_seconds):
            return
        with self._lock:
            if self._drivers:
                return  # somebody could not wait
            try:
                self.start_driver()
            except Error as fault:
                timeline.note(DRIVERS, "no driver", str(fault))
            else:
                timeline.note(DRIVERS, "serve", "the physical disk is there")

    def _start_lived(self, setup: SimulationSetup, handover: Handover) -> Device:
        environment = self._run / "environment"
        environment.write_bytes(handover.environment)
        socket = self._run / LIVE_NAME
        memory = _seal_preload(handover)
        try:
            command = [*self._programs.lived, "--env", "-", "--preload-memory", f"/proc/self/fd/{memory}"]
            command += ["--socket", str(socket), *_QUICK]
            command += ["--block-size", str(setup.block_bytes), "--deadline", f"{setup.deadline_seconds:g}"]
            if setup.overlay_bytes is not None:
                command += ["--overlay-size", str(setup.overlay_bytes)]
            command += ["--no-disk"] if self._disk is None else ["--disk", self._driver_uri()]
            self.lived = Daemon(LIVED, command, self._run / "lived.notify", stdin=environment, pass_fds=(memory,))
        finally:
            os.close(memory)
        self._stack.callback(self.lived.close)
        self.lived.wait_ready()
        device = open_nbd(
            NbdUri(LIVE_NAME, socket=str(socket)),
            writable=True,
            timeout_seconds=_PATIENCE_SECONDS + 4 * setup.deadline_seconds,
            sources=True,
        )
        self._stack.callback(device.close)
        return device

    def _driver_uri(self) -> str:
        return pack_nbd_uri(NbdUri("dm" if self._rules else "", socket=str(self._run / "driver")))

    def _faulty_table(self) -> Path:
        assert self._disk is not None
        sectors = self._disk.stat().st_size // SECTOR_BYTES
        table = self._run / "table"
        table.write_text(pack_table(Table((TableLine(0, sectors, "fault", (str(self._disk), self._rules)),))))
        return table


def _seal_preload(handover: Handover) -> int:
    """A descriptor of memory that holds the preload and cannot change; the loader's own copy is forgotten."""
    handoff = parse_handoff(handover.environment)
    if handoff.live_addr is None or handoff.live_size_bytes is None:
        raise BootError("the environment hands over no preload: this is not a live boot", where=LIVED)
    content = handover.memory.at(handoff.live_addr, handoff.live_size_bytes, what="DISK_LIVE_ADDR")
    descriptor = os.memfd_create("preload", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        for start in range(0, len(content), _WRITE_BYTES):
            _write_all(descriptor, content[start : start + _WRITE_BYTES])
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(descriptor)
        raise
    handover.memory.regions.pop(handoff.live_addr)
    return descriptor


def _write_all(descriptor: int, data: memoryview) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _written_bytes(device: Device) -> int:
    """What lived's overlay holds; 0 when lived is gone, and with it what was written."""
    try:
        return sum(part.length for part in device.extents(0, device.size_bytes) if part.source == "overlay")
    except DeviceError:
        return 0
