"""Which accelerator works here, found out by using it.

A /dev/kvm that is there says little: in a virtual machine without nested virtualisation, or under a restricted one, KVM
opens and then refuses, or takes the guest and never executes an instruction. So a boot sector is run: it has to say its
word on the serial port within a deadline, or the translator (TCG) is used, which always works. Where there is no
/dev/kvm, nothing is tried.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bootpath.core.errors import MachineError
from bootpath.vm.bootsector import DEBUG_EXIT_PORT, MIN_DISK_BYTES, serial_boot_sector
from bootpath.vm.config import MIB, Accelerator, MachineConfig
from bootpath.vm.disks import Disk, Interface
from bootpath.vm.qemu import QEMU

KVM_DEVICE = Path("/dev/kvm")
START_SECONDS = 0.5
RUN_SECONDS = 0.5
_WORD = "bootpath: an instruction was executed"


@dataclass(frozen=True, slots=True)
class AcceleratorChoice:
    """What to use, why, and how long it took to find out."""

    accelerator: Accelerator
    reason: str
    seconds: float


def choose_accelerator(
    *,
    binary: str | None = None,
    device: Path = KVM_DEVICE,
    start_seconds: float = START_SECONDS,
    run_seconds: float = RUN_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> AcceleratorChoice:
    """KVM if it runs a guest: QEMU has to answer within `start_seconds`, the guest within `run_seconds` more."""
    begin = clock()
    if not device.exists():
        return AcceleratorChoice(Accelerator.TCG, f"there is no {device}", clock() - begin)
    if not os.access(device, os.R_OK | os.W_OK):
        return AcceleratorChoice(Accelerator.TCG, f"{device} is not for this user (see the group kvm)", clock() - begin)
    try:
        _run(Accelerator.KVM, binary, start_seconds, run_seconds)
    except MachineError as error:
        said = error.diagnostics.splitlines()
        reason = f"KVM cannot run a guest: {said[-1] if said else error.what}"
        return AcceleratorChoice(Accelerator.TCG, reason, clock() - begin)
    return AcceleratorChoice(Accelerator.KVM, "KVM ran a guest", clock() - begin)


class AcceleratorChooser:
    """Chooses when it is first asked, and keeps the choice."""

    def __init__(self, choose: Callable[[], AcceleratorChoice] = choose_accelerator) -> None:
        self._choose = choose
        self._lock = threading.Lock()
        self._choice: AcceleratorChoice | None = None

    def choice(self) -> AcceleratorChoice:
        """The choice; raises nothing for an accelerator that does not work."""
        with self._lock:
            if self._choice is None:
                self._choice = self._choose()
            return self._choice


def _run(accelerator: Accelerator, binary: str | None, start_seconds: float, run_seconds: float) -> None:
    with tempfile.TemporaryDirectory(prefix="bootpath-") as directory:
        sector = Path(directory) / "boot.img"
        sector.write_bytes(serial_boot_sector(_WORD.encode()).ljust(MIN_DISK_BYTES, b"\0"))
        config = MachineConfig(
            memory_bytes=16 * MIB,
            disks=(Disk("boot", sector, Interface.AHCI),),
            debug_exit_port=DEBUG_EXIT_PORT,
        )
        machine = QEMU(config, accelerator=accelerator, binary=binary)
        machine.start(start_seconds)
        with contextlib.closing(machine):
            try:
                machine.console.wait_for(_WORD, run_seconds)
            finally:
                # A QEMU that is stuck in the kernel would take its time for a polite end.
                machine.power_cut()
