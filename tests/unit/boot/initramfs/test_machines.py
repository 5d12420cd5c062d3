"""All of an initramfs is for one machine."""

from __future__ import annotations

import pytest

from bootpath.boot.initramfs.machines import check_machines
from bootpath.core.errors import Error
from bootpath.formats.cpio import CpioEntry
from tests.support.elf import make_shared

X86, X86_64, ARM, ARM64, UNKNOWN = 3, 62, 40, 183, 0x1234


def entries(*machines: int) -> list[CpioEntry]:
    found = [CpioEntry.file("etc/motd", b"hello")]
    for number, machine in enumerate(machines):
        data = bytearray(make_shared(machine=machine))
        if machine in (X86, ARM):
            data[4] = 1  # a class of 32 bits
        found.append(CpioEntry.file(f"file{number}", bytes(data), 0o755))
    return found


@pytest.mark.parametrize("machines", [(), (X86_64, X86_64, X86), (ARM64, ARM, ARM64), (ARM64, UNKNOWN), (UNKNOWN, ARM)])
def test_what_goes_together(machines: tuple[int, ...]) -> None:
    check_machines(entries(*machines))


@pytest.mark.parametrize("machines", [(ARM64, X86_64), (X86_64, ARM), (X86, X86_64)])
def test_what_does_not(machines: tuple[int, ...]) -> None:
    with pytest.raises(Error, match=r"file1: this program or library is for .*, and file0 is for .*; Python, and what"):
        check_machines(entries(*machines))
