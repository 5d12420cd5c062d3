"""A QEMU whose boot is watched: started for as long as a `with` lasts, waited for on its console, told as a timeline.

What boots in it, and how it is told, are `WatchedMachine`'s children: our own loader's guests (`boot.machine`), the
image's own loader (`boot.firmwareboot`). `watch` is one boot from the start to what the console is to say.
"""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import ClassVar, Generic, NoReturn, Self, TypeVar

from bootpath.boot.timeline import Clock, Step, Timeline
from bootpath.core import BootError, Error
from bootpath.core.errors import MachineError
from bootpath.vm import QEMU, Accelerator, MachineConfig

MIB = 1 << 20
LOGIN_PATTERN = r"login: $"


@dataclass(slots=True, kw_only=True)
class WatchedRun:
    """What happened in any machine. Times are seconds since the beginning; `failure` is None when it booted."""

    accelerator: str = ""
    steps: Sequence[Step] = ()
    seconds_to_end: float | None = None
    screenshot: Path | None = None
    failure: Error | None = None


RunT = TypeVar("RunT", bound=WatchedRun)


class WatchedMachine(ABC, Generic[RunT]):
    """A machine that boots for as long as a `with` lasts; entering prepares and starts it.

    Entering raises MachineError (QEMU), and whatever preparing raises.
    """

    actor: ClassVar[str]
    """Who starts QEMU, on the timeline."""
    ends: ClassVar[str]
    """A regular expression: what the console says when a boot is over without having come to its end."""

    def __init__(
        self,
        run: RunT,
        *,
        accelerator: Accelerator = Accelerator.TCG,
        binary: str | None = None,
        transcript: Path | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        run.accelerator = accelerator.value
        self.run = run
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
            config = self.configure(directory, opened)
            machine = QEMU(config, accelerator=self._accelerator, binary=self._binary, transcript=self._transcript)
            with self.timeline.step(self.actor, "start QEMU") as step:
                self.started_seconds = self.timeline.elapsed()
                self._machine = opened.enter_context(machine)
                step.detail = f"{self._accelerator.value}, {config.memory_bytes // MIB} MiB"
            self.when_started(opened)
            self._opened = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

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
        """Take the timeline, and what can be told only while the machine is there."""

    def where(self) -> str:
        """Who is at work, for an error."""
        return self.actor

    def wait_for(self, pattern: str, deadline_seconds: float) -> re.Match[str]:
        """Wait for the console to say `pattern` (a regular expression, over lines) and consume up to its end.

        Raises BootError when the boot fails first or the machine ends; MachineError when time is over.
        """
        expression = re.compile(f"(?P<wanted>{pattern})|(?P<end>{self.ends})", re.MULTILINE)
        try:
            match = self.machine.console.wait_for(expression, deadline_seconds)
        except MachineError as fault:
            if self.machine.running:
                raise
            raise BootError("the machine ended", where=self.where(), hint=str(fault)) from fault
        if match["wanted"] is None:
            self.ended_by(match["end"].strip())
        return match


Remaining = Callable[[], float]
"""Seconds that are left of the timeout."""


def watch(
    machine: WatchedMachine[RunT],
    wait: Callable[[Remaining], None],
    *,
    timeout_seconds: float,
    screenshot: Path | None = None,
    at_end: Callable[[], None] | None = None,
) -> RunT:
    """Start, let `wait` (given the seconds that remain) see the boot's end, take a picture; `at_end` runs at the end.

    A boot that fails is a result, and so is one that takes longer than the timeout. Raises MachineError when QEMU
    itself does not work.
    """
    run = machine.run
    deadline = machine.timeline.clock() + timeout_seconds
    try:
        with machine:
            try:
                wait(lambda: max(0.0, deadline - machine.timeline.clock()))
                run.seconds_to_end = machine.timeline.elapsed()
                if at_end is not None:
                    at_end()
            except MachineError as fault:
                if not machine.machine.running:
                    raise
                run.failure = BootError(str(fault), where=machine.where(), hint=_last(fault.console))
            finally:
                if screenshot is not None and machine.machine.running:
                    with suppress(MachineError):
                        machine.machine.screendump(screenshot)
                        run.screenshot = screenshot
                machine.finish()
    except MachineError:
        raise
    except Error as fault:
        run.failure = fault
        run.steps = run.steps or machine.timeline.steps
    return run


def _last(lines: Sequence[str]) -> str | None:
    said = [line for line in lines if line.strip()]
    return f"the console's last line: {said[-1].strip()}" if said else None
