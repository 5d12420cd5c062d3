from __future__ import annotations

import ctypes
import os
import struct
import subprocess
from io import BytesIO
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from bootpath.boot.initramfs.elfclosure import read_needs, shared_libraries
from bootpath.boot.initramfs.stub import Function, Stub, build_stub, can_build_stub, elf_hash, functions_from
from bootpath.core.errors import Error, FormatError
from tests.support.tools import tool

FUNCTIONS = {Function("one", "V_1"), Function("two", "V_1"), Function("three", "V_2")}
HERE = {"x86_64": "EM_X86_64", "aarch64": "EM_AARCH64", "riscv64": "EM_RISCV"}.get(os.uname().machine, "")


@pytest.mark.skipif(not HERE, reason="stubs are for three machines")
@pytest.mark.parametrize("answer", [0, -95, -2048])
def test_it_is_loaded_and_answers(tmp_path: Path, answer: int) -> None:
    path = tmp_path / "libthing.so.1"
    path.write_bytes(build_stub(HERE, Stub("libthing.so.1", answer), FUNCTIONS))
    library = ctypes.CDLL(str(path))
    assert [getattr(library, name)() for name in ("one", "two", "three")] == [answer] * 3
    with pytest.raises(AttributeError):
        library.four  # noqa: B018


def test_riscv_s_floating_point() -> None:
    """As "readelf -h" shows it: "Flags: 0x4, double-float ABI". Without it the dynamic loader does not see the file."""
    flags = {machine: build_stub(machine, Stub("a.so", 0), FUNCTIONS)[48] for machine in ("EM_RISCV", "EM_AARCH64")}
    assert flags == {"EM_RISCV": 4, "EM_AARCH64": 0}


@pytest.mark.parametrize(("machine", "code"), [("EM_X86_64", "b8a1ffffffc3"), ("EM_AARCH64", "c00b8012c0035fd6"),
                                               ("EM_RISCV", "1305 10fa 67800000")])  # fmt: skip
def test_the_code_of_each_machine(machine: str, code: str) -> None:
    """By an independent assembler: mov eax, -95 / mov w0, #-95 / li a0, -95; and ret."""
    assert bytes.fromhex(code) in build_stub(machine, Stub("a.so", -95), FUNCTIONS)


def test_the_same_needs_give_the_same_bytes() -> None:
    library = Stub("a.so", 0)
    assert build_stub("EM_X86_64", library, sorted(FUNCTIONS)) == build_stub(
        "EM_X86_64", library, sorted(FUNCTIONS, reverse=True)
    )


def test_what_cannot_be(tmp_path: Path) -> None:
    assert not can_build_stub("EM_S390")
    with pytest.raises(Error, match="no stub can be made for this machine; found EM_S390"):
        build_stub("EM_S390", Stub("a.so", 0), FUNCTIONS)
    with pytest.raises(ValueError, match="answers from -2048 to 0"):
        Stub("a.so", 1)
    with pytest.raises(FormatError, match="is not an ELF file"):
        functions_from(b"#!/bin/sh\n", "a.so")
    with pytest.raises(FormatError, match="does not say the versions"):
        functions_from(build_stub("EM_X86_64", Stub("a.so", 0), FUNCTIONS), "b.so")


def test_hash_of_the_gabi() -> None:
    assert (elf_hash("printf"), elf_hash("GLIBC_2.2.5")) == (0x077905A6, 0x09691A75)


def test_a_real_program_runs_with_one(tmp_path: Path) -> None:
    """lvm2 with libsystemd away: the loader finds every version, and says nothing about it."""
    lvm = Path(tool("lvm"))
    if "libsystemd.so.0" not in read_needs(lvm).needed:
        pytest.skip("this lvm needs no libsystemd")
    functions = functions_from(lvm.read_bytes(), "libsystemd.so.0")
    assert Function("sd_journal_send_with_location", "LIBSYSTEMD_209") in functions
    data = build_stub(read_needs(lvm).machine, Stub("libsystemd.so.0", -95), functions)
    (tmp_path / "libsystemd.so.0").write_bytes(data)
    environment = {"LD_LIBRARY_PATH": str(tmp_path), "LD_BIND_NOW": "1", "LVM_SUPPRESS_FD_WARNINGS": "1"}
    done = subprocess.run([lvm, "formats"], env=environment, capture_output=True, text=True, check=True)
    assert "lvm2" in done.stdout
    assert "version information" not in done.stderr
    needed = {Path(library.path).name for library in shared_libraries([lvm])}
    left = {Path(library.path).name for library in shared_libraries([lvm], without=frozenset({"libsystemd.so.0"}))}
    assert "libgcrypt.so.20" not in left
    assert left < needed


def test_segments_do_not_share_a_page() -> None:
    content = build_stub("EM_X86_64", Stub("a.so", 0), FUNCTIONS)
    elf = ELFFile(BytesIO(content))
    text, data = (segment for segment in elf.iter_segments() if segment["p_type"] == "PT_LOAD")
    assert text["p_flags"] == 5
    assert data["p_flags"] == 6
    assert data["p_vaddr"] // 65536 > (text["p_vaddr"] + text["p_memsz"]) // 65536
    assert struct.unpack_from("<H", content, 18) == (62,)
