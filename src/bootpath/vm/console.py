"""A serial console: all of its output, and a way to wait for the next match in it.

`Transcript` is the bookkeeping, bytes and times in, text and lines out; `Console` joins it to a socket, with a thread
that reads all the time so that the guest never waits for us.

- The raw bytes are kept up to `limit_bytes`, then the oldest go (`dropped_bytes` counts them); a transcript file gets
  all of them at once as they come.
- A line's time is that of its first character, in seconds since the machine's start.
- `wait_for` looks at the text not consumed yet, and consumes up to the end of the match; lines stay.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from bootpath.core.errors import MachineError
from bootpath.vm.terminal import TerminalText

LIMIT_BYTES = 16 << 20
SHOWN_LINES = 20
_RECEIVE_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class ConsoleLine:
    """A line without its end, and when it began: seconds since the machine's start."""

    seconds: float
    text: str


class MakeError(Protocol):
    """Makes the error of a machine: the caller says what happened, the machine adds its state."""

    def __call__(self, what: str, *, expected: object = None, found: object = None) -> MachineError:
        """Return the error, to be raised."""


class Transcript:
    """The output of one console so far. Not locked: `Console` does."""

    def __init__(self, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self.raw = bytearray()
        self.dropped_bytes = 0
        self.unconsumed = ""
        self._limit_bytes = limit_bytes
        self._text = TerminalText()
        self._complete: deque[ConsoleLine] = deque()
        self._complete_length = 0
        self._last: list[str] = []
        self._last_length = 0
        self._last_seconds = 0.0

    def feed(self, data: bytes, seconds: float) -> None:
        """Add what came at this time."""
        self.raw += data
        excess = len(self.raw) - self._limit_bytes
        # Not for every byte: moving the rest costs as much as it is long.
        if excess > self._limit_bytes // 8:
            del self.raw[:excess]
            self.dropped_bytes += excess
        self._add(self._text.feed(data), seconds)

    def finish(self, seconds: float) -> None:
        """There is no more output."""
        self._add(self._text.finish(), seconds)

    def lines(self) -> list[ConsoleLine]:
        """All lines kept, the last one even if it has not ended."""
        last = "".join(self._last)
        return [*self._complete, *([ConsoleLine(self._last_seconds, last)] if last else [])]

    def take(self, patterns: Sequence[re.Pattern[str]], start: int = 0) -> re.Match[str] | None:
        """The first match of any in what is not consumed, which is then consumed up to its end.

        Of those that begin at the same place, the first pattern's.
        """
        matches = [match for pattern in patterns if (match := pattern.search(self.unconsumed, start)) is not None]
        match = min(matches, key=lambda each: each.start(), default=None)
        if match is not None:
            self.unconsumed = self.unconsumed[match.end() :]
        return match

    def _add(self, text: str, seconds: float) -> None:
        if not text:
            return
        self.unconsumed = (self.unconsumed + text)[-self._limit_bytes :]
        *ended, rest = text.split("\n")
        for piece in ended:
            self._extend(piece, seconds)
            self._complete_line(seconds)
        self._extend(rest, seconds)
        # A line without end is cut, or nothing would bound it.
        if self._last_length > self._limit_bytes:
            self._complete_line(seconds)
        while self._complete_length > self._limit_bytes:
            self._complete_length -= len(self._complete.popleft().text) + 1

    def _extend(self, piece: str, seconds: float) -> None:
        if piece:
            if not self._last:
                self._last_seconds = seconds
            self._last.append(piece)
            self._last_length += len(piece)

    def _complete_line(self, seconds: float) -> None:
        self._complete.append(ConsoleLine(self._last_seconds if self._last else seconds, "".join(self._last)))
        self._complete_length += self._last_length + 1
        self._last.clear()
        self._last_length = 0


class Console:
    """One serial port of a machine that runs or has run. Any thread may use it."""

    def __init__(
        self,
        connection: socket.socket,
        *,
        seconds: Callable[[], float],
        fault: MakeError,
        transcript: Path | None = None,
        limit_bytes: int = LIMIT_BYTES,
    ) -> None:
        self._connection = connection
        self._seconds = seconds
        self._fault = fault
        self._said = Transcript(limit_bytes=limit_bytes)
        self._changed = threading.Condition()
        self._ended = False
        # Unbuffered, so that it is complete even when we are killed.
        self._file: BinaryIO | None = transcript.open("wb", buffering=0) if transcript is not None else None
        self._file_failure: OSError | None = None
        self._thread = threading.Thread(target=self._read, name="serial console", daemon=True)
        self._thread.start()

    @property
    def ended(self) -> bool:
        """True when there is no more output: QEMU has ended, and all of its output has been read."""
        return self._ended

    @property
    def raw(self) -> bytes:
        """The bytes as they came."""
        with self._changed:
            return bytes(self._said.raw)

    @property
    def dropped_bytes(self) -> int:
        """How many of the oldest bytes `raw` lacks."""
        return self._said.dropped_bytes

    @property
    def lines(self) -> list[ConsoleLine]:
        """The output as lines of plain text; the last may be unfinished."""
        with self._changed:
            return self._said.lines()

    @property
    def text(self) -> str:
        """The output as plain text."""
        return "\n".join(line.text for line in self.lines)

    @property
    def last_lines(self) -> list[str]:
        """The end of it, for an error."""
        return [line.text for line in self.lines[-SHOWN_LINES:]]

    def wait_for(
        self, pattern: str | re.Pattern[str] | Sequence[re.Pattern[str]], deadline_seconds: float
    ) -> re.Match[str]:
        """Wait until `pattern`, a text or a regular expression, is in the output, and consume up to its end.

        Of several expressions the one that matches first counts; the match's `re` tells which. Raises MachineError when
        nothing matches within `deadline_seconds`, or before QEMU ends.
        """
        if isinstance(pattern, str):
            patterns: Sequence[re.Pattern[str]] = (re.compile(re.escape(pattern)),)
        else:
            patterns = (pattern,) if isinstance(pattern, re.Pattern) else pattern
        deadline = self._seconds() + deadline_seconds
        searched = 0
        with self._changed:
            while True:
                ended = self._ended
                match = self._said.take(patterns, searched)
                if match is not None:
                    return match
                remaining = deadline - self._seconds()
                if ended or remaining <= 0:
                    break
                # A text cannot begin further back than it is long; of an expression nothing is known.
                searched = max(0, len(self._said.unconsumed) - len(pattern)) if isinstance(pattern, str) else 0
                self._changed.wait(remaining)
        wanted = repr(pattern) if isinstance(pattern, str) else " or ".join(f"/{each.pattern}/" for each in patterns)
        why = "before QEMU ended" if ended else f"within {deadline_seconds:g} s"
        raise self._fault(f"there was no match for {wanted} {why}")

    def wait_end(self, deadline_seconds: float) -> bool:
        """Wait until all output has been read and QEMU has ended; False when the deadline passes first."""
        with self._changed:
            return self._changed.wait_for(lambda: self._ended, deadline_seconds)

    def write(self, data: bytes) -> None:
        """Send bytes to the guest. Raises MachineError when QEMU has ended."""
        try:
            self._connection.sendall(data)
        except OSError as error:
            raise self._fault(f"the console cannot be written to: {error.strerror}") from error

    def send_line(self, text: str) -> None:
        """Send a line as a terminal's Enter key does: it ends with CR, which the guest's tty turns into LF."""
        self.write(text.encode() + b"\r")

    def close(self) -> None:
        """Close the socket; the output stays. Raises MachineError when the transcript file is not complete."""
        # Wakes the thread, which close alone does not.
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._connection.close()
        if self._file is not None:
            self._file.close()
        failure, self._file_failure = self._file_failure, None
        if failure is not None:
            raise self._fault(f"the transcript cannot be written: {failure.strerror}") from failure

    def _record(self, data: bytes) -> None:
        """Write to the transcript, until that fails: the guest goes on."""
        if self._file is not None and self._file_failure is None:
            try:
                self._file.write(data)
            except OSError as error:
                self._file_failure = error

    def _read(self) -> None:
        while True:
            try:
                data = self._connection.recv(_RECEIVE_BYTES)
            except OSError:
                data = b""
            self._record(data)
            with self._changed:
                if data:
                    self._said.feed(data, self._seconds())
                else:
                    self._said.finish(self._seconds())
                    self._ended = True
                self._changed.notify_all()
            if not data:
                return
