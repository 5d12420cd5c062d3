"""The boot for real: our loader as the firmware's next stage, QEMU, and a Linux that carries our guest.

The loader opens the image, takes kernel and initramfs from the RedoxFS in it (or from files), preloads, and puts the
preload into the machine's memory; the handoff goes to the guest's init as kernel parameters. The
physical disk is a read-only disk of the machine, there from the start, plugged in later, or never. See
`boot.guest.init` for the other side.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from bootpath.block.leaves.file import FileDevice
from bootpath.boot.machine.watched import MIB, Remaining, WatchedMachine
from bootpath.boot.protocol.events import MARK, Event, parse_event
from bootpath.boot.protocol.settings import Settings
from bootpath.boot.redox.loader import Handover, load
from bootpath.boot.redox.machinerun import LOGIN, Heard, MachineRun, heard_events
from bootpath.boot.redox.placement import ReservedMemory, make_blob, reserve_memory
from bootpath.boot.redox.preload import PreloadChoice
from bootpath.boot.redox.rootfs import ROOTFS
from bootpath.core.errors import BootError, MachineError
from bootpath.formats.cmdline.parameters import Parameter, join_parameters, split_parameters
from bootpath.formats.handoff import parse_handoff
from bootpath.image.redox.bootfiles import LINUX
from bootpath.vm.config import Display, MachineConfig, MemoryFile
from bootpath.vm.disks import Disk, Interface

MACHINE = "machine"
DISK_NAME = "physical"
PIECE_BYTES = 1 << 30
"""QEMU's loader device reads a file by one read(2), which ends at 2 GiB: what is larger comes in pieces."""


@dataclass(frozen=True, slots=True)
class MachineSetup:
    """How to boot. `memory_bytes` is what the system has beside the preload; `kernel` and `initrd` None come from the
    root; `disk_delay_seconds` counts from the machine's start, None is never; `appears` is what is the physical disk
    then, instead of the image; `command_line` is added for Linux."""

    preload: PreloadChoice
    memory_bytes: int = 512 * MIB
    disk_delay_seconds: float | None = 0.0
    appears: Path | None = None
    interface: Interface = Interface.VIRTIO
    settings: Settings = field(default_factory=Settings)
    password: bytes | None = None
    kernel: Path | None = None
    initrd: Path | None = None
    display: Display = Display.NONE
    command_line: str = ""
    hotplug_ports: int = 2


class LiveMachine(WatchedMachine[MachineSetup, MachineRun]):
    """The image `disk`, booted as `setup` says, for as long as a `with` lasts.

    Entering loads and starts; it raises BootError, FormatError, FileSystemError, DeviceError, MachineError.
    """

    actor = MACHINE
    ends = rf"{MARK}[0-9.]+ \S+ (?:failed|ends the machine)(?:: [^\n]*)?\n|Kernel panic[^\n]*\n"

    def new_run(self) -> MachineRun:
        """See `WatchedMachine.new_run`."""
        return MachineRun()

    def configure(self, directory: Path, opened: ExitStack) -> MachineConfig:
        """See `WatchedMachine.configure`."""
        return self.prepare(directory)

    def when_started(self, opened: ExitStack) -> None:
        """Plug the disk in later, if it is to come later."""
        delay = self.setup.disk_delay_seconds
        if delay:
            timer = threading.Timer(delay, self._plug_late)
            timer.daemon = True
            opened.callback(timer.cancel)
            timer.start()

    def prepare(self, directory: Path) -> MachineConfig:
        """Load, and write what QEMU reads to `directory`: kernel, initramfs, and the blob with the preload."""
        setup = self.setup
        if setup.appears is not None:
            FileDevice.open(setup.appears).close()  # what is missing fails now, and not when it is plugged in
        files = () if setup.kernel is not None and setup.initrd is not None else LINUX
        with closing(FileDevice.open(self.disk)) as device:
            handover = load(
                device,
                setup.preload,
                self.timeline,
                password=setup.password,
                classic=setup.settings.classic,
                boot_files=files,
            )
        self.run.handover = handover
        kernel = setup.kernel or _write(directory / "kernel", handover.boot_files[0])
        initrd = setup.initrd or _write(directory / "initfs", handover.boot_files[1])
        memory, blobs, parameters = self._place(handover, initrd.stat().st_size, directory)
        self.run.memory = memory
        screen = "" if setup.display is Display.NONE else "console=tty0"
        command_line = join_parameters(
            (
                *split_parameters(f"{screen} console=ttyS0 quiet panic=-1"),
                memory.parameter,
                *parameters,
                *setup.settings.parameters(),
                *split_parameters(setup.command_line),
            )
        )
        there = setup.disk_delay_seconds == 0
        return MachineConfig(
            memory_bytes=memory.memory_bytes,
            kernel=kernel,
            initrd=initrd,
            cmdline=command_line,
            disks=(self.physical(),) if there else (),
            hotplug_ports=setup.hotplug_ports,
            blobs=blobs,
            display=setup.display,
        )

    def _place(
        self, handover: Handover, initrd_bytes: int, directory: Path
    ) -> tuple[ReservedMemory, tuple[MemoryFile, ...], tuple[Parameter, ...]]:
        handoff = parse_handoff(handover.environment)
        assert handoff.live_addr is not None
        blob = make_blob(handoff, self.setup.password)
        memory = reserve_memory(self.setup.memory_bytes, initrd_bytes, blob.size_bytes)
        preload = handover.memory.at(handoff.live_addr, blob.preload_bytes, what="preload")
        contents = [(0, preload), *((offset, memoryview(content)) for offset, content in blob.parts())]
        size = max(blob.size_bytes, 1)
        blobs = tuple(
            MemoryFile(
                _write_piece(directory / f"preload{start // PIECE_BYTES}", start, size, contents),
                memory.address + start,
            )
            for start in range(0, size, PIECE_BYTES)
        )
        return memory, blobs, blob.parameters(handoff, memory.address)

    def physical(self, path: Path | None = None, name: str = DISK_NAME) -> Disk:
        """The physical disk as QEMU has it; an image for its place. Never written to: AHCI has to have a snapshot."""
        ahci = self.setup.interface is Interface.AHCI
        source = path or self.setup.appears or Path(self.disk)
        return Disk(name, source, self.setup.interface, read_only=not ahci, snapshot=ahci)

    def plug(self, path: Path | None = None, name: str = DISK_NAME) -> None:
        """Plug the physical disk in, or another image for it. Raises MachineError."""
        disk = self.physical(path, name)
        self.machine.attach(disk)
        self.timeline.note(MACHINE, "disk plugged in", str(disk.source))

    def _plug_late(self) -> None:
        try:
            self.plug()
        except MachineError as fault:
            if self.machine.running:  # else there is nothing left to plug it into
                self.timeline.note(MACHINE, "disk not plugged in", fault.what)

    def ended_by(self, said: str) -> NoReturn:
        """See `WatchedMachine.ended_by`."""
        event = parse_event(said)
        if event is None:
            raise BootError(said, where=self.where())
        raise BootError(event.detail or event.what, where=event.unit)

    def where(self) -> str:
        """The unit of the guest that was heard last."""
        heard = self.heard()
        return heard[-1].event.unit if heard else MACHINE

    def see(self, until: str, remaining: Remaining) -> None:
        """See `WatchedMachine.see`: the root is mounted before."""
        self.wait_event(ROOTFS, "mounted", remaining())
        self.wait_for(until, remaining())
        self.timeline.note(LOGIN, "reached", until)

    def wait_event(self, unit: str, what: str, deadline_seconds: float) -> Event:
        """Wait until the guest tells that `what` happened in `unit`. Raises as `wait_for`."""
        pattern = rf"{re.escape(MARK)}[0-9.]+ {re.escape(unit)} {re.escape(what)}(?:: [^\n]*)?\n"
        event = parse_event(self.wait_for(pattern, deadline_seconds)[0].strip())
        assert event is not None
        return event

    def heard(self) -> list[Heard]:
        """Everything that the guest has reported so far."""
        return heard_events(self.machine.console.lines)

    def finish(self) -> MachineRun:
        """Take the timeline, and the statistics while the machine runs."""
        if self.started:
            self.run.take_timeline(self.timeline.steps, self.started_seconds, self.heard())
            if self.machine.running:
                with suppress(MachineError):
                    self.run.disk = self.machine.block_statistics().get(DISK_NAME)
        else:
            self.run.steps = self.timeline.steps
        return self.run


def _write_piece(path: Path, start: int, size: int, contents: Sequence[tuple[int, memoryview]]) -> Path:
    """What lies from `start` on, at most a piece of it; the rest of the file is zeros."""
    end = min(start + PIECE_BYTES, size)
    with path.open("wb") as file:
        for offset, content in contents:
            first, last = max(offset, start), min(offset + len(content), end)
            if first < last:
                file.seek(first - start)
                file.write(content[first - offset : last - offset])
        file.truncate(end - start)
    return path


def _write(path: Path, content: memoryview) -> Path:
    path.write_bytes(content)
    return path
