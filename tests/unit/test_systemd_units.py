"""The units in docs/systemd: systemd takes them, the sandbox is tight, and lived takes the command line."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

from bootpath.cli.lived import build_parser
from tests.support.tools import tool
from tests.support.tree import ROOT

UNITS = ROOT / "docs" / "systemd"
EXPOSURE_PERCENT = 15  # of systemd-analyze's 10; a daemon without any sandbox has 96


def installed(directory: Path) -> list[Path]:
    """The units, with a program that exists here."""
    units = []
    for unit in sorted(UNITS.iterdir()):
        text = unit.read_text().replace("/usr/bin/lived", shutil.which("true") or "/bin/true")
        units.append(directory / unit.name)
        units[-1].write_text(text)
    return units


def test_systemd_takes_them(tmp_path: Path) -> None:
    found = subprocess.run(
        [tool("systemd-analyze"), "verify", *map(str, installed(tmp_path))], capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr
    assert found.stderr == ""


def test_the_sandbox_is_tight(tmp_path: Path) -> None:
    service = next(unit for unit in installed(tmp_path) if unit.suffix == ".service")
    command = [tool("systemd-analyze"), "security", "--offline=true", f"--threshold={EXPOSURE_PERCENT}", str(service)]
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


def test_lived_takes_the_command_line() -> None:
    text = (UNITS / "lived.service").read_text()
    values = dict(pair.split("=", 1) for pair in re.findall(r"^Environment=(.*)$", text, re.M)[0].split())
    (command,) = re.findall(r"^ExecStart=(.*)$", text, re.M)
    program, *arguments = [
        re.sub(r"\$\{(\w+)\}", lambda name: values[name[1]], word) for word in shlex.split(command, comments=False)
    ]
    assert program == "/usr/bin/lived"
    options = build_parser().parse_args(arguments)
    assert options.physical == "/dev/vda"
    assert options.socket is None
    assert options.tcp is None
