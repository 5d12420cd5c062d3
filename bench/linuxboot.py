"""What verifying costs a boot of an image-based Linux: seconds and bytes from the loader's start to the pivot.

    python -m bench.linuxboot [--rounds 3] [--page docs/benchmarks.md]

The same root, in partitions, in volumes of LVM2 and on raw flash; each without verity, with it, and with all of it
verified first; they take turns, and the medians are shown. Beside them the same disk by systemd-boot under UEFI, whose
seconds count from the machine's start. The system is that of the tests: a busybox, uncompressed in a squashfs.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.ddi import Signer
from tests.support.linuximage import make_linux_disk
from tests.support.linuxsystem import LinuxSystem, make_esp, make_flash, make_initrd, make_logical_volumes, make_system

from bench.page import put_section
from bootpath.boot.linux.choice import LinuxRequest
from bootpath.boot.linux.machine import PIVOT_PATTERN, LinuxMachine, LinuxRun, LinuxSetup, boot_linux
from bootpath.boot.machine.firmware import Firmware, FirmwareMachine, FirmwareSetup
from bootpath.formats.partitions.imagepolicy import parse_image_policy
from bootpath.report.units import format_bytes
from bootpath.vm.accelerator import choose_accelerator
from bootpath.vm.config import Accelerator

MIB = 1 << 20
MEMORY_BYTES = 384 * MIB
HEADING = "## Verified boots"
EXPLANATION = (
    "`bootpath boot` of the same root until the initramfs leaves for it: without verity, through verity, and with "
    "all of it verified first. *Kernel, s* is the guest's clock at that moment, *loader* what was read before QEMU "
    "started, *guest* what QEMU read from then on, *different* both, with what was read twice counted once. "
    "*Loader, s* ends when QEMU runs: unpacking the kernel is part of it. Flash is a disk with block2mtd on it. "
    "systemd-boot has its kernel and initramfs from the EFI partition, unverified."
)


@dataclass
class Measured:
    """The boots of one kind."""

    seconds: list[float] = field(default_factory=list)
    loader_seconds: list[float] = field(default_factory=list)
    kernel_seconds: list[float] = field(default_factory=list)
    loader_bytes: int = 0
    guest_bytes: int = 0
    distinct_bytes: int = 0

    def add(self, run: LinuxRun) -> None:
        """One more. Raises what failed."""
        if run.failure is not None:
            raise run.failure
        assert run.seconds_to_pivot is not None
        assert run.seconds_to_kernel is not None
        assert run.pivot is not None
        self.seconds.append(run.seconds_to_pivot)
        self.loader_seconds.append(run.seconds_to_kernel)
        self.kernel_seconds.append(run.pivot.seconds)
        self.loader_bytes, self.guest_bytes = run.loader_bytes, run.guest_bytes
        self.distinct_bytes = sum(area.distinct_bytes for area in run.reads)

    def row(self, name: str, kind: str) -> str:
        """The line of the table."""
        loader = f"{statistics.median(self.loader_seconds):.2f}" if self.loader_seconds else "–"
        cells = (
            name,
            kind,
            f"{statistics.median(self.seconds):.1f}",
            loader,
            f"{statistics.median(self.kernel_seconds):.1f}",
            format_bytes(self.loader_bytes) if self.loader_seconds else "–",
            format_bytes(self.guest_bytes),
            format_bytes(self.distinct_bytes),
        )
        return f"| {' | '.join(cells)} |"


def requests(system: LinuxSystem) -> dict[str, LinuxRequest]:
    """The kinds to compare."""
    return {
        "without verity": LinuxRequest(policy=parse_image_policy("root=unprotected:=open")),
        "verity": LinuxRequest(certificates=system.certificates),
        "all verified first": LinuxRequest(certificates=system.certificates, full=True),
    }


def make_disks(directory: Path) -> tuple[LinuxSystem, dict[str, Path]]:
    """The system on each kind of disk."""
    initrd = make_initrd(directory / "initrd", "lvm", "verity", "ubi", modules=("block2mtd",))
    system = make_system(directory / "system", initrd, Signer.make(directory))
    options = f"console=ttyS0 panic=-1 quiet roothash={system.volume.root_hash.hex()}"
    esp = make_esp(directory, system, options)
    return system, {
        "partitions": make_linux_disk(directory / "disk.img", [("one_1", system.volume)], esp=esp).path,
        "LVM2": make_logical_volumes(system, directory / "pv.img").path,
        "flash": make_flash(system, directory / "flash.img"),
    }


def compare(directory: Path, rounds: int) -> Iterator[str]:
    """The table, line by line."""
    accelerator = choose_accelerator().accelerator
    system, disks = make_disks(directory)
    measured: dict[tuple[str, str], Measured] = {}
    for _ in range(rounds):
        for name, disk in disks.items():
            for kind, request in requests(system).items():
                run = boot_linux(
                    lambda setup, disk=disk: LinuxMachine(disk, setup, accelerator=accelerator),  # type: ignore[misc]
                    LinuxSetup(request, memory_bytes=MEMORY_BYTES),
                    timeout_seconds=1500,
                )
                measured.setdefault((name, kind), Measured()).add(run)
        systemd_boot(disks["partitions"], measured.setdefault(("partitions", "systemd-boot"), Measured()), accelerator)
    root = len(system.volume.data)
    yield f"A root of {format_bytes(root)}, QEMU with {accelerator.value}, {rounds} boots each."
    yield ""
    yield "| root in | how | pivot, s | loader, s | kernel, s | loader | guest | different |"
    yield "|---|---|---:|---:|---:|---:|---:|---:|"
    for (name, kind), each in measured.items():
        yield each.row(name, kind)


def systemd_boot(disk: Path, measured: Measured, accelerator: Accelerator) -> None:
    """The same disk by its own loader."""
    setup = FirmwareSetup(Firmware.UEFI, memory_bytes=MEMORY_BYTES)
    with FirmwareMachine(disk, setup, accelerator=accelerator) as machine:
        said = machine.wait_for(PIVOT_PATTERN, 1500)[0]
        measured.seconds.append(machine.timeline.elapsed() - machine.started_seconds)
        run = machine.finish()
    measured.kernel_seconds.append(float(said.partition("@")[2].split()[0]))
    measured.guest_bytes = run.read_bytes
    measured.distinct_bytes = sum(area.distinct_bytes for area in run.reads)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--page", type=Path, metavar="F", help="renew the section of this page")
    arguments = parser.parse_args()
    lines = []
    with tempfile.TemporaryDirectory() as directory:
        for text in compare(Path(directory), arguments.rounds):
            print(text, flush=True)
            lines.append(text)
    if arguments.page is not None:
        put_section(arguments.page, HEADING, EXPLANATION, "\n".join(lines))


if __name__ == "__main__":
    main()
