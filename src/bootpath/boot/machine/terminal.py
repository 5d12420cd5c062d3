"""The console of a machine on a person's terminal: shown while it boots, and at the end given to the person.

While the console belongs to the person, the terminal is raw: every key goes to the machine, Ctrl-C too, and only
`LEAVE` comes back.
"""

from __future__ import annotations

import os
import select
import termios
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from bootpath.boot.machine.watched import WatchedMachine

LEAVE = b"\x1d"  # Ctrl-]
_POLL_SECONDS = 0.2
_READ_BYTES = 1024


@contextmanager
def shown_on(stream: BinaryIO) -> Iterator[Path]:
    """A file for the transcript of a console (see `vm.QEMU`): what is written there is copied to `stream` at once."""
    reading, writing = os.pipe()

    def copy() -> None:
        with open(reading, "rb", buffering=0) as source:
            while data := source.read(1 << 16):
                with suppress(OSError):  # whoever writes waits until it is read, shown or not
                    stream.write(data)
                    stream.flush()

    thread = threading.Thread(target=copy, name="transcript", daemon=True)
    thread.start()
    try:
        yield Path(f"/proc/self/fd/{writing}")
    finally:
        os.close(writing)
        thread.join()


def hand_over(machine: WatchedMachine[Any, Any], terminal: int) -> None:
    """Give the console to whoever types on the descriptor `terminal`, until the machine ends or `LEAVE` comes.

    Does nothing when that is no terminal.
    """
    if not os.isatty(terminal):
        return
    before = termios.tcgetattr(terminal)
    tty.setraw(terminal)
    try:
        while machine.machine.running:
            if select.select([terminal], [], [], _POLL_SECONDS)[0]:
                data = os.read(terminal, _READ_BYTES)
                if LEAVE in data or not data:
                    return
                machine.machine.console.write(data)
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
