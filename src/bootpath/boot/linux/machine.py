"""The boot of an image-based Linux in QEMU: our loader decides and loads, the kernel gets what was loaded, and no more.

::

    the image's file ── log ── overlay (what is written, in RAM) ── NBD on a Unix socket ── QEMU
                         └──── log ── `load.load_linux` ── kernel, initrd, device tree ── QEMU

Which machine it is, the plan says: the architecture of the root, or where nothing says it that of the kernel. A device
tree of the entry is for a board; the machine has it only if it describes this one, and else the tree that QEMU makes.

Kernel and initrd are the bytes that were verified; the disk is served as it is, so what the system reads later has to
be checked by the system: the command line says how. Reads of the loader and of the guest are counted by area until the
initramfs leaves for the root (``bootpath: @… init pivots``); what QEMU reads ahead counts too.

An initramfs of ours that finds no root says why and ends the machine. With `NextCandidate.POLICY` the loader then
starts again, and skips the candidate that failed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn

from bootpath.block.leaves.images.open import ImageRules
from bootpath.block.targets.log import Log
from bootpath.boot.linux.choice import LinuxRequest, NextCandidate, order_roots
from bootpath.boot.linux.kernel import startable
from bootpath.boot.linux.load import load_linux
from bootpath.boot.linux.result import LinuxBoot, LinuxPlan
from bootpath.boot.look import Look
from bootpath.boot.machine.diskreads import AreaReads, count_reads, disk_areas
from bootpath.boot.machine.firmware import SERVER, ServedImage, served_disk
from bootpath.boot.machine.watched import LOGIN_PATTERN, MIB, TIMEOUT_SECONDS, Remaining, WatchedMachine, WatchedRun
from bootpath.boot.protocol.events import MARK, Event, parse_event
from bootpath.boot.timeline import LOADER
from bootpath.core.device import Device, checked
from bootpath.core.errors import BootError
from bootpath.core.iolog import Read
from bootpath.formats.cmdline.parameters import Parameter
from bootpath.formats.devicetree import parse_devicetree
from bootpath.formats.partitions.dps import Architecture
from bootpath.vm.boards import BOARDS, Board, board_of
from bootpath.vm.config import Display, MachineConfig
from bootpath.vm.disks import Interface
from bootpath.vm.firmware import find_qemu
from bootpath.vm.kernel import bare_kernel

GUEST = "guest"
DISK_NAMES = {Interface.VIRTIO: "/dev/vda", Interface.AHCI: "/dev/sda", Interface.VIRTIO_SCSI: "/dev/sda"}
"""What Linux calls the only disk of a machine."""
PIVOT_PATTERN = rf"{MARK}[0-9.]+ init pivots: [^\n]*\n"
_FAULT = re.compile(r"bootpath: ([a-z]+): (.*)")


def machine_parameters(architecture: Architecture) -> tuple[Parameter, ...]:
    """The kernel writes to the serial console, and reboots after a panic instead of staying: QEMU ends then."""
    board = BOARDS.get(architecture)
    console = () if board is None else (Parameter(f"console={board.console}"),)
    return (*console, Parameter("panic=-1"))


@dataclass(frozen=True, slots=True)
class LinuxSetup:
    """How to boot. `overlay_bytes` caps what the machine may write (None: no cap); `look` is what was read of the disk
    before, if it was: the loader then does not read that again. `images` says what may be made of the disk's file."""

    request: LinuxRequest = field(default_factory=LinuxRequest)
    memory_bytes: int = 512 * MIB
    interface: Interface = Interface.VIRTIO
    display: Display = Display.NONE
    overlay_bytes: int | None = None
    look: Look | None = None
    images: ImageRules = field(default_factory=ImageRules)

    def asked(self) -> LinuxRequest:
        """The request, with what the kernel will call the disk."""
        return replace(self.request, disk_name=DISK_NAMES[self.interface])


@dataclass(slots=True, kw_only=True)
class LinuxRun(WatchedRun):
    """What happened. `boot` are the decisions, for which the loader read `loader_bytes`.

    `reads` are those of loader and guest until the pivot (until the end, when there was none), by area, `guest_bytes`
    those of the guest; `pivot` is the event of the initramfs when it left, with the seconds since the kernel's start.
    `earlier` are the failures, in the guest, of candidates that were tried before.
    """

    boot: LinuxBoot | None = None
    loader_bytes: int = 0
    guest_bytes: int = 0
    reads: tuple[AreaReads, ...] = ()
    seconds_to_kernel: float | None = None
    seconds_to_pivot: float | None = None
    pivot: Event | None = None
    written_bytes: int = 0
    ended_in_guest: bool = False
    earlier: tuple[str, ...] = ()


class LinuxMachine(WatchedMachine[LinuxSetup, LinuxRun]):
    """The image `disk`, loaded by `setup.request` and booted, for as long as a `with` lasts.

    Entering loads and starts; it raises BootError when the loader refuses, DeviceError (no such image), MachineError.
    """

    actor = LOADER
    ends = rf"{MARK}[0-9.]+ init ends here: [^\n]*\n|Kernel panic[^\n]*\n"

    _image: ServedImage | None = None
    _loader_reads: Sequence[Read] = ()
    _guest_reads: Sequence[Read] | None = None

    def new_run(self) -> LinuxRun:
        """See `WatchedMachine.new_run`."""
        return LinuxRun()

    def configure(self, directory: Path, opened: ExitStack) -> MachineConfig:
        """Load from the served image, and write what QEMU starts to `directory`."""
        self._check_program()
        image = self._image = opened.enter_context(
            ServedImage(
                self.disk,
                directory / "disk.sock",
                overlay_bytes=self.setup.overlay_bytes,
                images=self.setup.images,
            )
        )
        assert image.device is not None
        look = self.setup.look
        reads: list[Read] = [] if look is None else [*look.reads]
        self._loader_reads = reads
        disk = checked(Log(image.device, lambda record: reads.append(record) if isinstance(record, Read) else None))
        boot = load_linux(
            disk,
            self.setup.asked(),
            self.timeline,
            machine_parameters=machine_parameters,
            contents=None if look is None else look.contents,
        )
        self.run.boot = boot
        self._count(image.device)
        plan = boot.plan
        if plan is None or plan.loaded is None:
            raise BootError(f"the boot is refused: {boot.refusal}", where=str(self.disk))
        kernel = str(plan.entry.parts.kernel)
        board = board_of(startable(plan.loaded.image, plan.architecture, where=kernel))
        self.timeline.note(SERVER, "serves the image", "over NBD, what is written stays in RAM")
        tree, other = fitting_tree(plan.loaded.devicetree, board)
        if other:
            self.timeline.note(LOADER, "leaves out the device tree", other)
        return linux_config(self.setup, plan, tree, image.uri, directory)

    def _check_program(self) -> None:
        """Raise MachineError when there is no QEMU for the disk, before anything is loaded for one."""
        look = self.setup.look
        if look is not None and self._binary is None:
            architecture = order_roots(look.contents, self.setup.request).architecture
            if architecture is not None:
                find_qemu(board_of(architecture).program)

    def when_started(self, opened: ExitStack) -> None:
        """The kernel starts now."""
        self.run.seconds_to_kernel = self.timeline.elapsed()

    def ended_by(self, said: str) -> NoReturn:
        """See `WatchedMachine.ended_by`: what the initramfs said before it ended, or the kernel's panic."""
        self.run.ended_in_guest = True
        faults = [match for line in self.machine.console.lines if (match := _FAULT.search(line.text))]
        if faults and parse_event(said) is not None:
            raise BootError(faults[-1][2].strip(), where=f"{GUEST}: {faults[-1][1]}")
        raise BootError(said, where=GUEST)

    def see(self, until: str, remaining: Remaining) -> None:
        """See `WatchedMachine.see`. An initramfs that is not ours does not report that it leaves."""
        index, said = self.wait_first((PIVOT_PATTERN, until), remaining())
        if index == 0:
            self.pivoted(said[0].strip())
            self.wait_for(until, remaining())
        self.timeline.note(GUEST, "console matches", until)

    def pivoted(self, said: str) -> None:
        """The initramfs has left: from here on it is the system that reads."""
        self.run.pivot = parse_event(said)
        self.run.seconds_to_pivot = self.timeline.elapsed()
        self._guest_reads = [] if self._image is None else self._image.reads
        self.timeline.note(GUEST, "pivots", "" if self.run.pivot is None else self.run.pivot.detail)

    def where(self) -> str:
        """The guest, once it runs."""
        return GUEST if self.started else LOADER

    def finish(self) -> LinuxRun:
        """Take the timeline and what was read."""
        run, image = self.run, self._image
        run.steps = self.timeline.steps
        if image is not None and image.device is not None:
            self._count(image.device, image.reads if self._guest_reads is None else self._guest_reads)
            run.written_bytes = image.written_bytes
        return run

    def _count(self, device: Device, guest: Sequence[Read] = ()) -> None:
        """What was read of the image, by the loader and by the guest."""
        run = self.run
        run.loader_bytes = sum(read.length for read in self._loader_reads)
        run.guest_bytes = sum(read.length for read in guest)
        table = None if run.boot is None else run.boot.contents.root.partition_table
        run.reads = count_reads([*self._loader_reads, *guest], disk_areas(device, table))


def fitting_tree(devicetree: bytes | None, board: Board) -> tuple[bytes | None, str]:
    """The device tree if it describes the board, else why not. Raises FormatError for one that is damaged."""
    if devicetree is None:
        return None, ""
    names = parse_devicetree(devicetree).compatible
    if board.compatible and board.compatible in names:
        return devicetree, ""
    own = f"QEMU makes one for its {board.compatible}" if board.compatible else "the machine is a PC, which has none"
    return None, f"it is for {', '.join(names) or 'a machine without a name'}; {own}"


def linux_config(setup: LinuxSetup, plan: LinuxPlan, tree: bytes | None, uri: str, directory: Path) -> MachineConfig:
    """The machine for what was loaded, which is written to `directory`, with the disk served at `uri`."""
    assert plan.architecture is not None
    loaded, board = plan.loaded, board_of(plan.architecture)
    assert loaded is not None
    kernel = directory / "kernel"
    # A PC unpacks its kernel by itself, or QEMU does under the translator.
    kernel.write_bytes(loaded.kernel if board.is_pc else bare_kernel(loaded.kernel))
    initrd = directory / "initrd"
    if loaded.initrd_pieces:
        with initrd.open("wb") as file:
            file.writelines(loaded.initrd_pieces)
    extra: tuple[str, ...] = ()
    if tree is not None:
        (directory / "devicetree").write_bytes(tree)
        extra = ("-dtb", str(directory / "devicetree"))
    return MachineConfig(
        board=board,
        memory_bytes=setup.memory_bytes,
        kernel=kernel,
        initrd=initrd if loaded.initrd_pieces else None,
        cmdline=plan.command_line,
        disks=(served_disk(uri, setup.interface),),
        display=setup.display,
        extra=extra,
    )


def boot_linux(
    make: Callable[[LinuxSetup], LinuxMachine],
    setup: LinuxSetup,
    *,
    until: str = LOGIN_PATTERN,
    timeout_seconds: float = TIMEOUT_SECONDS,
    screenshot: Path | None = None,
    at_end: Callable[[LinuxMachine], None] | None = None,
) -> LinuxRun:
    """Boot in a machine that `make` makes; in another one for the next candidate.

    See `WatchedMachine.boot`. The timeout is for each machine.
    """
    earlier: tuple[str, ...] = ()
    while True:
        run = make(setup).boot(until=until, timeout_seconds=timeout_seconds, screenshot=screenshot, at_end=at_end)
        run.earlier = earlier
        chosen = None if run.boot is None else run.boot.chosen
        if not run.ended_in_guest or chosen is None or setup.request.next_candidate is NextCandidate.NEVER:
            return run
        earlier = (*earlier, f"{chosen.data.location}: {run.failure}")
        skipped = (*setup.request.skipped, (chosen.data.path, str(run.failure)))
        setup = replace(setup, request=replace(setup.request, skipped=skipped))
