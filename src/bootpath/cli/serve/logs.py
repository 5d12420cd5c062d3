"""The log of a server on stderr: a line for each message, whatever a client put into it."""

from __future__ import annotations

import logging
import os
import sys
from copy import copy
from types import TracebackType

from bootpath.cli.failures import TRACEBACK, unforeseen
from bootpath.core.printable import Printable, printable, printable_lines

_FORMAT = "bootpath: %(levelname)s: %(name)s: %(message)s"
_LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)


class PrintableFormatter(logging.Formatter):
    """A formatter whose text is printable: one line for a message and what failed; or its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        fault = record.exc_info[1] if record.exc_info else None
        if fault is None or TRACEBACK in os.environ:
            return super().format(record)
        line = copy(record)
        line.exc_info = line.exc_text = None
        return printable(f"{super().format(line)}: {unforeseen(fault)}")

    def formatMessage(self, record: logging.LogRecord) -> Printable:  # noqa: N802 - the base class names it
        """See `logging.Formatter`."""
        return printable(super().formatMessage(record))

    def formatException(  # noqa: N802
        self, ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
    ) -> Printable:
        """See `logging.Formatter`."""
        return printable_lines(super().formatException(ei).split("\n"))


def log_to_stderr(verbosity: int = 0) -> None:
    """Log warnings, with 1 what a server does too, with 2 everything."""
    from bootpath.serve.running.logs import BriefHandler

    handler = BriefHandler(sys.stderr, PrintableFormatter(_FORMAT))
    logging.basicConfig(level=_LEVELS[min(verbosity, len(_LEVELS) - 1)], handlers=[handler])
