"""The log of a server on stderr: a line for each message, whatever a client put into it."""

from __future__ import annotations

import logging
import sys
from types import TracebackType

from bootpath.core.printable import Printable, printable, printable_lines

_LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)


class PrintableFormatter(logging.Formatter):
    """A formatter whose text is printable: one line for the message, and those of a traceback, if there is one."""

    def formatMessage(self, record: logging.LogRecord) -> Printable:  # noqa: N802 - the base class names it
        """See `logging.Formatter`."""
        return printable(super().formatMessage(record))

    def formatException(  # noqa: N802
        self, ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
    ) -> Printable:
        """See `logging.Formatter`."""
        return printable_lines(super().formatException(ei).split("\n"))


def log_to_stderr(verbosity: int) -> None:
    """Log warnings, with 1 what a server does too, with 2 everything."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PrintableFormatter("bootpath: %(levelname)s: %(name)s: %(message)s"))
    logging.basicConfig(level=_LEVELS[min(verbosity, len(_LEVELS) - 1)], handlers=[handler])
