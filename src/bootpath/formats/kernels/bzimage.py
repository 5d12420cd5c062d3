"""A Linux kernel for x86 as distributions ship it: a program that unpacks the kernel proper, an ELF file.

Sources: Linux Documentation/arch/x86/boot.rst, "Details of Header Fields", for the bzImage; for the note of type 18
(PHYS32_ENTRY), by which a kernel says that it can be entered without its unpacker, as Xen and QEMU do (PVH), the ELF
gABI, "Note Section", and Xen's elfnote.h.

    0x1f1 setup_sects u8    0x1fe 0xaa55 u16    0x202 "HdrS"    0x206 version u16
    0x248 payload_offset u32    0x24c payload_length u32    0x260 init_size u32

The last four bytes of the payload are the size of what is in it: gzip has it there, the build appends it to the others.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from bootpath.core.errors import FormatError
from bootpath.core.extents import Extent

HEADER_BYTES = 0x264
SECTOR_BYTES = 512
ELF_MAGIC = b"\x7fELF"

_SPEC = "Linux Documentation/arch/x86/boot.rst"
_INIT_SIZE_VERSION = 0x020A
_DEFAULT_SETUP_SECTORS = 4
_SIZE_BYTES = 4
_ELF64_LITTLE_ENDIAN = b"\x02\x01"
_ELF_HEADER = struct.Struct("<32xQ14xHH4x")  # phoff; phentsize, phnum
_PROGRAM_HEADER = struct.Struct("<I4xQ16xQ16x")  # type; offset; file size
_PT_NOTE = 4
_NOTE = struct.Struct("<III")  # sizes of name and description, type
_XEN, _PHYS32_ENTRY = b"Xen\0", 18


@dataclass(frozen=True, slots=True)
class BzImage:
    """`payload` is where the compressed kernel lies in the file, with `kernel_bytes` in it."""

    version: int
    payload: Extent
    kernel_bytes: int


def parse_bzimage(data: bytes) -> BzImage:
    """The header of a whole kernel file. Raises FormatError when it is none, or of a protocol before 2.10."""
    if len(data) < HEADER_BYTES or data[0x202:0x206] != b"HdrS" or data[0x1FE:0x200] != b"\x55\xaa":
        raise FormatError("there is no HdrS header", where="bzImage", spec=_SPEC)
    (version,) = struct.unpack_from("<H", data, 0x206)
    if version < _INIT_SIZE_VERSION:
        raise _fault("the kernel's boot protocol is too old", f"{version:#06x}", "0x020a or newer")
    # "For backwards compatibility, if the setup_sects field contains 0, the real value is 4."
    setup_bytes = (1 + (data[0x1F1] or _DEFAULT_SETUP_SECTORS)) * SECTOR_BYTES
    offset, length = struct.unpack_from("<II", data, 0x248)
    (init_bytes,) = struct.unpack_from("<I", data, 0x260)
    payload = Extent(setup_bytes + offset, length)
    if not _SIZE_BYTES < length <= len(data) - payload.offset:
        raise _fault(
            "the payload is not inside the file",
            payload.end,
            f"an end at byte {len(data)} at most, and more than its size in it",
        )
    kernel_bytes = int.from_bytes(data[payload.end - _SIZE_BYTES : payload.end], "little")
    if kernel_bytes > init_bytes:
        raise _fault(
            "the kernel is larger than its memory", f"{kernel_bytes} bytes", f"at most init_size, {init_bytes} bytes"
        )
    return BzImage(version, payload, kernel_bytes)


def find_pvh_entry(kernel: bytes) -> int | None:
    """Where an unpacked kernel (ELF) wants to be entered by who loads it; None when it cannot, or is no such file."""
    if kernel[:4] != ELF_MAGIC or kernel[4:6] != _ELF64_LITTLE_ENDIAN or len(kernel) < _ELF_HEADER.size:
        return None
    table, entry_bytes, count = _ELF_HEADER.unpack_from(kernel)
    if entry_bytes < _PROGRAM_HEADER.size:
        return None
    for position in range(table, table + count * entry_bytes, entry_bytes):
        if position + _PROGRAM_HEADER.size > len(kernel):
            return None
        kind, offset, length = _PROGRAM_HEADER.unpack_from(kernel, position)
        if kind == _PT_NOTE:
            entry = _entry_in_notes(kernel[offset : offset + length])
            if entry is not None:
                return entry
    return None


def _entry_in_notes(notes: bytes) -> int | None:
    position = 0
    while position + _NOTE.size <= len(notes):
        name_bytes, length, kind = _NOTE.unpack_from(notes, position)
        name = position + _NOTE.size
        # "... padding is present, if necessary, to ensure 4-byte alignment"
        description = name + (name_bytes + 3 & ~3)
        end = description + length
        if kind == _PHYS32_ENTRY and notes[name : name + name_bytes] == _XEN and length in (4, 8) and end <= len(notes):
            return int.from_bytes(notes[description:end], "little")
        position = end + 3 & ~3
    return None


def _fault(what: str, found: object, expected: str) -> FormatError:
    return FormatError(what, where="bzImage", found=found, expected=expected, spec=_SPEC)
