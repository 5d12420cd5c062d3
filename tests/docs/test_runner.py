"""The runner of the pages itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.page import Mark, PageError, parse_page
from tests.docs.shell import Shell, ShellError
from tests.docs.shown import matches

PAGE = """\
Text.

<!-- test: root, numbers vary -->

```console
$ one
said

more
# two \\
  words  # exit code 3
$ three &
```

```python
print()
```
"""


def test_blocks_and_commands() -> None:
    console, python = parse_page(PAGE)
    assert (console.line, console.language, console.marks) == (5, "console", frozenset({Mark.ROOT, Mark.NUMBERS_VARY}))
    one, two, three = console.commands
    assert (one.line, one.text, one.shown, one.exit_code) == (6, "one", ("said", "", "more"), 0)
    assert (two.text, two.shown, two.exit_code) == ("two \\\n  words  # exit code 3", (), 3)
    assert three.in_background
    assert not two.in_background
    assert (python.language, python.code, python.marks) == ("python", "print()", frozenset())


@pytest.mark.parametrize(
    "text",
    [
        "```console\n$ never closed\n",
        "```console\nno command\n```\n",
        "<!-- test: rot -->\n```console\n$ a\n```\n",
        "<!-- test: root -->\n\nText between.\n\n```console\n$ a\n```\n",
    ],
)
def test_pages_that_are_wrong(text: str) -> None:
    with pytest.raises(PageError):
        list(parse_page(text))


@pytest.mark.parametrize(
    ("shown", "said", "vary", "verdict"),
    [
        (["a b"], "a b\n", False, True),
        (["a b"], "a  b\n", False, False),
        (["a", "b"], "a\n", False, False),
        (["a"], "a\nb\n", False, False),
        (["a … b"], "a 17 hills b\n", False, True),
        (["a", "   ...", "z"], "a\nb\nc\nz\n", False, True),
        (["a", "│  ...", "z"], "a\nz\n", False, True),
        (["1.5 ms  2 MiB"], "17.25 s     900 bytes\n", True, True),
        (["1.5 ms"], "17.25 s\n", False, False),
        (["uuid 08e393d9-4abb-4219-ae6d-93f8818d080e"], "uuid 11111111-2222-3333-4444-555555555555\n", True, True),
        (["hash d5e17f1d369bb690…"], "hash 0123456789abcdef…\n", True, True),
        (["4 reads"], "four reads\n", True, False),
    ],
)
def test_what_matches(shown: list[str], said: str, vary: bool, verdict: bool) -> None:
    assert matches(shown, said, numbers_vary=vary) is verdict


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    (tmp_path / "logs").mkdir()
    with Shell(tmp_path, os.environ, tmp_path / "logs") as shell:
        yield shell


def test_a_shell_keeps_its_state(shell: Shell, tmp_path: Path) -> None:
    assert shell.run("x=7; mkdir d && cd d", seconds=60) == (0, "")
    assert shell.run('echo "$x"; pwd; echo wrong >&2; false', seconds=60) == (1, f"7\n{tmp_path}/d\nwrong\n")


def test_input_is_empty(shell: Shell) -> None:
    assert shell.run("cat", seconds=60) == (0, "")


def test_jobs_end_with_the_shell(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    with Shell(tmp_path, os.environ, tmp_path / "logs") as shell:
        said = shell.start("{ echo $BASHPID; exec sleep 1000; } &", lines=1, seconds=60)
        job = os.pidfd_open(int(said))
        assert shell.run("kill -0 %1", seconds=60) == (0, "")
    with pytest.raises(ProcessLookupError):
        os.kill(int(said), 0)
    os.close(job)


def test_a_job_that_says_too_little(shell: Shell) -> None:
    assert shell.start("echo one &", lines=2, seconds=60) == "one\n"


def test_a_command_that_does_not_end(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    with pytest.raises(ShellError, match="did not end"), Shell(tmp_path, os.environ, tmp_path / "logs") as shell:
        shell.run("echo begun; sleep 1000", seconds=1)
