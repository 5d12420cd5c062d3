"""A stub for a shared library: every function of it returns one number, such as "not supported".

For a library that a program links with and can do without, and that is larger than the program itself: lvm2 is linked
with libsystemd to speak to the journal and to D-Bus, and libsystemd brings libgcrypt and three compressions. The stub
has the same soname and the same versioned symbols, as many as its users need. A recipe chooses which libraries are
replaced, and by which answer; its author is responsible for the choice.

Sources: System V ABI, "Dynamic Linking" (DT_HASH); Linux Standard Base 5.0, "Symbol Versioning"; the processors' ABIs.
The file, all of it in one segment that is read and executed, and a second one that names the dynamic section::

    ELF header | program headers | .dynsym | .dynstr | .hash | .gnu.version | .gnu.version_d | code | .dynamic

There are no relocations. At run time only the dynamic loader writes, into .dynamic: that segment is writable, and
begins on a page of its own. Symbols and versions are sorted: the same needs give the same bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO

from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection, GNUVerSymSection
from elftools.elf.sections import SymbolTableSection

from bootpath.boot.initramfs.elfclosure import BROKEN_ELF
from bootpath.core.errors import Error, FormatError

_PAGE_BYTES = 1 << 16  # the largest page of the three machines
_MACHINES = {"EM_X86_64": 62, "EM_AARCH64": 183, "EM_RISCV": 243}
_FLAGS = {243: 0x4}  # EF_RISCV_FLOAT_ABI_DOUBLE: glibc passes over a library whose floating-point ABI is not its own
_ANSWERS = range(-2048, 1)  # what one instruction of each machine can hold
_ET_DYN, _PT_LOAD, _PT_DYNAMIC = 3, 1, 2
_PF_X, _PF_W, _PF_R = 1, 2, 4
_EHDR_BYTES, _PHDR_BYTES, _SYM_BYTES = 64, 56, 24
_GLOBAL_FUNCTION = 0x12  # STB_GLOBAL << 4 | STT_FUNC
_DT_HASH, _DT_STRTAB, _DT_SYMTAB, _DT_STRSZ, _DT_SYMENT, _DT_SONAME = 4, 5, 6, 10, 11, 14
_DT_VERSYM, _DT_VERDEF, _DT_VERDEFNUM = 0x6FFFFFF0, 0x6FFFFFFC, 0x6FFFFFFD
_VER_FLG_BASE = 1
_SECTION_INDEX = 1  # any but SHN_UNDEF: there are no section headers


@dataclass(frozen=True, slots=True)
class Stub:
    """The library that is replaced, and what its functions return: 0, or a negative errno down to -2048."""

    soname: str
    answer: int

    def __post_init__(self) -> None:
        if self.answer not in _ANSWERS:
            raise ValueError(f"a stub answers from {_ANSWERS[0]} to {_ANSWERS[-1]}, not {self.answer}")


@dataclass(frozen=True, slots=True, order=True)
class Function:
    """A function and its version, which is empty where there is none."""

    name: str
    version: str


def functions_from(program: bytes, soname: str) -> frozenset[Function]:
    """The versioned functions that an ELF program takes from the library.

    Raises FormatError, also when it takes data from it, which no stub can have.
    """
    try:
        elf = ELFFile(BytesIO(program))
        symbols = elf.get_section_by_name(".dynsym")
        numbers = elf.get_section_by_name(".gnu.version")
        needs = elf.get_section_by_name(".gnu.version_r")
        if not (
            isinstance(symbols, SymbolTableSection)
            and isinstance(numbers, GNUVerSymSection)
            and isinstance(needs, GNUVerNeedSection)
        ):
            raise FormatError("the program does not say the versions of its symbols", where="elf")
        versions = {
            int(entry["vna_other"]): str(entry.name)
            for library, entries in needs.iter_versions()
            for entry in entries
            if library.name == soname
        }
        found = set()
        for index, symbol in enumerate(symbols.iter_symbols()):
            version = versions.get(_version_number(numbers.get_symbol(index)["ndx"]))
            if version is None or symbol["st_shndx"] != "SHN_UNDEF":
                continue
            if symbol["st_info"]["type"] == "STT_OBJECT":
                raise FormatError(f"the program takes data from {soname}: {symbol.name}", where="elf")
            found.add(Function(str(symbol.name), version))
        return frozenset(found)
    except BROKEN_ELF as fault:
        raise FormatError(f"the program is not an ELF file: {fault}", where="elf") from fault


def _version_number(index: object) -> int:
    return index & 0x7FFF if isinstance(index, int) else 0


def can_build_stub(machine: str) -> bool:
    """True for a machine (pyelftools' name of it) whose code is known."""
    return machine in _MACHINES


def build_stub(machine: str, library: Stub, functions: Iterable[Function]) -> bytes:
    """The file; `machine` is pyelftools' name of it. Raises Error for a machine whose code is not known."""
    soname = library.soname
    if not can_build_stub(machine):
        raise Error("no stub can be made for this machine", where=soname, found=machine)
    code = _code(machine, library.answer)
    listed = sorted(set(functions))
    versions = sorted({function.version for function in listed})
    strings = _Strings()
    names = [strings.add(function.name) for function in listed]
    soname_at = strings.add(soname)
    definitions = _definitions([soname, *versions], strings)
    indices = struct.pack("<H", 0) + b"".join(struct.pack("<H", versions.index(f.version) + 2) for f in listed)

    place = _EHDR_BYTES + 3 * _PHDR_BYTES
    symbols_at = place
    strings_at = symbols_at + (len(listed) + 1) * _SYM_BYTES
    hash_at = _align(strings_at + len(strings.data), 8)
    hashes = _hash_table([function.name for function in listed])
    indices_at = hash_at + len(hashes)
    definitions_at = _align(indices_at + len(indices), 8)
    code_at = _align(definitions_at + len(definitions), 16)
    text_end = code_at + len(code)
    dynamic_at = _align(text_end, 16)
    dynamic_address = dynamic_at + _PAGE_BYTES
    dynamic = b"".join(
        struct.pack("<QQ", tag, value)
        for tag, value in (
            (_DT_SONAME, soname_at),
            (_DT_HASH, hash_at),
            (_DT_STRTAB, strings_at),
            (_DT_SYMTAB, symbols_at),
            (_DT_STRSZ, len(strings.data)),
            (_DT_SYMENT, _SYM_BYTES),
            (_DT_VERSYM, indices_at),
            (_DT_VERDEF, definitions_at),
            (_DT_VERDEFNUM, len(versions) + 1),
            (0, 0),
        )
    )
    symbols = bytes(_SYM_BYTES) + b"".join(
        struct.pack("<IBBHQQ", name, _GLOBAL_FUNCTION, 0, _SECTION_INDEX, code_at, len(code)) for name in names
    )
    image = bytearray(dynamic_at + len(dynamic))
    image[:_EHDR_BYTES] = _elf_header(_MACHINES[machine])
    image[_EHDR_BYTES:place] = (
        _program_header(_PT_LOAD, _PF_R | _PF_X, 0, 0, text_end)
        + _program_header(_PT_LOAD, _PF_R | _PF_W, dynamic_at, dynamic_address, len(dynamic))
        + _program_header(_PT_DYNAMIC, _PF_R | _PF_W, dynamic_at, dynamic_address, len(dynamic))
    )
    for at, part in (
        (symbols_at, symbols),
        (strings_at, bytes(strings.data)),
        (hash_at, hashes),
        (indices_at, indices),
        (definitions_at, definitions),
        (code_at, code),
        (dynamic_at, dynamic),
    ):
        image[at : at + len(part)] = part
    return bytes(image)


def _code(machine: str, answer: int) -> bytes:
    """A function that returns the answer."""
    if machine == "EM_X86_64":
        return b"\xb8" + struct.pack("<i", answer) + b"\xc3"  # mov eax, answer; ret
    if machine == "EM_AARCH64":
        move = 0x52800000 if answer == 0 else 0x12800000 | (~answer & 0xFFFF) << 5  # movz w0, #0; movn w0, #~answer
        return struct.pack("<II", move, 0xD65F03C0)  # ret
    return struct.pack("<II", (answer & 0xFFF) << 20 | 0x513, 0x8067)  # addi a0, zero, answer; ret


class _Strings:
    """A string table: every string once, the empty one first."""

    def __init__(self) -> None:
        self.data = bytearray(1)
        self._places: dict[str, int] = {"": 0}

    def add(self, text: str) -> int:
        """Where it is."""
        if text not in self._places:
            self._places[text] = len(self.data)
            self.data += text.encode() + b"\0"
        return self._places[text]


def _align(value: int, boundary: int) -> int:
    return -(-value // boundary) * boundary


def _elf_header(machine: int) -> bytes:
    ident = b"\x7fELF" + bytes((2, 1, 1))  # 64 bits, little-endian, version 1
    flags = _FLAGS.get(machine, 0)
    return ident.ljust(16, b"\0") + struct.pack(
        "<HHIQQQIHHHHHH", _ET_DYN, machine, 1, 0, _EHDR_BYTES, 0, flags, _EHDR_BYTES, _PHDR_BYTES, 3, 0, 0, 0
    )


def _program_header(kind: int, flags: int, offset: int, address: int, size: int) -> bytes:
    return struct.pack("<IIQQQQQQ", kind, flags, offset, address, address, size, size, _PAGE_BYTES)


def elf_hash(name: str) -> int:
    """The hash of the gABI, and of versions."""
    value = 0
    for byte in name.encode():
        value = (value << 4) + byte
        high = value & 0xF0000000
        value = (value ^ (high >> 24)) & ~high
    return value


def _hash_table(names: list[str]) -> bytes:
    """One bucket for each name; the chains hold those that collide."""
    count = max(1, len(names))
    buckets = [0] * count
    chains = [0] * (len(names) + 1)
    for index, name in enumerate(names, start=1):
        bucket = elf_hash(name) % count
        chains[index], buckets[bucket] = buckets[bucket], index
    return struct.pack(f"<II{count}I{len(chains)}I", count, len(chains), *buckets, *chains)


def _definitions(names: list[str], strings: _Strings) -> bytes:
    """Elf64_Verdef and its Verdaux for each; the first is the library itself."""
    packed = b""
    for index, name in enumerate(names, start=1):
        following = 28 if index < len(names) else 0
        flags = _VER_FLG_BASE if index == 1 else 0
        packed += struct.pack("<HHHHIII", 1, flags, index, 1, elf_hash(name), 20, following)
        packed += struct.pack("<II", strings.add(name), 0)
    return packed
