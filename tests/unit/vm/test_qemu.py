"""What a QEMU that was never started, or cannot be, says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bootpath.core.errors import MachineError
from bootpath.vm.config import MachineConfig
from bootpath.vm.qemu import QEMU
from tests.support.tools import tool


def test_before_the_start() -> None:
    machine = QEMU(MachineConfig())
    assert not machine.running
    assert machine.exit_code is None
    machine.close()
    for use in (machine.pause, machine.power_cut, lambda: machine.console):
        with pytest.raises(ValueError, match="started"):
            use()


def test_a_transcript_that_cannot_be_opened_leaves_no_process(tmp_path: Path) -> None:
    tool("setpriv")
    machine = QEMU(MachineConfig(), binary="/bin/cat", transcript=tmp_path / "no" / "directory")
    with pytest.raises(FileNotFoundError):
        machine.start()
    assert machine.exit_code is not None
    with pytest.raises(ValueError, match="once"):
        machine.start()


def test_without_the_monitor_library_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "qemu.qmp", None)
    monkeypatch.delitem(sys.modules, "bootpath.vm.qmp", raising=False)
    with pytest.raises(MachineError, match=r"pip install 'bootpath\[vm\]'"):
        QEMU(MachineConfig(), binary="/bin/true").start()


def test_the_command_line_does_not_load_it() -> None:
    check = (
        "import sys, bootpath.cli.main; sys.exit(any(name.startswith(('bootpath.vm', 'qemu')) for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
