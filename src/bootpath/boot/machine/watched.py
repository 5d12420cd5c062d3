"""A QEMU whose boot is watched: started for as long as a `with` lasts, waited for on its console, with its timeline.

What boots in it, and what is reported of it, are `WatchedMachine`'s children: our own loader's guests (`boot.machine`,
`boot.linux.machine`), the image's own loader (`boot.machine.firmware`). `WatchedMachine.boot` is one boot from the
start to what the console is to say.
"""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import ClassVar, Generic, NoReturn, Self, TypeVar

from bootpath.boot.timeline import Clock, Step, Timeline
from bootpath.core.errors import BootError, Error, MachineError
from bootpath.vm.boards import PC
from bootpath.vm.config import Accelerator, MachineConfig
from bootpath.vm.qemu import QEMU

MIB = 1 << 20
LOGIN_PATTERN = r"login: $"
TIMEOUT_SECONDS = 300.0


@dataclass(slots=True, kw_only=True)
class WatchedRun:
    """What happened in any machine. Times are seconds since the beginning; `failure` is None when it booted."""

    accelerator: str = ""
    steps: Sequence[Step] = ()
    seconds_to_end: float | None = None
    screenshot: Path | None = None
    failure: Error | None = None


SetupT = TypeVar("SetupT")
RunT = TypeVar("RunT", bound=WatchedRun)

Remaining = Callable[[], float]
"""Seconds that are left of the timeout."""


class WatchedMachine(ABC, Generic[SetupT, RunT]):
    """The image `disk`, booted as `setup` says, for as long as a `with` lasts; entering prepares and starts it.

    The disk is a path or, for machines whose disk is served by us, any address that `block.open_device` knows.
    `accelerator`, `binary` and `transcript` are for `vm.QEMU`. Entering raises MachineError (QEMU), and whatever
    preparing raises.
    """

    actor: ClassVar[str]
    """Who starts QEMU, on the timeline."""
    ends: ClassVar[str]
    """A regular expression: what the console says when a boot is over without having come to its end."""

    def __init__(
        self,
        disk: Path | str,
        setup: SetupT,
        *,
        accelerator: Accelerator = Accelerator.TCG,
        binary: str | None = None,
        transcript: Path | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self.disk = disk
        self.setup = setup
        self.run = self.new_run()
        self.run.accelerator = accelerator.value
        self.timeline = Timeline(clock)
        self.started_seconds = 0.0
        self._accelerator = accelerator
        self._binary = binary
        self._transcript = transcript
        self._opened = ExitStack()
        self._machine: QEMU | None = None

    @property
    def machine(self) -> QEMU:
        """The machine, once it was started."""
        if self._machine is None:
            raise ValueError("the machine has not been started")
        return self._machine

    @property
    def started(self) -> bool:
        """True from the machine's start on, also after its end."""
        return self._machine is not None

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            directory = Path(opened.enter_context(TemporaryDirectory(prefix="bootpath-")))
            try:
                config = self.configure(directory, opened)
            except OSError as fault:
                if fault.filename is not None:
                    raise
                # A write, which does not say to what.
                hint = "set TMPDIR to a place with more room"
                raise MachineError(
                    f"the machine's files cannot be written: {fault.strerror}", where=str(directory), hint=hint
                ) from fault
            # What executes the guest of another architecture is the translator, whatever works here.
            accelerator = self._accelerator if config.board.is_pc else Accelerator.TCG
            self.run.accelerator = accelerator.value
            machine = QEMU(config, accelerator=accelerator, binary=self._binary, transcript=self._transcript)
            with self.timeline.step(self.actor, "start QEMU") as step:
                self.started_seconds = self.timeline.elapsed()
                self._machine = opened.enter_context(machine)
                program = "" if config.board is PC else f"{config.board.program}, "
                step.detail = f"{program}{accelerator.value}, {config.memory_bytes // MIB} MiB"
            _unlink_files(directory)
            self.when_started(opened)
            self._opened = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    @abstractmethod
    def new_run(self) -> RunT:
        """What happened, before anything has."""

    @abstractmethod
    def configure(self, directory: Path, opened: ExitStack) -> MachineConfig:
        """Make what QEMU needs, in `directory`; what is to be closed after the machine goes to `opened`."""

    def when_started(self, opened: ExitStack) -> None:
        """Called once the machine runs."""

    @abstractmethod
    def ended_by(self, said: str) -> NoReturn:
        """Raise the BootError for what the console `said`, which matches `ends`."""

    @abstractmethod
    def finish(self) -> RunT:
        """Take the timeline, and what can be known only while the machine is there."""

    def where(self) -> str:
        """Who is at work, for an error."""
        return self.actor

    def wait_for(self, pattern: str, deadline_seconds: float) -> re.Match[str]:
        """Wait for the console to say `pattern` (a regular expression, over lines) and consume up to its end.

        Raises BootError when the boot fails first or the machine ends; MachineError when time is over.
        """
        return self.wait_first((pattern,), deadline_seconds)[1]

    def wait_first(self, patterns: Sequence[str], deadline_seconds: float) -> tuple[int, re.Match[str]]:
        """The same for the one of several patterns that comes first, and which it is."""
        expressions = [re.compile(pattern, re.MULTILINE) for pattern in (*patterns, self.ends)]
        try:
            match = self.machine.console.wait_for(expressions, deadline_seconds)
        except MachineError as fault:
            if self.machine.running:
                raise
            raise BootError("the machine ended", where=self.where(), hint=_ending(fault)) from fault
        index = expressions.index(match.re)
        if index == len(patterns):
            self.ended_by(match[0].strip())
        return index, match

    def see(self, until: str, remaining: Remaining) -> None:
        """Wait until the boot has come to its end: the console says `until`. Raises as `wait_for`."""
        self.wait_for(until, remaining())
        self.timeline.note(self.where(), "console matches", until)

    def boot(
        self,
        *,
        until: str = LOGIN_PATTERN,
        timeout_seconds: float = TIMEOUT_SECONDS,
        screenshot: Path | None = None,
        at_end: Callable[[Self], None] | None = None,
    ) -> RunT:
        """Start, see the boot's end, give `at_end` the machine, take a picture, and end it.

        A boot that fails is a result, and so is one that takes longer than the timeout. Raises MachineError when QEMU
        itself does not work.
        """
        run = self.run
        deadline = self.timeline.clock() + timeout_seconds
        try:
            with self:
                try:
                    self.see(until, lambda: max(0.0, deadline - self.timeline.clock()))
                    run.seconds_to_end = self.timeline.elapsed()
                    if at_end is not None:
                        at_end(self)
                except MachineError as fault:
                    if not self.machine.running:
                        raise
                    late = run.seconds_to_end is None and self.timeline.clock() >= deadline
                    what = f"there was no match for /{until}/ within {timeout_seconds:g} s" if late else str(fault)
                    run.failure = BootError(what, where=self.where(), hint=_last(fault.console))
                finally:
                    if screenshot is not None:
                        self._take_picture(screenshot)
                    self.finish()
        except MachineError:
            raise
        except Error as fault:
            run.failure = fault
            run.steps = run.steps or self.timeline.steps
        return run

    def _take_picture(self, path: Path) -> None:
        """The screen as it is now. That there is none goes to the timeline: it changes nothing of the boot."""
        try:
            self.machine.screendump(path)
        except MachineError as fault:
            self.timeline.note(self.where(), "no screenshot", fault.what if self.machine.running else "it has ended")
        else:
            self.run.screenshot = path


def _unlink_files(directory: Path) -> None:
    """Take the names from the files that QEMU has read or holds open: however we end, nothing stays of them."""
    for path in directory.iterdir():
        if path.is_file():
            path.unlink()


def _ending(fault: MachineError) -> str:
    """How QEMU ended, and what was said last."""
    said = fault.diagnostics.splitlines() or [f"QEMU's exit code is {fault.exit_code}"]
    return f"{said[-1]}; {_last(fault.console)}"


def _last(lines: Sequence[str]) -> str:
    said = [line for line in lines if line.strip()]
    return f"its last line: {said[-1].strip()}" if said else "it said nothing"
