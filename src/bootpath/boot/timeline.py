"""What happened when: the steps of a boot, measured with a clock that is passed in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

LOADER = "loader"
"""The actor of every step that is the boot loader's."""

Clock = Callable[[], float]
"""Seconds on a monotonic clock."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step: who did what, when it began (seconds since the start), how long it took, how many bytes it read."""

    actor: str
    what: str
    start_seconds: float
    seconds: float
    bytes: int
    detail: str
    failed: bool


@dataclass(slots=True)
class _Open:
    """A step under way; its body may say more about it."""

    bytes: int = 0
    detail: str = ""


@dataclass(slots=True)
class Timeline:
    """Collects steps. The first call starts the clock."""

    clock: Clock
    steps: list[Step] = field(default_factory=list)
    _start: float | None = None

    def elapsed(self) -> float:
        """Seconds since the start."""
        now = self.clock()
        if self._start is None:
            self._start = now
        return now - self._start

    @contextmanager
    def step(self, actor: str, what: str) -> Iterator[_Open]:
        """Measure the body as one step; a step whose body raises is kept, marked as failed."""
        start = self.elapsed()
        entry = _Open()
        failed = True
        try:
            yield entry
            failed = False
        finally:
            self.steps.append(Step(actor, what, start, self.elapsed() - start, entry.bytes, entry.detail, failed))

    def note(self, actor: str, what: str, detail: str = "") -> None:
        """Something that happened, without a duration."""
        self.steps.append(Step(actor, what, self.elapsed(), 0.0, 0, detail, failed=False))
