"""Kernels that are unpacked for the machine, and those that are left to unpack themselves."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from bootpath.core.errors import LimitError, MachineError
from bootpath.core.limits import limits_raised
from bootpath.vm.kernel import bare_kernel, unpacked_kernel
from tests.support.kernels import make_bzimage, make_image, make_vmlinux, make_zboot, make_zimage

VMLINUX = make_vmlinux()
SIZE = len(VMLINUX).to_bytes(4, "little")  # the kernel's build appends it, where the format does not end with it


def xz(data: bytes) -> bytes:
    filters = [{"id": lzma.FILTER_X86}, {"id": lzma.FILTER_LZMA2, "dict_size": 128 << 20}]
    return lzma.compress(data, check=lzma.CHECK_CRC32, filters=filters) + SIZE


def unpacked(directory: Path, data: bytes) -> bytes | None:
    path = directory / "vmlinuz"
    path.write_bytes(data)
    return unpacked_kernel(path)


@pytest.mark.parametrize(
    "compress",
    [
        gzip.compress,
        lambda data: bz2.compress(data) + SIZE,
        lambda data: lzma.compress(data, lzma.FORMAT_ALONE) + SIZE,
        xz,
        lambda data: zstandard.ZstdCompressor(level=22, write_checksum=True).compress(data) + SIZE,
    ],
    ids=["gzip", "bzip2", "lzma", "xz", "zstd"],
)
def test_the_kernel_s_compressions(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    packed = compress(VMLINUX)
    assert unpacked(tmp_path, make_bzimage(packed)) == VMLINUX
    # One that is damaged is left as it is, for the machine to show what becomes of it.
    for place in range(len(packed)):
        broken = packed[:place] + bytes([packed[place] ^ 0x5A]) + packed[place + 1 :]
        assert unpacked(tmp_path, make_bzimage(broken)) in (None, VMLINUX)
    for length in range(5, len(packed), 5):
        assert unpacked(tmp_path, make_bzimage(packed[:length] + SIZE)) in (None, VMLINUX)


def test_what_is_left_as_it_is(tmp_path: Path) -> None:
    assert unpacked(tmp_path, VMLINUX) is None, "QEMU takes an ELF file by itself"
    assert unpacked(tmp_path, make_bzimage(b"\x02\x21L\x18" + bytes(100))) is None, "lz4 is not worth it"
    assert unpacked(tmp_path, make_bzimage(xz(make_vmlinux(kind=17)))) is None, "it cannot be entered"
    assert unpacked(tmp_path, make_bzimage(xz(VMLINUX), init_bytes=64)) is None, "it is larger than it says"
    for wrong in (len(VMLINUX) - 1, len(VMLINUX) + 1):
        packed = xz(VMLINUX)[:-4] + wrong.to_bytes(4, "little")
        assert unpacked(tmp_path, make_bzimage(packed)) is None


@pytest.mark.parametrize("kernel", [make_image(), make_bzimage(b"packed"), make_zimage(), VMLINUX])
def test_a_kernel_with_nothing_around_it(kernel: bytes) -> None:
    assert bare_kernel(kernel) == kernel


def test_a_kernel_in_what_a_firmware_would_unpack() -> None:
    image = make_image(body_bytes=10_000)
    assert bare_kernel(gzip.compress(image)) == image
    for packed in (gzip.compress(image), zstandard.ZstdCompressor().compress(image), lzma.compress(image)):
        assert bare_kernel(make_zboot(packed)) == image
    with pytest.raises(MachineError, match="EFI zboot: the kernel cannot be unpacked; expected gzip, bzip2, LZMA, xz"):
        bare_kernel(make_zboot(b"\x02\x21L\x18" + bytes(100)))
    with limits_raised(kernel_bytes=9999), pytest.raises(LimitError, match="too large once it is unpacked"):
        bare_kernel(gzip.compress(image))
