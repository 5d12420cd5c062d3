"""The boards of QEMU that machines are made of: one for each architecture, with what depends on it.

Sources: QEMU's docs/system/i386/pc.rst, arm/virt.rst, riscv/virt.rst; the consoles' names are those of Linux's drivers
(8250, amba-pl011).

A PC is q35. The others are `virt`, a board that exists in QEMU only: no settings to choose, PCI Express as on a PC, and
a device tree that QEMU makes to fit (`compatible` is what its root says). Processors are chosen so that any kernel for
the architecture starts: a Cortex-A57 is what every arm64 kernel knows, and under the translator it is three times as
fast as "max" with its pointer authentication. `virt` of 32 bits has its PCI below 4 GiB, where every kernel finds it,
also one without LPAE.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bootpath.core.errors import MachineError
from bootpath.formats.partitions.dps import Architecture


@dataclass(frozen=True, slots=True)
class Board:
    """What a machine of `architecture` is started with: QEMU's `program`, `machine` and processor.

    `console` is what Linux calls the first serial port. `has_ahci`: the controller for SATA disks is a part of it.
    `vga`: its graphics cards are those of a PC. `compatible` is the root of its device tree, "" without one.
    """

    architecture: Architecture
    program: str
    machine: str
    cpu: str
    console: str
    compatible: str = ""
    has_ahci: bool = False
    vga: bool = False

    @property
    def is_pc(self) -> bool:
        """True for what has a BIOS, and ports for I/O."""
        return self.architecture is Architecture.X86_64


PC = Board(Architecture.X86_64, "qemu-system-x86_64", "q35", "max", "ttyS0", has_ahci=True, vga=True)
BOARDS: Mapping[Architecture, Board] = {
    Architecture.X86_64: PC,
    Architecture.X86: PC,
    Architecture.ARM64: Board(
        Architecture.ARM64, "qemu-system-aarch64", "virt", "cortex-a57", "ttyAMA0", "linux,dummy-virt"
    ),
    Architecture.ARM: Board(
        Architecture.ARM, "qemu-system-arm", "virt,highmem=off", "cortex-a15", "ttyAMA0", "linux,dummy-virt"
    ),
    Architecture.RISCV64: Board(Architecture.RISCV64, "qemu-system-riscv64", "virt", "rv64", "ttyS0", "riscv-virtio"),
}


def board_of(architecture: Architecture) -> Board:
    """The board for an architecture. Raises MachineError when there is none."""
    found = BOARDS.get(architecture)
    if found is None:
        known = ", ".join(each.value for each in BOARDS)
        raise MachineError(f"no machine is known for {architecture.value}", where="qemu", expected=f"one of {known}")
    return found
