from __future__ import annotations

from pathlib import Path

import pytest

from bootpath.core.errors import MachineError
from bootpath.vm.config import Uefi
from bootpath.vm.firmware import find_qemu, private_uefi


def test_qemu_is_found(tmp_path: Path) -> None:
    program = tmp_path / "qemu-system-x86_64"
    program.touch(0o755)
    assert find_qemu(path=str(tmp_path)) == str(program)


def test_without_qemu_the_error_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="is not installed; apt install qemu-system-x86"):
        find_qemu(path=str(tmp_path))


def test_each_machine_has_variables_of_its_own(tmp_path: Path) -> None:
    code, variables = tmp_path / "code", tmp_path / "vars"
    code.write_bytes(b"code")
    variables.write_bytes(b"vars")
    machine = tmp_path / "machine"
    machine.mkdir()
    uefi = private_uefi(machine, pairs=(("/no/code", "/no/vars"), (str(code), str(variables))))
    assert uefi == Uefi(code, machine / "uefi-variables.fd")
    assert uefi.variables.read_bytes() == b"vars"
    with pytest.raises(MachineError, match="apt install ovmf"):
        private_uefi(machine, pairs=((str(code), "/no/vars"),))
