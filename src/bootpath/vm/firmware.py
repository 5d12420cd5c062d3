"""Where QEMU and its UEFI firmware are.

Distributions put OVMF, the UEFI firmware for PCs, and AAVMF, the same for arm64, in different places; the code is
shared, but the variables are written to, so each machine gets a copy.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from bootpath.core.errors import MachineError
from bootpath.core.extras import apt_install
from bootpath.formats.partitions.dps import Architecture
from bootpath.vm.boards import PC, Board
from bootpath.vm.config import Uefi

OVMF_PAIRS = (
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),  # Debian, Ubuntu
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),  # Fedora
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),  # Arch
    ("/usr/share/qemu/ovmf-x86_64-code.bin", "/usr/share/qemu/ovmf-x86_64-vars.bin"),  # openSUSE
)
AAVMF_PAIRS = (
    ("/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"),  # Debian, Ubuntu
    ("/usr/share/edk2/aarch64/QEMU_EFI-pflash.raw", "/usr/share/edk2/aarch64/vars-template-pflash.raw"),  # Fedora
    ("/usr/share/qemu/aavmf-aarch64-code.bin", "/usr/share/qemu/aavmf-aarch64-vars.bin"),  # openSUSE
)
_UEFI: Mapping[Architecture, tuple[str, Sequence[tuple[str, str]]]] = {
    Architecture.X86_64: ("OVMF", OVMF_PAIRS),
    Architecture.ARM64: ("AAVMF", AAVMF_PAIRS),
}


def find_qemu(program: str = PC.program, *, path: str | None = None) -> str:
    """The path of QEMU, looked for in `path` or else PATH. Raises MachineError."""
    found = shutil.which(program, path=path)
    if found is None:
        raise MachineError(f"{program} is not installed", hint=apt_install(program))
    return found


def private_uefi(directory: Path, board: Board = PC, *, pairs: Sequence[tuple[str, str]] | None = None) -> Uefi:
    """The board's UEFI with a fresh copy of its variables in `directory`. Raises MachineError when there is none.

    `pairs` are places for code and variables other than those where distributions have them.
    """
    if board.architecture not in _UEFI:
        raise MachineError(
            f"no UEFI firmware is known for {board.architecture.value}",
            where="qemu",
            expected=f"one for {' or '.join(each.value for each in _UEFI)}",
        )
    name, places = _UEFI[board.architecture]
    for code, variables in places if pairs is None else pairs:
        if Path(code).is_file() and Path(variables).is_file():
            copy = directory / "uefi-variables.fd"
            shutil.copyfile(variables, copy)
            return Uefi(Path(code), copy)
    raise MachineError("UEFI firmware for QEMU is not installed", hint=apt_install(name))
