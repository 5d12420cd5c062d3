"""Kernels and the machines that are to run them."""

from __future__ import annotations

import pytest

from bootpath.boot.linux.kernel import check_kernel, doubt_of, machine_of, startable
from bootpath.core.errors import BootError, Error
from bootpath.formats.kernels.image import parse_kernel
from bootpath.formats.partitions.dps import Architecture
from tests.support.kernels import make_bzimage, make_image, make_zboot

PC, PC_32 = make_bzimage(b"packed"), make_bzimage(b"packed", loadflags=0)


def test_a_kernel_for_its_machine() -> None:
    assert check_kernel(PC, Architecture.X86_64, where="/k") == parse_kernel(PC)
    assert check_kernel(PC_32, Architecture.X86_64, where="/k") == parse_kernel(PC_32)
    assert check_kernel(make_image(), None, where="/k") == parse_kernel(make_image())


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


def test_what_is_no_kernel_that_is_known() -> None:
    """Loaders for other machines may know it."""
    assert check_kernel(bytes(4096), None, where="/k") is None
    assert doubt_of(None, where="/k") == ("/k is in no format of a Linux kernel that is known here",)
    assert doubt_of(parse_kernel(PC), where="/k") == ()
    with pytest.raises(Error, match=r"^/k: no machine starts this kernel: its format is not known here; "):
        startable(None, Architecture.X86_64, where="/k")


def test_the_machine() -> None:
    nowhere = parse_kernel(make_zboot(b"packed", machine=0))
    assert machine_of(parse_kernel(PC_32), Architecture.X86_64) is Architecture.X86_64
    assert machine_of(parse_kernel(make_image()), None) is Architecture.ARM64
    assert machine_of(nowhere, None) is None
    assert startable(nowhere, Architecture.ARM64, where="/k") is Architecture.ARM64
    with pytest.raises(Error, match=r"/k: the kernel's machine is not known; .*; give --architecture"):
        startable(nowhere, None, where="/k")
