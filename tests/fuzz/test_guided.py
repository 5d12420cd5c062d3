"""A short run of each entry that is guided by coverage, and the tools around it. The same inputs every time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS
from tests.support.tools import missing
from tests.support.tree import ROOT


def run(module: str, *arguments: object) -> tuple[int, str]:
    command: Sequence[str] = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, done.stdout


def guided(*arguments: object) -> tuple[int, str]:
    return run("tests.fuzz.guided", *arguments)


@pytest.fixture
def _atheris() -> None:
    if find_spec("atheris") is None:
        missing("atheris is not installed (it has wheels for Linux on x86-64)")


@pytest.mark.usefixtures("_atheris")
def test_short_run(tmp_path: Path) -> None:
    code, text = guided("--all", "--jobs", 2, "--seed", 1, "--work", tmp_path)
    assert code == 0, text
    assert {line.split()[0] for line in text.splitlines()} == set(TARGETS)


@pytest.mark.usefixtures("_atheris")
def test_planted_bugs_are_found(tmp_path: Path) -> None:
    code, text = guided("--all", "--targets", "tests.fuzz.planted", "--work", tmp_path)
    assert code == 1
    lines = {line.split()[0]: line for line in text.splitlines() if " runs " in line}
    assert {name: line.endswith("FAILED") for name, line in lines.items()} == {
        "wrong_error": True,
        "memory": True,
        "sound": False,
    }
    assert "KeyError: 'the bug'" in text
    assert "MemoryError" in text
    inputs = [Path(line.split()[-1]) for line in text.splitlines() if "the input:" in line]
    assert [b"!" in path.read_bytes() for path in inputs] == [True, False]


def replay(*arguments: object) -> tuple[int, str]:
    return run("tests.fuzz.replay", *arguments)


def test_a_bug_is_shrunk_to_what_causes_it(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"some words ! and more")
    of = ("wrong_error", tmp_path / "big", "--targets", "tests.fuzz.planted")
    code, text = replay(*of)
    assert code == 1
    assert text.endswith("KeyError: 'the bug'\n")
    assert replay(*of, "--shrink", tmp_path / "small") == (1, "21 bytes became 1\n")
    assert (tmp_path / "small").read_bytes() == b"!"


@pytest.mark.parametrize(("file", "says"), [("good-empty", "good: a value"), ("bad-cut-short", "bad: refused")])
def test_replay_says_what_a_sample_is(file: str, says: str) -> None:
    code, text = replay("handoff", ROOT / "tests/fuzz/corpus/handoff" / file)
    assert code == 0
    assert text.startswith(says)
