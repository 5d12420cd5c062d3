"""The sections of a PE file: their names and where their bytes are, and nothing else of it.

Source: Microsoft "PE Format", "MS-DOS Stub", "COFF File Header", "Optional Header", "Section Table"; little-endian::

    0 "MZ"   60 offset of the PE header, u32
    PE header:  0 "PE\\0\\0"   4 machine, u16   6 sections, u16   20 size of the optional header, u16   24 that header
    optional header:  0 magic, u16 (0x10b, 0x20b)   68 subsystem, u16
    section, 40 bytes:  0 name, 8   8 virtual size, u32   16 size of raw data, u32   20 pointer to raw data, u32

Only the headers are read, at most 4 KiB, so that a kernel of 100 MiB costs one small read: pefile, the library for the
rest of PE, wants the whole file in memory.

Invariants: every section's bytes are inside the file; names are ASCII.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from bootpath.core.errors import FormatError

ReadAt: TypeAlias = Callable[[int, int], bytes]
"""Up to `length` bytes from byte `offset`; fewer only at the end."""

PE_SPEC = "PE Format"
MAX_SECTIONS = 96  # "the Windows loader limits the number of sections to 96", as systemd does
SUBSYSTEM_EFI_APPLICATION = 0x0A

_DOS_BYTES = 64
_COFF = struct.Struct("<4sHHIIIHH")
_SECTION = struct.Struct("<8sIIIIIIHHI")
_SUBSYSTEM_OFFSET = 68
_MAGICS = (0x10B, 0x20B)


@dataclass(frozen=True, slots=True)
class PeSection:
    """A section: `size_bytes` of the file from byte `offset` are its content.

    The content is what the file has of it: padding behind the virtual size is left out. So are the zeros of a section
    that is larger in memory ("If this value is greater than SizeOfRawData, the section is zero-padded"), as ukify makes
    `.linux` since version 257, with the size that the kernel will have.
    """

    name: str
    offset: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class PeImage:
    """A PE file's machine (IMAGE_FILE_MACHINE_*), subsystem, and sections in the order of its table."""

    machine: int
    subsystem: int
    sections: tuple[PeSection, ...]


def read_pe(read: ReadAt, size_bytes: int) -> PeImage:
    """The sections of a file of `size_bytes`. Raises FormatError, and what `read` does."""
    dos = _exactly(read, 0, _DOS_BYTES, size_bytes)
    if dos[:2] != b"MZ":
        raise _fault("the file is not a PE file", repr(dos[:2]), "MZ")
    start = int.from_bytes(dos[60:64], "little")
    coff = _exactly(read, start, _COFF.size, size_bytes)
    signature, machine, count, _, _, _, optional_bytes, _ = _COFF.unpack(coff)
    if signature != b"PE\0\0":
        raise _fault("the signature of the PE header is wrong", repr(signature), "PE")
    if count > MAX_SECTIONS:
        raise _fault("the file has too many sections", f"{count} sections", f"at most {MAX_SECTIONS}")
    if optional_bytes < _SUBSYSTEM_OFFSET + 2:
        raise _fault("the optional header is too short", f"{optional_bytes} bytes", f"at least {_SUBSYSTEM_OFFSET + 2}")
    optional = _exactly(read, start + _COFF.size, _SUBSYSTEM_OFFSET + 2, size_bytes)
    magic = int.from_bytes(optional[:2], "little")
    if magic not in _MAGICS:
        raise _fault("the type of the optional header is unknown", f"{magic:#x}", "0x10b or 0x20b")
    table = start + _COFF.size + optional_bytes
    rows = _exactly(read, table, count * _SECTION.size, size_bytes)
    sections = tuple(_section(row, size_bytes) for row in _SECTION.iter_unpack(rows))
    return PeImage(machine, int.from_bytes(optional[_SUBSYSTEM_OFFSET:], "little"), sections)


def _section(row: tuple[bytes, int, int, int, int, int, int, int, int, int], size_bytes: int) -> PeSection:
    raw_name, virtual, _, raw, pointer, *_ = row
    try:
        name = raw_name.rstrip(b"\0").decode("ascii")
    except UnicodeDecodeError:
        raise _fault("the name of a section is not ASCII", repr(raw_name), "ASCII") from None
    if raw and pointer + raw > size_bytes:
        raise _fault(f"section {name!r} ends beyond the file", f"byte {pointer + raw}", f"at most byte {size_bytes}")
    # A virtual size of 0 is what some linkers write for "as large as the raw data".
    return PeSection(name, pointer if raw else 0, min(virtual or raw, raw))


def _exactly(read: ReadAt, offset: int, length: int, size_bytes: int) -> bytes:
    if offset + length > size_bytes:
        raise _fault("the headers end beyond the file", f"byte {offset + length}", f"at most byte {size_bytes}")
    data = read(offset, length) if length else b""
    if len(data) != length:
        raise _fault(f"the read of {length} bytes at {offset} is short", f"{len(data)} bytes", "all of them")
    return data


def _fault(what: str, found: str, expected: str) -> FormatError:
    return FormatError(what, where="pe", found=found, expected=expected, spec=PE_SPEC)
