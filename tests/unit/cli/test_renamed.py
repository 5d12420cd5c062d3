"""Old spellings get one line that says the new one."""

from __future__ import annotations

import pytest

from bootpath.cli import lived
from bootpath.cli.main import build_parser, main
from bootpath.cli.renamed import COMMANDS, OPTIONS, Renamed
from tests.support.parsers import leaves

CASES = [pytest.param(renamed, id=f"{renamed.command} {renamed.flag}") for renamed in OPTIONS]


@pytest.mark.parametrize("renamed", CASES)
@pytest.mark.parametrize("form", ["{} {}", "{}={}"])
def test_an_old_option_names_the_new_one(renamed: Renamed, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    value = next(iter(renamed.values), "x")
    words = form.format(renamed.flag, value).split()
    if renamed.command == "lived":
        assert lived.main(words) == 2
    else:
        assert main([*renamed.command.split(), "x", *words]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.endswith(f"{renamed.flag} {renamed.now}")


@pytest.mark.parametrize("old", COMMANDS)
def test_an_old_command_names_the_new_one(old: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*old.split(), "tree"]) == 2
    assert COMMANDS[old] in capsys.readouterr().err


@pytest.mark.parametrize("renamed", CASES)
def test_the_new_option_is_one_of_the_command(renamed: Renamed) -> None:
    (parser,) = [
        each
        for each in (*leaves(build_parser()), lived.build_parser())
        if each.prog in (f"bootpath {renamed.command}", renamed.command)
    ]
    known = {flag for action in parser._actions for flag in action.option_strings}
    named = {word.rstrip(":,") for word in renamed.now.split() if word.startswith("--")}
    assert named <= known
    assert renamed.flag not in known - ({renamed.flag} if renamed.values else set())


def test_an_image_policy_of_the_same_command_is_not_taken_for_an_old_place() -> None:
    from bootpath.cli.renamed import check_spelling

    check_spelling(["entries", "--policy", "root=verity", "disk.img"])
