"""A short run of each entry that is guided by coverage, and the tools around it. The same inputs every time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.fuzz import replay
from tests.fuzz.entry import Entry
from tests.fuzz.targets import TARGETS
from tests.support.tools import missing

TREE = Path(__file__).parents[2]


def guided(*arguments: object) -> tuple[int, str]:
    command: Sequence[str] = [sys.executable, "-m", "tests.fuzz.guided", *map(str, arguments)]
    done = subprocess.run(command, cwd=TREE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, done.stdout


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


def _boom(data: bytes) -> None:
    if b"!" in data[3:]:
        raise KeyError("the bug")


def test_a_bug_is_shrunk_to_what_causes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "big").write_bytes(b"some words ! and more")
    monkeypatch.setitem(TARGETS, "boom", Entry("boom", _boom))
    monkeypatch.setattr(sys, "argv", ["replay", "boom", str(tmp_path / "big"), "--shrink", str(tmp_path / "small")])
    assert replay.main() == 1
    assert (tmp_path / "small").read_bytes() == b"000!"


@pytest.mark.parametrize(("file", "says"), [("good-empty", "good: a value"), ("bad-cut-short", "bad: refused")])
def test_replay_says_what_a_sample_is(
    file: str, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = TREE / "tests/fuzz/corpus/handoff" / file
    monkeypatch.setattr(sys, "argv", ["replay", "handoff", str(path)])
    assert replay.main() == 0
    assert capsys.readouterr().out.startswith(says)
