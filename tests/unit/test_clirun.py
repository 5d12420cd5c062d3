"""The runner of commands: what it says of one that hangs, leaves something, or says nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.clirun import Ended, Limits, Runner, faults_of, shown

SOUND = Ended(("inspect", "x"), 1, b"", b"bootpath: x: the file cannot be opened\n", (), 0.1)


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    with Runner(tmp_path, Limits(hang_seconds=20)) as runner:
        yield runner


def test_a_command(runner: Runner, tmp_path: Path) -> None:
    ended = runner.run(["inspect", "none"], cwd=tmp_path)
    assert (ended.code, ended.out, ended.left) == (1, b"", ())
    assert ended.err.startswith(b"bootpath: none: ")
    assert faults_of(ended) == []
    assert runner.run(["--version"], cwd=tmp_path).out == b"bootpath 0.1.0\n"
    assert runner.run(["--version"], cwd=tmp_path, program="lived").out == b"lived 0.1.0\n"


def test_it_has_no_privileges(runner: Runner, tmp_path: Path) -> None:
    (tmp_path / "disk").touch(mode=0)
    assert b"Permission denied" in runner.run(["inspect", "disk"], cwd=tmp_path).err


def test_one_that_hangs(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "in")
    writer = os.open(tmp_path / "in", os.O_RDWR)
    try:
        with Runner(tmp_path, Limits(hang_seconds=0.3)) as runner:
            ended = runner.run(["dm", "hash", "--table", "-"], cwd=tmp_path, stdin=tmp_path / "in")
            assert (ended.code, faults_of(ended)) == (None, ["it hangs"])
            assert runner.run(["inspect", "none"], cwd=tmp_path).code == 1
    finally:
        os.close(writer)


def test_one_that_leaves_a_process(runner: Runner, tmp_path: Path) -> None:
    (tmp_path / "table").write_text("0 8 zero\n")
    words = ["dm", "serve", "--table", "table", "--run", "setsid sleep 1000 & exit 0"]
    ended = runner.run(words, cwd=tmp_path)
    assert (ended.code, ended.left) == (0, ("sleep 1000",))


def test_a_closed_stream(runner: Runner, tmp_path: Path) -> None:
    assert faults_of(runner.run(["inspect", "none"], cwd=tmp_path, closed=[2])) == ["nothing says what is wrong"]


@pytest.mark.parametrize(
    ("ended", "faults"),
    [
        (SOUND, []),
        (replace(SOUND, code=0, err=b""), []),
        (replace(SOUND, code=-9), ["exit code -9"]),
        (replace(SOUND, code=None), ["it hangs"]),
        (replace(SOUND, err=b" \n"), ["nothing says what is wrong"]),
        (replace(SOUND, err=b"Traceback (most recent call last):\n"), ["a traceback"]),
        (replace(SOUND, out="\x1b[1m\u202e\n".encode()), ["'\\x1b' in stdout", "'\\u202e' in stdout"]),
        (replace(SOUND, left=("sleep 9",)), ["still runs: ('sleep 9',)"]),
        (replace(SOUND, words=("x", "--json")), ["stdout is not one JSON value"]),
        (replace(SOUND, words=("x", "--json"), out=b"[]"), ["stdout is not a JSON object"]),
        (replace(SOUND, words=("x", "--json"), out=b'{"exit_code": 3}'), ["the object says exit code 3"]),
        (replace(SOUND, words=("x", "--json"), out=b'{"exit_code": 1}'), []),
    ],
)
def test_faults(ended: Ended, faults: list[str]) -> None:
    assert faults_of(ended) == faults


def test_binary_output() -> None:
    assert faults_of(replace(SOUND, out=bytes(range(256))), binary=True) == []


@pytest.mark.parametrize(("character", "is_shown"), [("a", True), ("\n", True), ("\r", False), ("\u2028", False)])
def test_shown(character: str, is_shown: bool) -> None:
    assert shown(character) is is_shown
