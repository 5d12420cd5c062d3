"""A server's log on stderr, in which what happens again and again takes no more than a few lines.

A client or a disk can make a server warn as fast as it serves. So of the warnings and errors that one statement makes,
`MOST` are shown within `WINDOW_SECONDS`; how many more there were is said with the next one after that, or at the end.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

MOST = 5
WINDOW_SECONDS = 10.0


@dataclass(slots=True)
class _Repeated:
    """What one statement said since `since_seconds`."""

    since_seconds: float
    shown: int = 0
    held: int = 0


class BriefHandler(logging.StreamHandler[TextIO]):
    """Writes to a stream what is not said too often."""

    def __init__(
        self, stream: TextIO, formatter: logging.Formatter, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(stream)
        self.setFormatter(formatter)
        self._clock = clock
        self._said: dict[tuple[str, str], _Repeated] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        if record.levelno >= logging.WARNING and not self._is_due(record):
            return
        super().emit(record)

    def close(self) -> None:
        """See `logging.Handler.close`; says what was held back."""
        said, self._said = self._said, {}
        for (name, text), repeated in said.items():
            self._tell(name, text, repeated)
        super().close()

    def _is_due(self, record: logging.LogRecord) -> bool:
        now = self._clock()
        key = record.name, str(record.msg)
        repeated = self._said.setdefault(key, _Repeated(now))
        if now >= repeated.since_seconds + WINDOW_SECONDS:
            self._tell(*key, repeated)
            self._said[key] = repeated = _Repeated(now)
        if repeated.shown == MOST:
            repeated.held += 1
            return False
        repeated.shown += 1
        return True

    def _tell(self, name: str, text: str, repeated: _Repeated) -> None:
        if repeated.held:
            what = "%d more like this within %.0f s: %s"
            arguments = (repeated.held, self._clock() - repeated.since_seconds, text)
            super().emit(logging.LogRecord(name, logging.WARNING, "", 0, what, arguments, None))
