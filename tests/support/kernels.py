"""Kernels that are nothing but their headers."""

from __future__ import annotations

import struct

from tests.support.bootfiles import AA64, pe_image

NOTE_TYPE = 18
ENTRY = 0x1000360


def make_vmlinux(*, name: bytes = b"Xen\0", kind: int = NOTE_TYPE, body_bytes: int = 4096) -> bytes:
    """An ELF file with a section of two notes, of which the second says where to enter it."""
    notes = b"".join(
        struct.pack("<III", len(owner), len(value), number)
        + owner.ljust(-(-len(owner) // 4) * 4, b"\0")
        + value.ljust(-(-len(value) // 4) * 4, b"\0")
        for owner, value, number in ((b"GNU\0", b"id five", 3), (name, struct.pack("<Q", ENTRY), kind))
    )
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, 0, 0, 4096)
    note = struct.pack("<IIQQQQQQ", 4, 4, 64 + 2 * 56, 0, 0, len(notes), 0, 4)
    return header + load + note + notes + b"\x90" * body_bytes


def make_bzimage(
    payload: bytes, *, setup_sectors: int = 4, version: int = 0x20F, init_bytes: int = 1 << 20, loadflags: int = 1
) -> bytes:
    """A kernel file with this payload, which ends with the size of what is in it."""
    setup = bytearray((1 + (setup_sectors or 4)) * 512)
    setup[0x1F1] = setup_sectors
    setup[0x1FE:0x208] = b"\x55\xaa\xeb\x66HdrS" + struct.pack("<H", version)
    struct.pack_into("<H", setup, 0x236, loadflags)
    struct.pack_into("<II", setup, 0x248, 64, len(payload))
    struct.pack_into("<I", setup, 0x260, init_bytes)
    return bytes(setup) + bytes(64) + payload + bytes(8)


def make_image(magic: bytes = b"ARM\x64", *, machine: int = 0xAA64, body_bytes: int = 64) -> bytes:
    """An Image, which is an EFI program too: for arm64 or, with `RSC\x05` and 0x5064, for riscv64."""
    header = b"MZ\x40\xfa".ljust(0x38, b"\0") + magic + (0x40).to_bytes(4, "little")
    return header + b"PE\0\0" + machine.to_bytes(2, "little") + bytes(body_bytes)


def make_efi_image() -> bytes:
    """An Image for arm64 whose PE header is whole, so that it says its architecture too."""
    image = bytearray(pe_image([(".text", b"x")], machine=AA64))
    image[0x38:0x3C] = b"ARM\x64"
    return bytes(image)


def make_zimage() -> bytes:
    """A zImage for arm."""
    return bytes(0x24) + (0x016F2818).to_bytes(4, "little") + bytes(64)


def make_zboot(payload: bytes, *, machine: int = 0xAA64, kind: bytes = b"zstd22") -> bytes:
    """An EFI program that unpacks the kernel in it."""
    header = struct.pack("<2sH4sII8x32s", b"MZ", 0, b"zimg", 128, len(payload), kind)
    header = header.ljust(0x3C, b"\0") + (0x40).to_bytes(4, "little") + b"PE\0\0" + machine.to_bytes(2, "little")
    return header.ljust(128, b"\0") + payload + bytes(4)
