"""How a command ends early: interrupted, terminated, or with nobody to read what it prints.

- SIGTERM and SIGHUP unwind the command as Ctrl-C does, so that its temporary files, sockets and machines go with it;
  a process that was forked from it, and a signal that was ignored or is handled by the command itself, are left alone.
- What a terminal cannot show (a box-drawing line in ASCII) is shown as a question mark; data for another program keeps
  a name that is not UTF-8 as it is. What people read has none (`core.printable`).
- A closed stdout fails what prints to it; a closed stderr never sends messages to stdout.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TextIO

from bootpath.core.errors import Error


class Terminated(BaseException):
    """A signal ends the command; `number` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextmanager
def terminated_tidily() -> Iterator[None]:
    """While the block runs, SIGTERM and SIGHUP raise `Terminated` in it. Only the main thread can have this."""
    owner = os.getpid()

    def end(number: int, frame: FrameType | None) -> None:
        if os.getpid() != owner:  # what is cleaned up is the parent's
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        raise Terminated(number)

    installed = []
    try:
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, end)
                installed.append(number)
    except ValueError:
        pass  # not the main thread
    try:
        yield
    finally:
        for number in installed:
            if signal.getsignal(number) is end:
                signal.signal(number, signal.SIG_DFL)


def prepare_streams() -> None:
    """Make stdout and stderr take any text."""
    if sys.stderr is None:  # print(file=None) would go to stdout
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - it is to stay open
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            unicode = (stream.encoding or "").lower().replace("-", "").startswith("utf8")
            stream.reconfigure(errors="surrogateescape" if unicode else "replace")


def flush_stdout() -> None:
    """Let all that was printed go out. Raises Error when it cannot, BrokenPipeError when nobody reads it."""
    if sys.stdout is None:
        raise Error("stdout is closed")
    with stdout_faults():
        sys.stdout.flush()


@contextmanager
def stdout_faults() -> Iterator[None]:
    """What fails in the block failed for stdout: says so as an Error. A BrokenPipeError stays what it is."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as fault:
        abandon(sys.stdout)
        raise Error(f"stdout cannot be written: {fault.strerror}") from fault


def abandon(stream: TextIO) -> None:
    """Drop what could not go out, so that the end of the process does not fail for it once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
