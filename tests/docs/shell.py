"""One bash for a page, as a reader has one: jobs, variables and the working directory last from command to command.

What a command says, on both streams, goes to a file of its own. A job in the background is waited for until it has
said its first line, which servers do when they serve; all jobs end with the page.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from types import TracebackType

# Commands come ended by a zero, exit codes go back. -m: each job is a process group, and does not ignore SIGINT in the
# background.
_LOOP = """\
set -m
while IFS= read -r -d '' file <&{commands} && IFS= read -r -d '' command <&{commands}; do
    eval "$command" {commands}<&- {codes}>&- </dev/null >"$file" 2>&1
    echo $? >&{codes}
done
"""
_POLL_SECONDS = 0.05


class ShellError(Exception):
    """A command that did not end, or said nothing."""


class Shell:
    """bash in a directory. `logs` is where the output of commands goes.

    `covered` folders are hidden by empty ones, in a mount namespace, which needs root.
    """

    def __init__(
        self, directory: Path, environment: Mapping[str, str], logs: Path, *, covered: Sequence[str] = ()
    ) -> None:
        self._logs, self._count = logs, 0
        commands, self._commands = os.pipe()
        self._codes, codes = os.pipe()
        script = _LOOP.format(commands=commands, codes=codes)
        command = ["bash", "--noprofile", "--norc", "-c", script]
        if covered:
            mounts = "".join(f"mount -t tmpfs tmpfs {folder} && " for folder in covered)
            command = ["unshare", "--mount", "bash", "-c", f'{mounts} exec "$@"', "bash", *command]
        self._process = subprocess.Popen(
            command,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            pass_fds=(commands, codes),
            start_new_session=True,
        )
        os.close(commands)
        os.close(codes)

    def __enter__(self) -> Shell:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the jobs; kill what does not end."""
        try:
            if kind is None:
                self.run("kill $(jobs -p) 2>/dev/null; wait", seconds=60)
        finally:
            self._kill()
            os.close(self._commands)
            os.close(self._codes)
            self._process.wait()

    def run(self, command: str, *, seconds: float) -> tuple[int, str]:
        """The exit code and the output. Raises ShellError when it does not end in time."""
        log = self._send(command)
        return self._code(command, seconds, log), log.read_text(errors="replace")

    def start(self, command: str, *, lines: int, seconds: float) -> str:
        """Start a job in the background; what it said when it had said so many lines. Raises ShellError."""
        log = self._send(command)
        self._code(command, seconds, log)
        end = monotonic() + seconds
        while log.read_bytes().count(b"\n") < lines:
            if monotonic() > end:
                raise ShellError(f"{command}: said too little: {log.read_text(errors='replace')}")
            code, _ = self.run("jobs %% 2>/dev/null | grep -q Running", seconds=seconds)
            if code:  # it has ended, and said all
                break
            select.select([], [], [], _POLL_SECONDS)
        return log.read_text(errors="replace")

    def _send(self, command: str) -> Path:
        self._count += 1
        log = self._logs / f"{self._count:03}"
        log.touch()
        os.write(self._commands, b"%s\0%s\0" % (os.fsencode(log), command.encode()))
        return log

    def _code(self, command: str, seconds: float, log: Path) -> int:
        ready, _, _ = select.select([self._codes], [], [], seconds)
        answer = os.read(self._codes, 64) if ready else b""
        if not answer:
            how = "ended the shell" if ready else f"did not end within {seconds:g} s"
            raise ShellError(f"{command}: {how}: {log.read_text(errors='replace')}")
        return int(answer)

    def _kill(self) -> None:
        """All processes of the shell's session, the jobs' groups included."""
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and _session(entry) == self._process.pid:
                with suppress(ProcessLookupError):
                    os.kill(int(entry.name), signal.SIGKILL)


def _session(process: Path) -> int | None:
    try:
        text = (process / "stat").read_text()
    except OSError:
        return None
    return int(text.rpartition(")")[2].split()[3])  # proc(5): field 6, after the name in parentheses
