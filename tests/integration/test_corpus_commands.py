"""Every command that reads a file, over every input that ever was worth keeping, of whatever format it is.

Each in a fork with half a GiB of address space and ten seconds of a processor: the code is a documented one, and what
is wrong is said in words.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bootpath.cli.failures import BAD_VERDICT
from tests.support.clirun import DOCUMENTED, MIB, Limits, Runner, faults_of
from tests.support.tree import ROOT

CORPUS = ROOT / "tests/fuzz/corpus"
FORMATS = sorted(path.name for path in CORPUS.iterdir())
ZEROS = "00" * 32
COMMANDS = (
    "inspect FILE --json",
    "inspect disk --certificate FILE --password-file FILE",
    "entries FILE --look-in root --json",
    "boot FILE --dry-run",
    "plan FILE",
    "plan disk --recorded FILE",
    "simulate disk --plan FILE",
    "overlay info FILE --json",
    "verity verify FILE FILE --root-hash-file FILE",
    f"verity open data FILE {ZEROS} --root-hash-signature FILE --certificate FILE",
    "dm table FILE --json",
    "build image tree -o out.img --definitions definitions",
)


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    limits = Limits(memory_bytes=512 * MIB, processor_seconds=10, hang_seconds=30)
    with Runner(tmp_path_factory.mktemp("printed"), limits) as runner:
        yield runner


@pytest.mark.parametrize("format_name", FORMATS)
def test_no_input_costs_more_than_it_may(format_name: str, runner: Runner, tmp_path: Path) -> None:
    for name, size in (("disk", 8 * MIB), ("data", MIB)):
        (tmp_path / name).write_bytes(bytes(size))
    (tmp_path / "tree").mkdir()
    (tmp_path / "definitions").mkdir()
    found: list[str] = []
    for path in sorted((CORPUS / format_name).iterdir()):
        (tmp_path / "definitions/10-root.conf").write_bytes(path.read_bytes())
        for command in COMMANDS:
            words = [str(path) if word == "FILE" else word for word in command.split()]
            codes = DOCUMENTED | {4} if words[0] == "boot" else DOCUMENTED
            ended = runner.run(words, cwd=tmp_path)
            faults = faults_of(ended, codes=codes)
            if ended.code == BAD_VERDICT and ended.out:  # a verdict is a result, and it is on stdout
                faults = [fault for fault in faults if fault != "nothing says what is wrong"]
            found += [f"{command} {path.name}: {fault}" for fault in faults]
    assert not found
