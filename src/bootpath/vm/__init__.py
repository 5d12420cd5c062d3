"""Virtual machines: a QEMU that is described by values, says what happened, and never stays behind."""

from bootpath.vm.accelerator import AcceleratorChoice, AcceleratorChooser, choose_accelerator
from bootpath.vm.blocks import BlockStatistics, parse_block_statistics
from bootpath.vm.bootsector import serial_boot_sector
from bootpath.vm.commandline import command_line
from bootpath.vm.config import (
    Accelerator,
    Blob,
    Display,
    FirmwareSetting,
    MachineConfig,
    Smbios,
    Uefi,
)
from bootpath.vm.console import Console, ConsoleLine
from bootpath.vm.disks import Disk, Interface
from bootpath.vm.events import MonitorEvent
from bootpath.vm.firmware import find_qemu, private_uefi
from bootpath.vm.process import TiedProcess
from bootpath.vm.qemu import QEMU

__all__ = [
    "QEMU",
    "Accelerator",
    "AcceleratorChoice",
    "AcceleratorChooser",
    "Blob",
    "BlockStatistics",
    "Console",
    "ConsoleLine",
    "Disk",
    "Display",
    "FirmwareSetting",
    "Interface",
    "MachineConfig",
    "MonitorEvent",
    "Smbios",
    "TiedProcess",
    "Uefi",
    "choose_accelerator",
    "command_line",
    "find_qemu",
    "parse_block_statistics",
    "private_uefi",
    "serial_boot_sector",
]
