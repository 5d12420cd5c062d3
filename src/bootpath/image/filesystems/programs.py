"""The programs that make file systems: run one, or say in one line why it cannot be.

A `ProgramRunner` runs them, so that a test can stand in for them; `run_process` is the real one. They get an
environment of their own, with nothing of the caller's but the search path, so that locale, time zone and configuration
do not find their way into an image.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bootpath.core.errors import Error
from bootpath.core.extras import apt_install

_SEARCH = ("/usr/sbin", "/sbin", "/usr/bin", "/bin")


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended, and what it said on both of its outputs."""

    exit_code: int
    output: str


class ProgramRunner(Protocol):
    """What runs a program to its end."""

    def __call__(self, command: Sequence[str], environment: Mapping[str, str]) -> Finished:
        """Raises FileNotFoundError when there is no such program."""
        ...


def run_process(command: Sequence[str], environment: Mapping[str, str]) -> Finished:
    """Run it, with nothing to read."""
    done = subprocess.run(
        command,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    return Finished(done.returncode, done.stdout.decode(errors="replace"))


@dataclass(frozen=True, slots=True)
class HostPrograms:
    """Runs programs; `path` is where they are looked for, before the usual places of root's."""

    run: ProgramRunner = run_process
    path: str = os.defpath
    environment: Mapping[str, str] = field(default_factory=dict)

    def call(self, command: Sequence[str], **environment: str) -> str:
        """Run a program with these additional variables; its output. Raises Error when it is missing or fails."""
        finished = self.attempt(command, **environment)
        if finished.exit_code:
            lines = [line.strip() for line in finished.output.splitlines() if line.strip()]
            raise Error(
                f"the program failed with {finished.exit_code}: {lines[-1] if lines else 'silent'}", where=command[0]
            )
        return finished.output

    def attempt(self, command: Sequence[str], **environment: str) -> Finished:
        """The same, where a failure is an answer."""
        path = os.pathsep.join((self.path, *_SEARCH))
        variables = {"PATH": path, "LC_ALL": "C", "TZ": "UTC", **self.environment, **environment}
        try:
            return self.run(command, variables)
        except FileNotFoundError:
            raise Error("the program is not installed", where=command[0], hint=apt_install(command[0])) from None
