"""Small ELF files for tests, made from the specification: a kernel module's .modinfo, a library's dynamic section."""

from __future__ import annotations

import struct
from collections.abc import Sequence

_EHDR = "<16sHHIQQQIHHHHHH"
_SHDR = "<IIQQQQIIQQ"
_PHDR = "<IIQQQQQQ"
_IDENT = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
ET_REL, ET_DYN = 1, 3
EM_X86_64 = 62


def _ehdr(kind: int, *, machine: int, phnum: int = 0, shoff: int = 0, shnum: int = 0, shstrndx: int = 0) -> bytes:
    phoff = 64 if phnum else 0
    return struct.pack(_EHDR, _IDENT, kind, machine, 1, 0, phoff, shoff, 0, 64, 56, phnum, 64, shnum, shstrndx)


def make_module(**info: str) -> bytes:
    """A relocatable object with nothing but a .modinfo section."""
    modinfo = b"".join(f"{key}={value}\0".encode() for key, value in {"license": "MIT", **info}.items())
    names = b"\0.modinfo\0.shstrtab\0"
    shoff = 64 + len(modinfo) + len(names)
    sections = [
        struct.pack(_SHDR, *(0,) * 10),
        struct.pack(_SHDR, 1, 1, 2, 0, 64, len(modinfo), 0, 0, 1, 0),
        struct.pack(_SHDR, 10, 3, 0, 0, 64 + len(modinfo), len(names), 0, 0, 1, 0),
    ]
    header = _ehdr(ET_REL, machine=EM_X86_64, shoff=shoff, shnum=3, shstrndx=2)
    return header + modinfo + names + b"".join(sections)


def make_shared(
    needed: Sequence[str] = (),
    *,
    runpath: str | None = None,
    rpath: str | None = None,
    interpreter: str | None = None,
    machine: int = EM_X86_64,
    tail: bytes = b"",
) -> bytes:
    """A shared object, or with an interpreter a program; `tail` lies behind what is loaded."""
    strings = b"\0"
    tags = []
    values = [(1, name) for name in needed] + [(29, runpath)] * bool(runpath) + [(15, rpath)] * bool(rpath)
    for tag, value in values:
        tags.append((tag, len(strings)))
        strings += str(value).encode() + b"\0"
    interp = b"" if interpreter is None else interpreter.encode() + b"\0"
    count = 2 if interpreter is None else 3
    at = 64 + 56 * count
    dynamic_at = at + len(interp) + len(strings)
    tags += [(5, at + len(interp)), (10, len(strings)), (0, 0)]
    dynamic = b"".join(struct.pack("<QQ", *tag) for tag in tags)
    end = dynamic_at + len(dynamic)
    segments = [(1, 0, end), (2, dynamic_at, len(dynamic))]
    if interpreter is not None:
        segments.append((3, at, len(interp)))
    headers = b"".join(
        struct.pack(_PHDR, kind, 4, start, start, start, size, size, 8) for kind, start, size in segments
    )
    return _ehdr(ET_DYN, machine=machine, phnum=count) + headers + interp + strings + dynamic + tail
