"""Where QEMU and its UEFI firmware are.

Distributions put OVMF, the UEFI firmware for PCs, in different places; the code is shared, but the variables are
written to, so each machine gets a copy.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from bootpath.core.errors import MachineError
from bootpath.core.extras import apt_install
from bootpath.vm.config import Uefi

QEMU_PROGRAM = "qemu-system-x86_64"
OVMF_PAIRS = (
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),  # Debian, Ubuntu
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),  # Fedora
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),  # Arch
    ("/usr/share/qemu/ovmf-x86_64-code.bin", "/usr/share/qemu/ovmf-x86_64-vars.bin"),  # openSUSE
)


def find_qemu(program: str = QEMU_PROGRAM, *, path: str | None = None) -> str:
    """The path of QEMU, looked for in `path` or else PATH. Raises MachineError."""
    found = shutil.which(program, path=path)
    if found is None:
        raise MachineError(f"{program} is not installed", hint=apt_install(program))
    return found


def private_uefi(directory: Path, *, pairs: Sequence[tuple[str, str]] = OVMF_PAIRS) -> Uefi:
    """OVMF with a fresh copy of its variables in `directory`. Raises MachineError when there is none."""
    for code, variables in pairs:
        if Path(code).is_file() and Path(variables).is_file():
            copy = directory / "uefi-variables.fd"
            shutil.copyfile(variables, copy)
            return Uefi(Path(code), copy)
    raise MachineError("UEFI firmware for QEMU is not installed", hint=apt_install("OVMF"))
