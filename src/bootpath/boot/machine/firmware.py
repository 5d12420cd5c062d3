"""The boot by the image's own loader: firmware in QEMU reads a disk that we serve over NBD, and the rest follows.

::

    the image's file ── log (what is read of it) ── overlay (what is written, in RAM) ── NBD on a Unix socket ── QEMU

Nothing of ours runs in the machine and nothing is known of what does: there is a console, a screen, and the log of
reads. Of it comes what the boot read, by partition, and the trace from which the next boot's plan is made. The server
is a thread of this process; the image's file is only ever read.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from bootpath.block.leaves.images.open import ImageRules
from bootpath.block.leaves.open import open_device
from bootpath.block.overlay.ram import Overlay
from bootpath.block.targets.log import Log
from bootpath.boot.machine.diskreads import AreaReads, count_reads, disk_areas, file_system_trace
from bootpath.boot.machine.watched import MIB, WatchedMachine, WatchedRun
from bootpath.core.device import Device, checked
from bootpath.core.errors import BootError, MachineError
from bootpath.core.iolog import Read, Record
from bootpath.formats.trace import Trace
from bootpath.image.contents.read import read_contents
from bootpath.image.livemedia import FirmwareKind, MediumUse, read_live_medium
from bootpath.image.redox.discovery import find_redoxfs
from bootpath.serve.export import Export
from bootpath.serve.server.server import Server
from bootpath.vm.boards import PC, Board
from bootpath.vm.config import Display, MachineConfig, Uefi
from bootpath.vm.disks import Disk, Interface
from bootpath.vm.firmware import private_uefi

FIRMWARE, SERVER = "firmware", "server"
DISK_NAME = "served"
_GRACE_SECONDS = 2.0
_RECONNECT_SECONDS = 10
_SOCKET_PATH_BYTES = 107  # unix(7): sun_path has 108, one of them a NUL


class Firmware(Enum):
    """Which firmware the machine has."""

    BIOS = "bios"
    UEFI = "uefi"


@dataclass(frozen=True, slots=True)
class FirmwareSetup:
    """How to boot. `overlay_bytes` caps what the machine may write (None: no cap); `images` says what may be made of
    the disk's file.

    `interface` None is an optical drive for a medium that this firmware boots as a disc alone, and virtio for all else.
    """

    firmware: Firmware
    board: Board = PC
    memory_bytes: int = 512 * MIB
    interface: Interface | None = None
    display: Display = Display.NONE
    overlay_bytes: int | None = None
    images: ImageRules = field(default_factory=ImageRules)


@dataclass(slots=True, kw_only=True)
class FirmwareRun(WatchedRun):
    """What happened in a machine with its own firmware.

    `reads` are what was read of the image, by area; `trace` is the part that lies on its RedoxFS, None without one;
    `written_bytes` were kept in RAM.
    """

    firmware: Firmware
    reads: tuple[AreaReads, ...] = ()
    trace: Trace | None = None
    written_bytes: int = 0

    @property
    def read_bytes(self) -> int:
        """Bytes read of the image, again and again counted each time."""
        return sum(area.bytes for area in self.reads)


class ServedImage:
    """The image at `path`, or at an address, served on `socket` for as long as a `with` lasts; the log of its reads.

    Entering raises DeviceError (no such image) and MachineError (no such path for a socket).
    """

    def __init__(
        self, path: Path | str, socket: Path, *, overlay_bytes: int | None = None, images: ImageRules | None = None
    ) -> None:
        self.path = path
        self._images = images
        self.socket = socket
        self._overlay_bytes = overlay_bytes
        self._reads: list[Read] = []
        self._opened = ExitStack()
        self._overlay: Overlay | None = None
        self.device: Device | None = None

    def __enter__(self) -> ServedImage:
        length = len(bytes(self.socket))
        if length > _SOCKET_PATH_BYTES:
            raise MachineError(
                "the path is too long for a socket",
                where=str(self.socket),
                found=f"{length} bytes",
                expected=f"at most {_SOCKET_PATH_BYTES}",
                hint="set TMPDIR to a shorter one",
            )
        with ExitStack() as opened:
            base = open_device(str(self.path), images=self._images)
            opened.callback(base.close)
            # The overlay may not compare what is written with the image: those are reads that no boot makes.
            overlay = Overlay(Log(base, self._hear), max_bytes=self._overlay_bytes, drop_matching=False)
            opened.callback(overlay.close)
            export = Export("", checked(overlay), str(self.path))
            server = Server({export.name: export})
            server.listen_unix(self.socket)
            thread = threading.Thread(target=server.run, name="NBD server", daemon=True)
            thread.start()
            opened.callback(thread.join)
            opened.callback(server.stop, _GRACE_SECONDS)
            self.device, self._overlay = base, overlay
            self._opened = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def _hear(self, record: Record) -> None:
        if isinstance(record, Read):
            self._reads.append(record)

    @property
    def uri(self) -> str:
        """Where QEMU finds it."""
        return f"nbd+unix:///?socket={self.socket}"

    @property
    def reads(self) -> list[Read]:
        """The reads of the image so far, in order of completion."""
        return self._reads[:]

    @property
    def written_bytes(self) -> int:
        """What the overlay holds."""
        return 0 if self._overlay is None else self._overlay.dirty_bytes


def served_disk(uri: str, interface: Interface, *, boot_index: int | None = None) -> Disk:
    """The image served at `uri` as QEMU has it."""
    return Disk(
        DISK_NAME,
        uri,
        interface,
        read_only=interface is Interface.OPTICAL,
        boot_index=boot_index,
        reconnect_seconds=_RECONNECT_SECONDS,
    )


def medium_interface(disk: Device, firmware: Firmware) -> Interface:
    """How firmware can boot the disk: some optical media are not disks too. Raises DeviceError."""
    medium = read_live_medium(disk, read_contents(disk))
    uses = () if medium is None else medium.boots(FirmwareKind(firmware.value))
    return Interface.OPTICAL if uses == (MediumUse.DISC,) else Interface.VIRTIO


class FirmwareMachine(WatchedMachine[FirmwareSetup, FirmwareRun]):
    """The image `disk`, booted by what is on it, for as long as a `with` lasts.

    Entering serves and starts; it raises DeviceError (no such image) and MachineError (QEMU, no UEFI firmware).
    """

    actor = FIRMWARE
    ends = (
        r"No bootable device[^\n]*"  # SeaBIOS
        r"|BdsDxe: No bootable option or device was found[^\n]*"  # OVMF, once everything has been tried
        r"|UEFI Interactive Shell v[^\n]*"  # ... or where it has a shell to fall back on
        r"|Kernel panic[^\n]*"
    )

    _image: ServedImage | None = None

    def new_run(self) -> FirmwareRun:
        """See `WatchedMachine.new_run`."""
        return FirmwareRun(firmware=self.setup.firmware)

    def configure(self, directory: Path, opened: ExitStack) -> MachineConfig:
        """Serve the image, and give the machine its firmware."""
        board = self.setup.board
        if self.setup.firmware is Firmware.BIOS and not board.is_pc:
            raise MachineError(f"a machine for {board.architecture.value} has no BIOS", hint="use --firmware uefi")
        with self.timeline.step(SERVER, "serve the image") as step:
            image = ServedImage(
                self.disk,
                directory / "disk.sock",
                overlay_bytes=self.setup.overlay_bytes,
                images=self.setup.images,
            )
            self._image = opened.enter_context(image)
            assert image.device is not None
            interface = self.setup.interface or medium_interface(image.device, self.setup.firmware)
            optical = interface is Interface.OPTICAL
            step.detail = "over NBD, " + ("as an optical disc" if optical else "what is written stays in RAM")
        uefi = private_uefi(directory, board) if self.setup.firmware is Firmware.UEFI else None
        return firmware_config(replace(self.setup, interface=interface), image.uri, uefi)

    def ended_by(self, said: str) -> NoReturn:
        """See `WatchedMachine.ended_by`."""
        raise BootError(said, where=FIRMWARE, hint="has the image a loader for this firmware?")

    def finish(self) -> FirmwareRun:
        """Take the timeline and what was read until now. Raises DeviceError when the image cannot be read any more."""
        self.run.steps = self.timeline.steps
        if self._image is not None and self._image.device is not None:
            reads = self._image.reads
            discovery = find_redoxfs(self._image.device)
            self.run.reads = count_reads(reads, disk_areas(self._image.device, discovery.gpt))
            self.run.trace = file_system_trace(reads, discovery)
            self.run.written_bytes = self._image.written_bytes
        return self.run


def firmware_config(setup: FirmwareSetup, uri: str, uefi: Uefi | None) -> MachineConfig:
    """The machine that `setup` says, with the disk served at `uri`; `uefi` None is the BIOS, which talks on serial."""
    return MachineConfig(
        board=setup.board,
        memory_bytes=setup.memory_bytes,
        firmware=uefi,
        disks=(served_disk(uri, setup.interface or Interface.VIRTIO, boot_index=0),),
        display=setup.display,
        bios_on_serial=uefi is None,
    )
