"""Fuzzing that is guided by coverage: atheris (libFuzzer) over the entries of `targets`.

    python -m tests.fuzz.guided handoff bls            as many inputs as the tests try, or --runs N
    python -m tests.fuzz.guided --all --seconds 300    five minutes for each

Every entry has a process of its own, because libFuzzer ends the one that it runs in; all are forked from this one,
which has imported bootpath with instrumented bytecode, so that this is paid once. What a process sees is bounded: the
length of an input, the time it may take, the memory that can be had while it is parsed, and what is resident in the
end. A warning is an error, as in the tests.

In the work directory, outside the tree, each entry has its log, the inputs that brought new coverage (a later run goes
on from there; they are not the corpus in the tree) and what failed. The same seed, number of runs and samples give the
same inputs, as long as that directory is new. `replay` shows and shrinks an input that failed.
"""

from __future__ import annotations

import argparse
import ctypes
import io
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, redirect_stderr
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from tests.fuzz.bounds import INPUT_SECONDS, bound_process
from tests.fuzz.mutation import TOKENS

if TYPE_CHECKING:  # it imports bootpath, which comes later and instrumented
    from tests.fuzz.entry import Entry

RESIDENT_MIB = 1024
ADDR_NO_RANDOMIZE = 0x0040000  # sys/personality.h
MAX_WORD_BYTES = 64  # libFuzzer's
_STATUS = re.compile(r"^#(\d+)\s+(INITED|DONE|\w+)\s+cov: (\d+)", re.MULTILINE)
_ARTIFACT = re.compile(r"Test unit written to (\S+)")


class Atheris(Protocol):
    """What we use of atheris, which has no annotations; and it is not there on every system."""

    def instrument_imports(self, include: Sequence[str]) -> AbstractContextManager[object]:
        """Modules of these packages that are imported inside report what runs in them."""

    def Setup(self, args: Sequence[str], call: Callable[[bytes], object]) -> object:  # noqa: N802
        """Take libFuzzer's options."""

    def Fuzz(self) -> None:  # noqa: N802
        """Run, and end the process."""


@dataclass(frozen=True, slots=True)
class Work:
    """Where one entry leaves what."""

    folder: Path

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def made(self, name: str) -> Path:
        """A folder in it, which is there."""
        path = self.folder / name
        path.mkdir(parents=True, exist_ok=True)
        return path


def options_of(entry: Entry, work: Work, *, limit: str, seed: int) -> list[str]:
    """libFuzzer's command line. Seeds come as a list, whose order is the same on every file system."""
    seeds = []
    folder = work.made("seeds")
    for number, sample in enumerate(entry.samples() or [b""]):
        path = folder / f"{number:03}"
        path.write_bytes(sample)
        seeds.append(str(path))
    (work.folder / "seeds.txt").write_text(",".join(seeds))
    words = ("".join(f"\\x{byte:02x}" for byte in token) for token in TOKENS if len(token) <= MAX_WORD_BYTES)
    (work.folder / "words.txt").write_text("".join(f'"{word}"\n' for word in words))
    return [
        entry.name,
        limit,
        f"-seed={seed}",
        f"-max_len={entry.max_bytes}",
        f"-timeout={INPUT_SECONDS}",
        f"-rss_limit_mb={RESIDENT_MIB}",
        f"-dict={work.folder / 'words.txt'}",
        f"-seed_inputs=@{work.folder / 'seeds.txt'}",
        f"-artifact_prefix={work.made('failed')}/",
        "-reload=0",
        str(work.made("corpus")),
    ]


def fork(atheris: Atheris, entry: Entry, options: Sequence[str], log: Path) -> int:
    """A process that runs one entry and writes its log; its number."""
    sys.stdout.flush()  # or the child would print it again
    child = os.fork()
    if child:
        return child
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    bound_process()
    atheris.Setup(options, entry.outcome)
    atheris.Fuzz()
    raise AssertionError("Fuzz ends the process, or raises and writes the input when the process ends")


@dataclass(frozen=True, slots=True)
class Ended:
    """An entry whose process ended."""

    name: str
    code: int
    cpu_seconds: float


def ended(processes: dict[int, str], jobs: int) -> Iterator[Ended]:
    """Those that end, until fewer than `jobs` run."""
    while len(processes) >= jobs:
        child, status, usage = os.wait3(0)
        yield Ended(processes.pop(child), os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime)


def report(run: Ended, work: Work) -> bool:
    """One line, and for a failure what it was and what to do with it. True when there was none."""
    name, code = run.name, run.code
    log = work.log.read_text(errors="replace")
    steps = _STATUS.findall(log)
    first = next((step[2] for step in steps if step[1] == "INITED"), "?")
    runs, coverage = (steps[-1][0], steps[-1][2]) if steps else ("0", "?")
    print(
        f"{name:16} {runs:>9} runs  {run.cpu_seconds:>7.1f} s  coverage {first:>4} → {coverage:<4}"
        f"{'' if code == 0 else '  FAILED'}",
        flush=True,
    )
    if code == 0:
        return True
    artifact = _ARTIFACT.search(log)
    about = log.partition("=== Uncaught Python exception: ===")[2].partition("==")[0] or log[-2000:]
    print("".join(f"    {line}\n" for line in about.strip().splitlines()))
    if artifact:
        again = f"python -m tests.fuzz.replay {name}"
        print(f"    the input:  {artifact[1]}")
        print(f"    again:      {again} {artifact[1]}")
        print(f"    smaller:    {again} {artifact[1]} --shrink small")
        print(f"    keep it:    repair the parser, cp small tests/fuzz/corpus/{name}/bad-WHAT (good-WHAT for a value)")
    else:
        print(f"    the log is {work.log}")
    return False


def parsed_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.guided", description="fuzz, guided by coverage")
    parser.add_argument("names", nargs="*", metavar="NAME", help="entries of tests/fuzz/targets.py")
    parser.add_argument("--all", action="store_true", help="all entries")
    limit = parser.add_mutually_exclusive_group()
    limit.add_argument("--seconds", type=int, help="for each entry")
    limit.add_argument("--runs", type=int, help="for each entry; otherwise as many as its tests try")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="how many entries at a time")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "bootpath-fuzz", help="%(default)s")
    parser.add_argument("--targets", default="tests.fuzz.targets", help="the module of the entries")
    found = parser.parse_args()
    if not found.names and not found.all:
        parser.error("name some entries, or say --all")
    return found


def settle() -> None:
    """Start again with the same hashes and, where a container does not forbid it, the same addresses every time.

    Both have a say in what libFuzzer tries next.
    """
    if os.environ.get("PYTHONHASHSEED") != "0":
        ctypes.CDLL(None).personality(ADDR_NO_RANDOMIZE)
        command = [sys.executable, "-m", "tests.fuzz.guided", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, "PYTHONHASHSEED": "0"})


def main() -> int:
    arguments = parsed_arguments()
    settle()
    atheris = cast(Atheris, import_module("atheris"))
    with atheris.instrument_imports(include=["bootpath"]):
        with redirect_stderr(io.StringIO()):  # it names every module
            targets: dict[str, Entry] = import_module(arguments.targets).TARGETS
        names = list(targets) if arguments.all else arguments.names
        if unknown := set(names) - set(targets):
            sys.exit(f"no entry is called {' or '.join(sorted(unknown))}; there are: {' '.join(targets)}")
        processes: dict[int, str] = {}
        good = True
        for name in [*names, None]:
            for run in ended(processes, arguments.jobs if name else 1):
                good &= report(run, Work(arguments.work / run.name))
            if name:
                entry, work = targets[name], Work(arguments.work.absolute() / name)
                seconds, runs = arguments.seconds, arguments.runs or entry.rounds
                limit = f"-max_total_time={seconds}" if seconds else f"-runs={runs}"
                options = options_of(entry, work, limit=limit, seed=arguments.seed)
                processes[fork(atheris, entry, options, work.log)] = name
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
