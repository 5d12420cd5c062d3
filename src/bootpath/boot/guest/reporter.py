"""Reports events to the console: whole lines, each in one write."""

from __future__ import annotations

import os
from collections.abc import Callable

from bootpath.boot.protocol.events import Event


class ConsoleReporter:
    """Writes events to the descriptor `fd`, with seconds of `clock`. Processes may share it."""

    def __init__(self, fd: int, clock: Callable[[], float]) -> None:
        self._fd = fd
        self._clock = clock

    def __call__(self, unit: str, what: str, detail: str = "") -> None:
        """Report that `what` happened in `unit`. A console that is gone is not an error: the boot goes on."""
        try:
            os.write(self._fd, f"{Event(self._clock(), unit, what, detail)}\n".encode(errors="replace"))
        except OSError:
            return
