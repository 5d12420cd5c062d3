"""A running QEMU: consoles, monitor, hot-plugged disks, and an end that is certain.

A machine runs from `start` until `wait_exit`, `power_cut` or `close`; as a context manager, from entering to leaving.
No QEMU outlives this process (see `process`). Whatever QEMU refuses, or does not do in time, is a MachineError with
the command line, QEMU's exit code and stderr, and the last console lines.

Writes that are complete for the guest are in the host's page cache or at the NBD server: `power_cut` loses what a real
machine's volatile memory loses, not what a real disk's cache would. For that, put a fault target behind an NBD server.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from bootpath.core.errors import MachineError
from bootpath.core.extras import pip_install
from bootpath.vm.blocks import BlockStatistics, parse_block_statistics
from bootpath.vm.commandline import command_line, disk_buses, root_port
from bootpath.vm.config import Accelerator, MachineConfig
from bootpath.vm.console import Console
from bootpath.vm.disks import ON_AHCI, SCSI_CONTROLLER, Disk, Interface, disk_device, disk_node
from bootpath.vm.events import MonitorEvent
from bootpath.vm.firmware import find_qemu
from bootpath.vm.kernel import unpacked_kernel
from bootpath.vm.process import TiedProcess
from bootpath.vm.screen import screendump

if TYPE_CHECKING:
    from bootpath.vm.qmp import Monitor

START_SECONDS = 30.0
COMMAND_SECONDS = 30.0
QUIT_SECONDS = 5.0
_SETTLE_SECONDS = 1.0


class QEMU:
    """The machine `config`, run by the program `binary` (looked for when None). A QEMU is started once.

    `transcript` gets the bytes of the first serial console as they come.
    """

    def __init__(
        self,
        config: MachineConfig,
        *,
        accelerator: Accelerator = Accelerator.TCG,
        binary: str | None = None,
        transcript: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config
        self.accelerator = accelerator
        self.consoles: list[Console] = []
        self.command: list[str] = []
        self._binary = binary
        self._transcript = transcript
        self._clock = clock
        self._started = 0.0
        self._process: TiedProcess | None = None
        self._monitor: Monitor | None = None
        self._buses = dict(zip((disk.name for disk in config.disks), disk_buses(config.disks), strict=True))

    def __enter__(self) -> QEMU:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self, deadline_seconds: float = START_SECONDS) -> None:
        """Start it, and return when its monitor answers: the guest is running then, unless the config has `paused`."""
        if self._process is not None:
            raise ValueError("a QEMU can be started only once")
        self._started = self._clock()
        binary = self._binary or find_qemu(self.config.board.program)
        connect = _monitor_class()
        with contextlib.ExitStack() as mine, contextlib.ExitStack() as theirs:
            pairs = [socket.socketpair() for _ in range(1 + self.config.serial_ports)]
            monitor, *serial = [mine.enter_context(pair[0]) for pair in pairs]
            fds = [theirs.enter_context(pair[1]).fileno() for pair in pairs]
            kernel = self._unpack_kernel(theirs)
            config = self.config if kernel is None else replace(self.config, kernel=Path(f"/dev/fd/{kernel}"))
            inherited = fds if kernel is None else [*fds, kernel]
            self.command = command_line(
                config, binary=binary, accelerator=self.accelerator, qmp_fd=fds[0], serial_fds=fds[1:]
            )
            self._process = TiedProcess(self.command, pass_fds=inherited)
            # QEMU has them now; with a copy here, we would never see it hang up.
            theirs.close()
            try:
                for index, connection in enumerate(serial):
                    path = self._transcript if index == 0 else None
                    console = Console(connection, seconds=self._seconds, fault=self._fault, transcript=path)
                    self.consoles.append(console)
                self._monitor = connect(monitor, seconds=self._seconds, fault=self._fault)
                self._connect(self._monitor, deadline_seconds)
            except BaseException:
                self.close()
                raise
            # From here on the consoles and the monitor close their sockets.
            mine.pop_all()

    def close(self) -> None:
        """End it, and wait until it is gone: politely if it still listens, else by SIGKILL. Twice is harmless."""
        if self._process is None:
            return
        # All of it happens, even where one is in a hurry and interrupts it.
        with contextlib.ExitStack() as last:
            last.callback(self._process.close)
            if self._monitor is not None:
                last.callback(self._monitor.close)
            for console in self.consoles:
                last.callback(console.close)
            last.callback(self.power_cut)
            if self.running and self._monitor is not None:
                # One that does not listen is ended by the signal.
                with contextlib.suppress(MachineError):
                    self._monitor.execute("quit", deadline_seconds=QUIT_SECONDS)
                    self._process.wait(QUIT_SECONDS)

    @property
    def console(self) -> Console:
        """The first serial port."""
        if not self.consoles:
            raise ValueError("the machine has no serial port, or has not been started")
        return self.consoles[0]

    @property
    def seconds(self) -> float:
        """Seconds since `start` began, of the clock that console lines and events have their times from."""
        return self._seconds()

    @property
    def pid(self) -> int:
        """QEMU's process id."""
        return self._running_process().pid

    @property
    def running(self) -> bool:
        """True from `start` until QEMU has ended; a guest that has halted or panicked still runs."""
        return self._process is not None and self._process.exit_code is None

    @property
    def exit_code(self) -> int | None:
        """QEMU's exit code; negative when a signal ended it, None while it runs."""
        return None if self._process is None else self._process.exit_code

    @property
    def events(self) -> list[MonitorEvent]:
        """What the monitor reported."""
        return self._connected().events

    def execute(
        self,
        command: str,
        arguments: Mapping[str, object] | None = None,
        *,
        deadline_seconds: float = COMMAND_SECONDS,
    ) -> object:
        """Run a monitor command (QMP) and return its result."""
        return self._connected().execute(command, arguments, deadline_seconds=deadline_seconds)

    def wait_event(self, name: str, deadline_seconds: float, *, since: int = 0) -> MonitorEvent:
        """Wait for the first event `name`, from number `since` on."""
        event = self._connected().wait_event(lambda event: event.name == name, deadline_seconds, since=since)
        if event is None:
            raise self._fault(f"there was no event {name} within {deadline_seconds:g} s")
        return event

    def wait_exit(self, deadline_seconds: float) -> int:
        """Wait until QEMU has ended by itself; its exit code."""
        code = self._running_process().wait(deadline_seconds)
        if code is None:
            raise self._fault(f"QEMU did not end within {deadline_seconds:g} s")
        # What the guest said last may still be on its way to us.
        for console in self.consoles:
            console.wait_end(_SETTLE_SECONDS)
        return code

    def pause(self) -> None:
        """Stop the guest's CPUs."""
        self.execute("stop")

    def resume(self) -> None:
        """Let them run."""
        self.execute("cont")

    def reset(self) -> None:
        """The reset button; without `reboot` in the config it ends QEMU."""
        self.execute("system_reset")

    def powerdown(self) -> None:
        """The power button (ACPI): the guest decides what to do."""
        self.execute("system_powerdown")

    def power_cut(self) -> None:
        """Pull the plug (SIGKILL). Raises MachineError in the rare case that the kernel does not let QEMU go."""
        process = self._running_process()
        process.kill()
        if process.wait(QUIT_SECONDS) is None:
            raise self._fault("QEMU did not end after SIGKILL")

    def attach(self, disk: Disk) -> None:
        """Plug in a disk: a virtio one into a free root port, a SCSI one on the controller.

        Raises ValueError when the machine has no place for it.
        """
        bus = self._free_bus(disk)
        self.execute("blockdev-add", disk_node(disk))
        try:
            self.execute("device_add", disk_device(disk, bus))
        except MachineError:
            self.execute("blockdev-del", {"node-name": disk.name})
            raise
        self._buses[disk.name] = bus

    def detach(self, name: str, deadline_seconds: float = COMMAND_SECONDS) -> None:
        """Unplug the disk `name`: asks the guest, and returns when it has let go and the source is closed.

        Raises MachineError when it refuses, or does not answer: firmware and panicked kernels do not.
        """
        if name not in self._buses:
            raise ValueError(f"the machine has no disk {name!r}")
        monitor = self._connected()
        since = monitor.event_count
        self.execute("device_del", {"id": name})
        # Newer machines say DEVICE_UNPLUG_GUEST_ERROR, those before 6.2 MEM_UNPLUG_ERROR, which is never for a disk.
        answers = ("DEVICE_DELETED", "DEVICE_UNPLUG_GUEST_ERROR")
        event = monitor.wait_event(
            lambda event: event.name in answers and event.data.get("device") == name, deadline_seconds, since=since
        )
        if event is None:
            raise self._fault(f"the guest did not release disk {name} within {deadline_seconds:g} s")
        if event.name != "DEVICE_DELETED":
            raise self._fault(f"the guest refused to release disk {name}")
        del self._buses[name]
        if not any(disk.name == name and disk.snapshot for disk in self.config.disks):
            self.execute("blockdev-del", {"node-name": name})

    @property
    def disks(self) -> tuple[str, ...]:
        """The names of the disks plugged in."""
        return tuple(self._buses)

    def block_statistics(self) -> dict[str, BlockStatistics]:
        """What the guest did with each disk, by name."""
        return parse_block_statistics(self.execute("query-blockstats"))

    def screendump(self, path: Path) -> None:
        """Write the screen to `path` as PNG."""
        screendump(self.execute, path.absolute())

    def send_keys(self, *keys: str) -> None:
        """Press keys together, by their QKeyCode names: ``send_keys("ctrl", "alt", "delete")``."""
        self.execute("send-key", {"keys": [{"type": "qcode", "data": key} for key in keys]})

    def _unpack_kernel(self, stack: contextlib.ExitStack) -> int | None:
        """A descriptor of the kernel, unpacked, for as long as `stack` is open; None when it unpacks itself."""
        config = self.config
        if config.kernel is None or not config.unpack_kernel or self.accelerator is not Accelerator.TCG:
            return None
        try:
            kernel = unpacked_kernel(config.kernel)
        except OSError:
            return None  # QEMU says why it cannot be read
        if kernel is None:
            return None
        file = stack.enter_context(os.fdopen(os.memfd_create("kernel"), "wb"))
        file.write(kernel)
        file.flush()
        return file.fileno()

    def _free_bus(self, disk: Disk) -> str:
        if disk.name in self._buses:
            raise ValueError(f"the machine already has a disk {disk.name!r}")
        if disk.snapshot:
            raise ValueError("a snapshot disk cannot be hot-plugged")
        if disk.interface in ON_AHCI:
            raise ValueError("QEMU cannot hot-plug AHCI disks")
        if disk.interface is Interface.VIRTIO_SCSI:
            if not self.config.has_scsi:
                raise ValueError("the machine has no SCSI controller")
            return f"{SCSI_CONTROLLER}.0"
        used = set(self._buses.values())
        free = [port for port in map(root_port, range(self.config.root_ports)) if port not in used]
        if not free:
            raise ValueError("all root ports have a disk; the machine needs more hotplug_ports")
        return free[0]

    def _connect(self, monitor: Monitor, deadline_seconds: float) -> None:
        try:
            monitor.connect(deadline_seconds)
        except MachineError as error:
            if error.exit_code is None:
                raise
            said = error.diagnostics.splitlines() or [f"exit code {error.exit_code}"]
            raise self._fault(f"QEMU did not start: {said[-1]}") from error

    def _seconds(self) -> float:
        return self._clock() - self._started

    def _running_process(self) -> TiedProcess:
        if self._process is None:
            raise ValueError("the machine has not been started")
        return self._process

    def _connected(self) -> Monitor:
        if self._monitor is None:
            raise ValueError("the machine has not been started")
        return self._monitor

    def _fault(self, what: str, *, expected: object = None, found: object = None) -> MachineError:
        process = self._running_process()
        # A console or monitor that hangs up is a QEMU that ends: its code is there in a moment.
        if any(console.ended for console in self.consoles) or (self._monitor is not None and self._monitor.ended):
            process.wait(_SETTLE_SECONDS)
        return MachineError(
            what,
            where="qemu",
            expected=expected,
            found=found,
            command=self.command,
            exit_code=process.exit_code,
            diagnostics=process.output,
            console=self.consoles[0].last_lines if self.consoles else (),
        )


def _monitor_class() -> type[Monitor]:
    """The monitor's class, imported only when a machine starts: its library is an optional dependency."""
    try:
        from bootpath.vm.qmp import Monitor
    except ImportError as error:
        raise MachineError(
            "machines need qemu.qmp, which is not installed", where="qemu", hint=pip_install("vm")
        ) from error
    return Monitor
