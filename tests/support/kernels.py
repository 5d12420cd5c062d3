"""Kernels for x86 that are nothing but their headers."""

from __future__ import annotations

import struct

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


def make_bzimage(payload: bytes, *, setup_sectors: int = 4, version: int = 0x20F, init_bytes: int = 1 << 20) -> bytes:
    """A kernel file with this payload, which ends with the size of what is in it."""
    setup = bytearray((1 + (setup_sectors or 4)) * 512)
    setup[0x1F1] = setup_sectors
    setup[0x1FE:0x208] = b"\x55\xaa\xeb\x66HdrS" + struct.pack("<H", version)
    struct.pack_into("<II", setup, 0x248, 64, len(payload))
    struct.pack_into("<I", setup, 0x260, init_bytes)
    return bytes(setup) + bytes(64) + payload + bytes(8)
