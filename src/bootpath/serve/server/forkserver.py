"""Processes forked from a clean state at any time.

A process that has threads must not fork: the child has one of them, and every lock that another held stays locked. So
the fork server is forked once, while there is one thread. It waits, and forks again when it is asked to: its children
are whole, whoever has started threads meanwhile.

Each child has a channel to the process that asked: a socket of messages whose end is the other side's end, however that
came. The fork server ends with its own channel, and does not wait for its children, which have theirs.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import socket
from collections.abc import Callable
from typing import NoReturn

_log = logging.getLogger(__name__)


def channel_pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of a socket that keeps messages apart, and can carry descriptors."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


class ForkServer:
    """Forks children that call `run` with their channel, and end when it returns.

    Make it while the process has one thread, and before it opens what children should not keep open. Signals that ask a
    process to end are ignored by it and its children: they are for the process that made it.
    """

    def __init__(self, run: Callable[[socket.socket], None]) -> None:
        self.channel, theirs = channel_pair()
        self._pid = os.fork()
        if self._pid == 0:
            _end_after(_serve_forks, self.channel, theirs, run)
        theirs.close()

    def fork(self) -> socket.socket:
        """One more child; its channel. Should the fork fail, the channel ends at once. Raises OSError."""
        ours, theirs = channel_pair()
        with theirs:
            socket.send_fds(self.channel, [b"f"], [theirs.fileno()])
        return ours

    def ended(self) -> None:
        """Its channel has ended: close this side too, and wait for the process, which is about to end or has."""
        self.channel.close()
        self._wait(0)

    def close(self) -> None:
        """Close its channel, so that it ends; does not wait for it."""
        self.channel.close()
        self._wait(os.WNOHANG)

    def _wait(self, options: int) -> None:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, options)


def _serve_forks(parents: socket.socket, channel: socket.socket, run: Callable[[socket.socket], None]) -> None:
    """What the fork server runs, and in each child `run`."""
    parents.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children
    gc.freeze()  # a collection would write to every page, and so copy it in every child
    while True:
        data, fds, _, _ = socket.recv_fds(channel, 1, 1)
        if not data:
            return
        for fd in fds:
            try:
                child = os.fork()
            except OSError as error:
                _log.error("cannot fork a server process: %s", error)
                child = -1
            if child == 0:
                channel.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                with socket.socket(fileno=fd) as own:
                    run(own)
                return
            os.close(fd)


def _end_after(
    life: Callable[[socket.socket, socket.socket, Callable[[socket.socket], None]], None],
    parents: socket.socket,
    channel: socket.socket,
    run: Callable[[socket.socket], None],
) -> NoReturn:
    """Run `life` in a forked process and end it, so that nothing of its parent's is run."""
    code = 1
    try:
        life(parents, channel, run)
        code = 0
    except BaseException:  # noqa: BLE001 - a process' border
        _log.exception("a forked process failed")
    finally:
        os._exit(code)
