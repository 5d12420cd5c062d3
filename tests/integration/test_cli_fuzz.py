"""Thousands of command lines that nobody should type, of every command: an exit code that its help names, no traceback,
nothing that a terminal obeys, and nothing left behind.

The cases come from the parsers, so that a new command, and a new option, is among them; the seed is fixed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from tests.support.clicases import STREAMS, Case, Command, Place, cases_of, commands
from tests.support.clirun import Limits, Runner, faults_of

SEED = 20261130
COMMANDS = commands()
SHELL = frozenset({126, 127})
"""What a shell says of a command of --run that it cannot run."""
NO_NETWORK = {
    "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
}


@dataclass(frozen=True, slots=True)
class Lab:
    runner: Runner
    place: Place
    no_programs: Path


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "bin").mkdir()
    (folder / "said").mkdir()
    with Runner(folder / "said", Limits(hang_seconds=120)) as runner:
        yield Lab(runner, Place(folder), folder / "bin")


def runs(case: Case) -> bool:
    """Whether --run has another command than the one of a sound command line."""
    return any(
        word.startswith("--run=") or (word == "--run" and case.words[at + 1 : at + 2] != ("true",))
        for at, word in enumerate(case.words)
    )


def faults(lab: Lab, command: Command, case: Case) -> list[str]:
    environment = dict(NO_NETWORK)
    if command.words == ("boot",):
        environment["PATH"] = str(lab.no_programs)  # no machine is started
    ended = lab.runner.run(
        case.words,
        cwd=lab.place.path,
        program=command.program,
        environment=environment,
        stdout=Path("/dev/full") if case.stream == "full" else None,
        closed=[STREAMS.index(case.stream)] if case.stream in STREAMS[:3] else [],
    )
    codes = command.codes | (SHELL if runs(case) else frozenset[int]())
    found = faults_of(ended, codes=codes, binary=command.words == ("dm", "read"))
    if b"has an internal error" in ended.err:
        found.append(ended.err.decode(errors="replace"))
    if runs(case):  # its words, not ours
        found = [each for each in found if not each.endswith("in stderr")]
    if case.stream:
        found = [each for each in found if "nothing says" not in each and "JSON" not in each]
    if changed := lab.place.changed():
        lab.place.restore()
        asked = "\n".join(map(os.path.normpath, case.words)).replace("dangling", "nowhere")  # where that link leads
        if ended.code == 2 or not all(name in asked for name in changed):
            found.append(f"changed: {changed}")
    return found


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_hostile_command_lines(command: Command, lab: Lab) -> None:
    cases = list(cases_of(command, Random(f"{SEED} {command}")))
    assert len(cases) > 30
    bad = [(case, found) for case in cases if (found := faults(lab, command, case))]
    assert not bad, "\n".join(ascii(each) for each in bad)


def test_every_command_is_among_them() -> None:
    assert len(COMMANDS) >= 24
    assert sum(len(list(cases_of(command, Random(SEED)))) for command in COMMANDS) > 2000
