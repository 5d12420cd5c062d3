"""Kernels and the machines that are to run them."""

from __future__ import annotations

import pytest

from bootpath.boot.linux.kernel import check_kernel, machine_of
from bootpath.core.errors import BootError
from bootpath.formats.kernels.image import parse_kernel
from bootpath.formats.partitions.dps import Architecture
from tests.support.kernels import make_bzimage, make_image, make_zboot

PC, PC_32 = make_bzimage(b"packed"), make_bzimage(b"packed", loadflags=0)


def test_a_kernel_for_its_machine() -> None:
    assert check_kernel(PC, Architecture.X86_64, where="/k") == parse_kernel(PC)
    assert check_kernel(PC_32, Architecture.X86_64, where="/k").architecture is Architecture.X86
    assert check_kernel(make_image(), None, where="/k").architecture is Architecture.ARM64


@pytest.mark.parametrize(
    ("content", "architecture", "says"),
    [
        (make_image(), Architecture.X86_64, "expected x86-64, found Image for arm64"),
        (PC, Architecture.ARM64, "expected arm64, found bzImage for x86-64"),
        (make_zboot(b"packed"), Architecture.RISCV64, "expected riscv64, found Image in EFI zboot for arm64"),
    ],
)
def test_a_kernel_for_another_machine(content: bytes, architecture: Architecture, says: str) -> None:
    with pytest.raises(BootError, match=f"^/k: the kernel is for another machine; {says}$"):
        check_kernel(content, architecture, where="/k")


def test_what_is_no_kernel() -> None:
    with pytest.raises(BootError, match=r"^/k: the file is no Linux kernel that is known here; expected a bzImage, Im"):
        check_kernel(bytes(4096), None, where="/k")


def test_the_machine() -> None:
    assert machine_of(parse_kernel(PC_32), Architecture.X86_64, where="/k") is Architecture.X86_64
    assert machine_of(parse_kernel(make_image()), None, where="/k") is Architecture.ARM64
    with pytest.raises(BootError, match=r"/k: the kernel's machine is not known; .*; give --architecture"):
        machine_of(parse_kernel(make_zboot(b"packed", machine=0)), None, where="/k")
