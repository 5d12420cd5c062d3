"""A boot that is watched: what of it needs no QEMU."""

from __future__ import annotations

import errno
import re
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn, Self, cast

import pytest

from bootpath.boot.machine.watched import WatchedMachine, WatchedRun, _unlink_files
from bootpath.core.errors import BootError, MachineError
from bootpath.vm.config import MachineConfig
from bootpath.vm.qemu import QEMU

LINES = ["Loading", "", "it waits for the root  ", ""]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Guest:
    """A QEMU whose console has said `said`, and then says nothing until a deadline passes."""

    def __init__(self, clock: Clock, said: str, *, running: bool = True, lines: list[str] | None = None) -> None:
        self.clock = clock
        self.said = said
        self.running = running
        self.lines = LINES if lines is None else lines
        self.console = self

    def wait_for(self, patterns: Sequence[re.Pattern[str]], deadline_seconds: float) -> re.Match[str]:
        match = next((match for pattern in patterns if (match := pattern.search(self.said)) is not None), None)
        if match is None:
            self.clock.now += deadline_seconds
            code = None if self.running else 0
            raise MachineError("no", expected=patterns[0].pattern, exit_code=code, console=self.lines)
        return match

    def screendump(self, path: Path) -> None:
        if not path.parent.is_dir():
            raise MachineError("refused")
        path.write_bytes(b"png")


class Watched(WatchedMachine[str, WatchedRun]):
    actor = "loader"
    ends = "Kernel panic[^\n]*\n"

    def __init__(self, clock: Clock, guest: Guest) -> None:
        super().__init__(Path("disk.img"), "setup", clock=clock)
        self.guest = guest
        self.finished = 0

    def new_run(self) -> WatchedRun:
        return WatchedRun()

    def __enter__(self) -> Self:
        self._machine = cast(QEMU, self.guest)
        return self

    def configure(self, directory: Path, opened: ExitStack) -> MachineConfig:
        raise NotImplementedError

    def ended_by(self, said: str) -> NoReturn:
        raise BootError(said, where="guest")

    def finish(self) -> WatchedRun:
        self.finished += 1
        self.run.steps = self.timeline.steps
        return self.run


def watched(said: str, *, running: bool = True, lines: list[str] | None = None) -> Watched:
    clock = Clock()
    return Watched(clock, Guest(clock, said, running=running, lines=lines))


def test_a_boot_that_comes_to_its_end(tmp_path: Path) -> None:
    machine = watched("hello\nlogin: ")
    ends: list[float] = []
    run = machine.boot(screenshot=tmp_path / "s.png", at_end=lambda booted: ends.append(booted.timeline.elapsed()))
    assert (run.failure, run.screenshot, ends, machine.finished) == (None, tmp_path / "s.png", [0.0], 1)
    assert [(step.actor, step.what, step.detail) for step in run.steps] == [("loader", "console matches", "login: $")]


def test_a_timeout_says_what_was_waited_for_and_what_was_said_last() -> None:
    machine = watched("nothing of it")
    run = machine.boot(until="all is well", timeout_seconds=3)
    assert str(run.failure) == (
        "loader: there was no match for /all is well/ within 3 s; its last line: it waits for the root"
    )
    assert isinstance(run.failure, BootError)
    assert (run.seconds_to_end, machine.finished) == (None, 1)


@pytest.mark.parametrize("until", ["(?i)LOGIN: $", r"(?P<wanted>l)ogin|(?P<end>e)nd", r"(l)(o)gin|(x)\3"])
def test_an_expression_of_the_callers_stands_alone(until: str) -> None:
    """Flags, names and numbers of groups in it are its own."""
    assert watched("hello\nlogin: ").boot(until=until, timeout_seconds=3).failure is None


def test_a_console_that_is_silent() -> None:
    run = watched("", lines=[]).boot(until="all is well", timeout_seconds=3)
    assert str(run.failure).endswith("no match for /all is well/ within 3 s; it said nothing")


def test_what_fails_after_the_end_is_no_timeout_of_the_boot() -> None:
    def at_end(booted: Watched) -> None:
        booted.wait_for("a prompt", 500)

    run = watched("login: ").boot(timeout_seconds=3, at_end=at_end)
    assert "a prompt" in str(run.failure)
    assert run.seconds_to_end == 0.0


def test_a_machine_that_ends() -> None:
    run = watched("", running=False).boot(timeout_seconds=3)
    assert str(run.failure) == (
        "loader: the machine ended; QEMU's exit code is 0; its last line: it waits for the root"
    )


def test_a_picture_that_cannot_be_taken_is_told() -> None:
    run = watched("login: ").boot(screenshot=Path("/no/such/directory/s.png"))
    assert (run.failure, run.screenshot) == (None, None)
    assert [(step.what, step.detail) for step in run.steps][1:] == [("no screenshot", "refused")]


def test_what_the_console_says_when_a_boot_is_over() -> None:
    assert str(watched("Kernel panic: no\n").boot().failure) == "guest: Kernel panic: no"


def test_a_qemu_that_does_not_work_is_no_result() -> None:
    machine = watched("login: ", running=False)

    def at_end(booted: Watched) -> None:
        raise MachineError("it is gone")

    with pytest.raises(MachineError):
        machine.boot(at_end=at_end)


class Full(Watched):
    def __enter__(self) -> Self:
        return WatchedMachine.__enter__(self)

    def configure(self, directory: Path, opened: ExitStack) -> MachineConfig:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_place_for_files_that_is_full_is_named() -> None:
    clock = Clock()
    with pytest.raises(MachineError, match=r"/bootpath-\w+: .*: No space left on device; set TMPDIR"):
        Full(clock, Guest(clock, "")).boot()


def test_what_qemu_has_read_has_no_name_any_more(tmp_path: Path) -> None:
    (tmp_path / "kernel").write_bytes(b"")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "disk.sock"))
        _unlink_files(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["disk.sock"]
