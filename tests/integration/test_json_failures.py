"""A failure with ``--json`` is one object on stdout; the line on stderr stays, and so does the exit code."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from bootpath.cli.main import main
from tests.support.images import FAR_FILE
from tests.support.tree import schema

COMMANDS = (
    "inspect {}",
    "entries {}",
    "plan {}",
    "simulate {}",
    "boot {}",
    "boot {} --dry-run",
    "boot {} --firmware bios",
    "overlay info {}",
    "overlay check {}",
    "verity dump {}",
    f"verity verify {{0}} {{0}} {'00' * 32}",
    "dm table {}",
    "dm hash --table {}",
    "build live {} -o new.img",
    "build image {} -o new.img",
    "build initramfs --sysroot {} -o new.img",
)


def run(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, dict[str, Any], list[str]]:
    """The exit code, the only object on stdout, and the lines on stderr."""
    try:
        code = main([*map(str, words), "--json"])
    except SystemExit as end:
        code = int(end.code or 0)
    said = capsys.readouterr()
    value: dict[str, Any] = json.loads(said.out)
    return code, value, said.err.splitlines()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_missing_file(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code, value, lines = run(capsys, *command.format("none.img").split())
    jsonschema.validate(value, schema("error"))
    assert code == value["exit_code"] == 1
    assert len(lines) == 1
    assert "none.img" in (value["error"]["where"] or "") + value["error"]["what"]
    assert os.listdir() == []


def test_the_fields_of_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "table").write_text("0 8 linear disk.img\n")
    code, value, lines = run(capsys, "dm", "table", tmp_path / "table")
    jsonschema.validate(value, schema("error"))
    error = value["error"]
    assert (code, error["type"], error["errno"]) == (1, "FormatError", None)
    assert str(tmp_path / "table") in error["where"]
    assert error["what"] in lines[0]


def test_an_error_of_the_system_has_its_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, value, _ = run(capsys, "simulate", "--password-file", tmp_path / "none", tmp_path)
    error = value["error"]
    assert (error["type"], error["errno"], error["where"]) == ("FileNotFoundError", "ENOENT", str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("words", "where"),
    [
        ("inspect", "bootpath inspect"),
        ("inspect x --picture x.jpg", "bootpath inspect"),
        ("plan x --what", "bootpath plan"),
        ("boot x --vm", "bootpath boot"),
        ("simulate x --classic --from-disk", "bootpath simulate"),
        ("image build x", "bootpath image build"),
        ("build initramfs", "bootpath build initramfs"),
        ("what", "bootpath"),
    ],
)
def test_a_usage_error(words: str, where: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, value, lines = run(capsys, *words.split())
    jsonschema.validate(value, schema("error"))
    assert (code, value["exit_code"], value["error"]["type"]) == (2, 2, "UsageError")
    assert value["error"]["where"] == where
    assert value["error"]["what"] in lines[-1]


def test_several_faults_are_a_list(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from bootpath.cli import inspect
    from bootpath.core.errors import FormatError, IntegrityError

    def fail(_: object) -> int:
        raise ExceptionGroup("both", [FormatError("the first copy is damaged"), IntegrityError("block 1 is wrong")])

    monkeypatch.setattr(inspect, "run", fail)
    code, value, lines = run(capsys, "inspect", "x")
    jsonschema.validate(value, schema("error"))
    assert (code, value["exit_code"], len(lines)) == (3, 3, 2)
    assert [(each["type"], each["errno"]) for each in value["errors"]] == [
        ("FormatError", None),
        ("IntegrityError", "EIO"),
    ]


def test_a_result_that_tells_of_the_failure_is_the_only_object(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--classic", "--preload", "2MiB", "--touch", FAR_FILE)
    code, value, lines = run(capsys, "simulate", image, *words)
    jsonschema.validate(value, schema("simulate"))
    assert (code, len(lines)) == (3, 1)
    assert (value["failure"]["type"], value["failure"]["what"] in lines[0]) == ("BootError", True)
