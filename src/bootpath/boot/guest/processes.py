"""A child of init that obeys orders, one at a time: a fork, so everything it needs is imported already.

Orders and answers are messages on a socket pair. An answer is a NUL when the order was done, or the text of the
fault. The child ends, with code 0, after the order `LAST` or when init is gone.
"""

from __future__ import annotations

import os
import socket
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn, TypeAlias

from bootpath.core.errors import BootError, Error

Orders: TypeAlias = Mapping[str, Callable[[], None]]

LAST = "stop"
_MESSAGE_BYTES = 4096
_NAME = Path("/proc/self/comm")
_FAILED = 1


class Worker:
    """The child `name`, which obeys what `make` returns; that runs in the child. Raises BootError when it fails."""

    def __init__(self, name: str, make: Callable[[], Orders]) -> None:
        self.name = name
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            self._socket.close()
            _obey(name, make, theirs)
        theirs.close()
        try:
            self._answer()
        except BootError:
            self.close()
            raise

    def close(self) -> None:
        """Give no more orders: the child ends."""
        self._socket.close()

    def order(self, name: str) -> None:
        """Give an order, wait for the answer. Raises BootError with the child's fault, or when the child has died."""
        try:
            self._socket.send(name.encode())
        except OSError as fault:
            raise BootError(f"{self.name} is gone: {fault.strerror}") from fault
        self._answer()

    def _answer(self) -> None:
        said = self._socket.recv(_MESSAGE_BYTES)
        if said != b"\0":
            raise BootError(said.decode(errors="replace") or f"{self.name} ended without an answer")


def _obey(name: str, make: Callable[[], Orders], orders: socket.socket) -> NoReturn:
    """The child. It never returns."""
    code = _FAILED
    try:
        if _NAME.exists():
            _NAME.write_text(name)
        known: list[Orders] = []
        if _do(lambda: known.append(make()), orders):
            while order := orders.recv(_MESSAGE_BYTES).decode():
                done = _do(known[0][order], orders)
                if order == LAST and done:
                    break
            code = 0
    except BaseException:  # noqa: BLE001 - the border of a process: nobody else would print it
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _do(action: Callable[[], None], orders: socket.socket) -> bool:
    """Do it and answer. A fault that nobody expects ends the child."""
    try:
        action()
    except (Error, OSError) as fault:
        orders.send(str(fault).encode()[:_MESSAGE_BYTES])
        return False
    orders.send(b"\0")
    return True
