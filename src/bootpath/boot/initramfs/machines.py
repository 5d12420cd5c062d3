"""That all of an initramfs is for one machine: what is in it comes from several places.

Kernel modules and busybox are those of the root directory, which may be another machine's; Python, and what is added,
are files of this one. A kernel refuses a module of another machine, and a program too, but for those of 32 bits that it
runs beside its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bootpath.core.errors import Error
from bootpath.formats.cpio import CpioEntry
from bootpath.formats.kernels.image import elf_architecture, is_elf
from bootpath.formats.partitions.dps import Architecture

_ALSO = {Architecture.X86_64: Architecture.X86, Architecture.ARM64: Architecture.ARM}


def check_machines(entries: Iterable[CpioEntry]) -> None:
    """Refuse an entry that is for another machine than the first ELF file among them. Raises Error."""
    machine: Architecture | None = None
    beside = ""
    for architecture, path in _machines(entries):
        if machine is None:
            machine, beside = architecture, path
        elif architecture not in (machine, _ALSO.get(machine)):
            raise Error(
                f"this program or library is for {architecture.value}, and {beside} is for {machine.value}",
                where=path,
                hint=f"Python, and what is added, are files of this machine: build it on one for {machine.value}",
            )


def _machines(entries: Iterable[CpioEntry]) -> Iterator[tuple[Architecture, str]]:
    for entry in entries:
        if is_elf(entry.data):
            architecture = elf_architecture(entry.data)
            if architecture is not None:
                yield architecture, entry.path
