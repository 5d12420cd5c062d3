"""Which kernel a file holds, and for which machine: told by the magic numbers of the files that Linux's build makes.

Sources: Linux Documentation, arch/x86/boot.rst "The real-mode kernel header" and xloadflags, arch/arm64/booting.rst
"Call the kernel image", arch/riscv/boot-image-header.rst; arch/arm/boot/compressed/head.S for the zImage, which no
document describes; drivers/firmware/efi/libstub/zboot-header.S; ELF gABI "ELF Header". Little-endian, but for ELF's own
choice::

    bzImage    0x202 "HdrS"    0x206 version u16    0x236 xloadflags u16, bit 0: 64 bits (since 2.12)
    Image      0x38 "ARM\\x64" (arm64), "RSC\\x05" (riscv)
    zImage     0x24 0x016f2818 u32
    EFI zboot  0 "MZ"    4 "zimg"    8 payload offset u32    12 payload size u32    0x3c PE header u32
    ELF        0 "\\x7fELF"    4 class    5 byte order    18 machine u16

An Image may also be packed by gzip as a whole ("Image.gz"). The header of an EFI zboot says how the kernel in it is
packed, and so do its first bytes (`packed`). Its machine is that of the PE header.

Invariant: the payload of a `KernelImage` lies inside the file.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum

from bootpath.core.errors import FormatError
from bootpath.core.extents import Extent
from bootpath.formats.kernels.packed import GZIP_MAGIC, unpack_head
from bootpath.formats.partitions.dps import Architecture

HEAD_BYTES = 4096
"""So many bytes at the beginning of a file tell what it is."""

_WHERE = "kernel"
_X86_MAGIC, _X86_MAGIC_OFFSET = b"HdrS", 0x202
_XLOADFLAGS_VERSION, _XLF_KERNEL_64 = 0x020C, 1
_IMAGE_MAGIC_OFFSET = 0x38
_IMAGES = {b"ARM\x64": Architecture.ARM64, b"RSC\x05": Architecture.RISCV64}
_ZIMAGE_MAGIC, _ZIMAGE_MAGIC_OFFSET = b"\x18\x28\x6f\x01", 0x24
_ZBOOT = struct.Struct("<2s2x4sII")
_PE_OFFSET = 0x3C
_PE = {
    0x01C2: Architecture.ARM,
    0x01C4: Architecture.ARM,
    0xAA64: Architecture.ARM64,
    0x5064: Architecture.RISCV64,
    0x6264: Architecture.LOONGARCH64,
}
_ELF_MAGIC = b"\x7fELF"
_ELF_HEADER_BYTES = 20
_ELF_BIG_ENDIAN = 2
_ELF = {
    (3, 1): Architecture.X86,
    (62, 2): Architecture.X86_64,
    (40, 1): Architecture.ARM,
    (183, 2): Architecture.ARM64,
    (243, 1): Architecture.RISCV32,
    (243, 2): Architecture.RISCV64,
    (22, 2): Architecture.S390X,
    (258, 2): Architecture.LOONGARCH64,
}
_OTHERS = (
    (b"\x27\x05\x19\x56", "a legacy image of U-Boot (uImage)"),
    (b"\xd0\x0d\xfe\xed", "a flattened image tree of U-Boot (FIT)"),
    (b"MZ", "an EFI program"),
)
"""What boot entries name as a kernel too, and only U-Boot or a firmware can start."""


class KernelFormat(Enum):
    """What Linux's build calls the file."""

    BZIMAGE = "bzImage"
    IMAGE = "Image"
    ZIMAGE = "zImage"
    ELF = "vmlinux"


class Wrapping(Enum):
    """What is around the kernel; a loader that is no firmware has to unpack it."""

    NONE = "nothing"
    GZIP = "gzip"
    ZBOOT = "EFI zboot"


@dataclass(frozen=True, slots=True)
class KernelImage:
    """`payload` is what is packed, when there is a wrapping. `architecture` is None for one without a name here."""

    format: KernelFormat
    architecture: Architecture | None
    wrapping: Wrapping = Wrapping.NONE
    payload: Extent | None = None

    def runs_on(self, architecture: Architecture) -> bool:
        """True when a machine of `architecture` starts it: a PC does both its kernels."""
        if architecture is Architecture.X86_64 and self.architecture is Architecture.X86:
            return True
        return self.architecture is architecture

    def __str__(self) -> str:
        name = "another architecture" if self.architecture is None else self.architecture.value
        wrapped = "" if self.wrapping is Wrapping.NONE else f" in {self.wrapping.value}"
        return f"{self.format.value}{wrapped} for {name}"


def parse_kernel(data: bytes, size_bytes: int | None = None) -> KernelImage:
    """What a file is, by its first `HEAD_BYTES` at least; its size is `size_bytes`, None when all of it is given.

    Raises FormatError when it is no Linux kernel that is known here.
    """
    size_bytes = len(data) if size_bytes is None else size_bytes
    if data.startswith(GZIP_MAGIC):
        image = _plain(unpack_head(data, HEAD_BYTES))
        if image is not None:
            return KernelImage(image.format, image.architecture, Wrapping.GZIP, Extent(0, size_bytes))
    found = _zboot(data, size_bytes) or _plain(data)
    if found is None:
        other = next((what for magic, what in _OTHERS if data.startswith(magic)), None)
        expected = "a bzImage, Image, zImage, EFI zboot or vmlinux"
        raise FormatError(
            "the file is no Linux kernel that is known here", where=_WHERE, found=other, expected=expected
        )
    return found


def is_elf(data: bytes) -> bool:
    """True for the beginning of an ELF file: a kernel before it is packed, one of its modules, a program."""
    return data.startswith(_ELF_MAGIC) and len(data) >= _ELF_HEADER_BYTES


def elf_architecture(data: bytes) -> Architecture | None:
    """What an ELF file (`is_elf`) is for; None for what has no name here."""
    return _ELF.get((int.from_bytes(data[18:20], "big" if data[5] == _ELF_BIG_ENDIAN else "little"), data[4]))


def _plain(data: bytes) -> KernelImage | None:
    """A kernel that nothing is around."""
    if data[_X86_MAGIC_OFFSET : _X86_MAGIC_OFFSET + 4] == _X86_MAGIC:
        return KernelImage(KernelFormat.BZIMAGE, _x86(data))
    image = _IMAGES.get(data[_IMAGE_MAGIC_OFFSET : _IMAGE_MAGIC_OFFSET + 4])
    if image is not None:
        return KernelImage(KernelFormat.IMAGE, image)
    if data[_ZIMAGE_MAGIC_OFFSET : _ZIMAGE_MAGIC_OFFSET + 4] == _ZIMAGE_MAGIC:
        return KernelImage(KernelFormat.ZIMAGE, Architecture.ARM)
    if is_elf(data):
        return KernelImage(KernelFormat.ELF, elf_architecture(data))
    return None


def _x86(data: bytes) -> Architecture:
    version, flags = (int.from_bytes(data[at : at + 2], "little") for at in (0x206, 0x236))
    # One of before 2.12 does not say, and a PC starts either.
    only_32 = version >= _XLOADFLAGS_VERSION and not flags & _XLF_KERNEL_64
    return Architecture.X86 if only_32 else Architecture.X86_64


def _zboot(data: bytes, size_bytes: int) -> KernelImage | None:
    if len(data) < _PE_OFFSET + 4:
        return None
    magic, kind, offset, length = _ZBOOT.unpack_from(data)
    if (magic, kind) != (b"MZ", b"zimg"):
        return None
    payload = Extent(offset, length)
    if payload.end > size_bytes:
        raise FormatError(
            "the payload is not inside the file",
            where="EFI zboot",
            found=f"an end at byte {payload.end}",
            expected=f"one at byte {size_bytes} at most",
        )
    place = int.from_bytes(data[_PE_OFFSET : _PE_OFFSET + 4], "little")
    machine = int.from_bytes(data[place + 4 : place + 6], "little") if data[place : place + 4] == b"PE\0\0" else 0
    return KernelImage(KernelFormat.IMAGE, _PE.get(machine), Wrapping.ZBOOT, payload)
