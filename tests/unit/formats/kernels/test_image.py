"""Which kernel a file holds, and for which machine."""

from __future__ import annotations

import gzip
import struct

import pytest

from bootpath.core.errors import FormatError
from bootpath.core.extents import Extent
from bootpath.formats.kernels.image import HEAD_BYTES, KernelFormat, KernelImage, Wrapping, parse_kernel
from bootpath.formats.partitions.dps import Architecture
from tests.support.kernels import make_bzimage, make_image, make_vmlinux, make_zboot, make_zimage
from tests.support.tools import guest_kernel

ARM64 = KernelImage(KernelFormat.IMAGE, Architecture.ARM64)
RISCV = make_image(b"RSC\x05", machine=0x5064)


def elf(machine: int, bits: int = 2, order: int = 1) -> bytes:
    return b"\x7fELF" + bytes((bits, order, 1)) + bytes(9) + struct.pack("<>"[order - 1] + "HH", 2, machine)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (make_bzimage(b"packed"), "bzImage for x86-64"),
        (make_bzimage(b"packed", loadflags=0), "bzImage for x86"),
        (make_bzimage(b"packed", loadflags=0, version=0x20B), "bzImage for x86-64"),
        (make_image(), "Image for arm64"),
        (RISCV, "Image for riscv64"),
        (make_zimage(), "zImage for arm"),
        (gzip.compress(make_image(), mtime=0), "Image in gzip for arm64"),
        (make_zboot(b"packed"), "Image in EFI zboot for arm64"),
        (make_zboot(b"packed", machine=0x5064), "Image in EFI zboot for riscv64"),
        (make_zboot(b"packed", machine=0x1234), "Image in EFI zboot for another architecture"),
        (make_vmlinux(), "vmlinux for x86-64"),
        (elf(243), "vmlinux for riscv64"),
        (elf(243, bits=1), "vmlinux for riscv32"),
        (elf(22, order=2), "vmlinux for s390x"),
        (elf(21), "vmlinux for another architecture"),
    ],
)
def test_kernels(data: bytes, says: str) -> None:
    assert str(parse_kernel(data)) == says
    assert parse_kernel(data[:HEAD_BYTES], len(data)) == parse_kernel(data), "the head says it all"


def test_the_kernel_of_the_distribution() -> None:
    assert str(parse_kernel(guest_kernel().read_bytes())) == "bzImage for x86-64"


def test_where_the_payload_lies() -> None:
    data = make_zboot(b"packed")
    image = parse_kernel(data)
    assert image.wrapping is Wrapping.ZBOOT
    assert image.payload is not None
    assert data[image.payload.offset : image.payload.end] == b"packed"
    packed = gzip.compress(make_image(body_bytes=100_000), 0, mtime=0)
    assert parse_kernel(packed[:HEAD_BYTES], len(packed)).payload == Extent(0, len(packed))


def test_what_runs_where() -> None:
    assert ARM64.runs_on(Architecture.ARM64)
    assert not ARM64.runs_on(Architecture.ARM)
    pc = parse_kernel(make_bzimage(b"packed", loadflags=0))
    assert pc.runs_on(Architecture.X86_64), "a PC starts those of 32 bits too"
    assert not parse_kernel(make_bzimage(b"packed")).runs_on(Architecture.X86)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is no Linux kernel that is known here; expected a bzImage, Image, zImage, EFI zboot or vmlinux$"),
        (bytes(4096), "is no Linux kernel"),
        (b"\x7fELF", "is no Linux kernel"),
        (gzip.compress(b"text", mtime=0), "is no Linux kernel"),
        (b"\x1f\x8b damaged", "is no Linux kernel"),
        (b"\x27\x05\x19\x56" + bytes(64), "found a legacy image of U-Boot"),
        (b"\xd0\x0d\xfe\xed" + bytes(64), "found a flattened image tree of U-Boot"),
        (b"MZ" + bytes(100), "found an EFI program"),
        (make_zboot(b"packed")[:130], "EFI zboot: the payload is not inside the file; .* at byte 130 at most, .* 134"),
    ],
)
def test_what_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(FormatError, match=says):
        parse_kernel(data)
