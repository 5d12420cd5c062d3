"""What a machine consists of: frozen values, no effects.

The machine is a PC with QEMU's q35 board, or another of `boards`, without QEMU's default devices: what is not named
here is not there, except for what belongs to the board (a PC's PS/2 keyboard and AHCI controller, for example).

Source: QEMU's invocation manual and docs/system. Sizes are bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from bootpath.vm.boards import PC, Board
from bootpath.vm.disks import ON_AHCI, Disk, Interface

MIB = 1 << 20
MAX_AHCI_DISKS = 6  # the ports of q35's controller, and of the same one on another board
MAX_ROOT_PORTS = 24  # of the 32 slots of the root bus; the board and the other devices have the rest
MAX_SERIAL_PORTS = 4  # "-serial: can be used several times to simulate up to 4 serial ports"
_SETTING_NAME = re.compile(r"opt/[!-+\--~]{1,51}")  # "Use only names with prefix opt/"; QEMU's limit is 55 bytes
_RTC_BASE = re.compile(r"utc|localtime|\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2})?")


class Accelerator(Enum):
    """What executes the guest's instructions."""

    TCG = "tcg"  # a translator, slow and everywhere
    KVM = "kvm"


class Display(Enum):
    """The graphics card. Nothing is shown on the host; `QEMU.screendump` takes a picture."""

    NONE = "none"
    STD = "std"  # a VGA card
    VIRTIO_GPU = "virtio-gpu"  # with VGA compatibility, so that firmware can write to it


@dataclass(frozen=True, slots=True)
class Uefi:
    """UEFI firmware in two flash chips: `code` is read-only, `variables` is written to, so each machine needs its own.

    `firmware.private_uefi` finds OVMF and makes the copy.
    """

    code: Path
    variables: Path


@dataclass(frozen=True, slots=True)
class MemoryFile:
    """A file's bytes in the guest's RAM from physical `address` on, before the first instruction.

    The guest is not told: reserve the range with ``memmap=`` on Linux's command line. The range must be RAM, free of
    what the firmware and kernel loaders use; q35 has its low RAM below 2 GiB when there is more than that, the rest
    starts at 4 GiB. QEMU keeps a copy and writes it again at every reset.
    """

    path: Path
    address: int


@dataclass(frozen=True, slots=True)
class FirmwareSetting:
    """An entry of the firmware configuration device (fw_cfg), from a file or a text; names begin with ``opt/``."""

    name: str
    path: Path | None = None
    text: str | None = None

    def __post_init__(self) -> None:
        if _SETTING_NAME.fullmatch(self.name) is None:
            raise ValueError(
                f"a firmware setting must be named opt/ and at most 51 characters without a comma, not {self.name!r}"
            )
        if (self.path is None) == (self.text is None):
            raise ValueError(f"the firmware setting {self.name} needs a path or a text")


@dataclass(frozen=True, slots=True)
class Smbios:
    """Fields of an SMBIOS structure: type 1 has manufacturer, product, serial, uuid...; type 11 has value, repeatable.

    Source: DMTF DSP0134 for the types, QEMU's ``-smbios`` for the names.
    """

    type: int
    fields: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class MachineConfig:
    """A machine that can be started.

    - `board`: which machine of QEMU. `cpu_model`: None for the board's, or under KVM the host's.
    - `kernel`, `initrd`, `cmdline`: Linux started by QEMU, past the firmware's choice of a boot disk. `unpack_kernel`:
      under the translator it need not unpack itself (see `kernel`).
    - `firmware`: None for the board's (SeaBIOS on a PC, OpenSBI on RISC-V, none on Arm), a Path for another BIOS image,
      or Uefi.
    - `hotplug_ports`: empty PCI Express root ports, for virtio disks plugged in later; a detached disk frees its own.
    - `scsi_controller`: put it there even without a SCSI disk, for those plugged in later.
    - `serial_ports`: each is a console; `bios_on_serial` shows SeaBIOS's screen on the first.
    - `rtc_base`: utc, localtime, or a UTC time as 2006-06-17T16:01:21.
    - `reboot`: False ends QEMU when the guest resets. `paused`: no instruction runs before `QEMU.resume`.
    - `debug_exit_port`: an I/O port where a byte v written by the guest ends QEMU with code 2v + 1.
    - `extra`: arguments for QEMU as they are, after all others.

    Raises ValueError for what cannot be.
    """

    memory_bytes: int = 256 * MIB
    board: Board = PC
    cpus: int = 1
    cpu_model: str | None = None
    kernel: Path | None = None
    initrd: Path | None = None
    cmdline: str = ""
    unpack_kernel: bool = True
    firmware: Uefi | Path | None = None
    disks: tuple[Disk, ...] = ()
    hotplug_ports: int = 0
    scsi_controller: bool = False
    blobs: tuple[MemoryFile, ...] = ()
    user_network: bool = False
    display: Display = Display.NONE
    serial_ports: int = 1
    bios_on_serial: bool = False
    rtc_base: str = "utc"
    reboot: bool = False
    paused: bool = False
    debug_exit_port: int | None = None
    fw_cfg: tuple[FirmwareSetting, ...] = ()
    smbios: tuple[Smbios, ...] = ()
    extra: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.memory_bytes <= 0 or self.memory_bytes % MIB:
            raise ValueError(f"memory_bytes must be a multiple of 1 MiB, not {self.memory_bytes}")
        if not self.board.is_pc and (self.debug_exit_port is not None or self.bios_on_serial):
            raise ValueError("only a PC has I/O ports and a BIOS with a screen")
        if self.cpus < 1:
            raise ValueError("a machine needs a CPU")
        if self.kernel is None and (self.initrd is not None or self.cmdline):
            raise ValueError("an initrd and a command line need a kernel")
        if not 0 <= self.serial_ports <= MAX_SERIAL_PORTS:
            raise ValueError(f"a machine can have at most {MAX_SERIAL_PORTS} serial ports")
        if _RTC_BASE.fullmatch(self.rtc_base) is None:
            raise ValueError(
                f"rtc_base must be utc, localtime or a time like 2006-06-17T16:01:21, not {self.rtc_base!r}"
            )
        names = [disk.name for disk in self.disks]
        if len(set(names)) != len(names):
            raise ValueError("two disks have the same name")
        if sum(disk.interface in ON_AHCI for disk in self.disks) > MAX_AHCI_DISKS:
            raise ValueError(f"the AHCI controller has only {MAX_AHCI_DISKS} ports")
        if self.root_ports > MAX_ROOT_PORTS:
            raise ValueError(f"the board has only {MAX_ROOT_PORTS} ports for virtio disks and hot-plugging")

    @property
    def root_ports(self) -> int:
        """How many PCI Express root ports there are: the first ones have the virtio disks, in their order."""
        return self.hotplug_ports + sum(disk.interface is Interface.VIRTIO for disk in self.disks)

    @property
    def has_scsi(self) -> bool:
        """True when there is a SCSI controller."""
        return self.scsi_controller or any(disk.interface is Interface.VIRTIO_SCSI for disk in self.disks)
