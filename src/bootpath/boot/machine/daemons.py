"""A server process that belongs to us: it says when it is ready, takes signals, and ends with us however we end.

Readiness is what the service manager would be told (sd_notify(3)): the process gets a NOTIFY_SOCKET of its own, and is
ready when ``READY=1`` comes there. The rest is `vm.process.TiedProcess`: kill -9 of this process ends it as well.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Sequence
from pathlib import Path

from bootpath.core.errors import BootError
from bootpath.vm.process import TiedProcess

READY_SECONDS = 30.0
STOP_SECONDS = 10.0
# Arguments: what is read as stdin, then the program and its arguments.
_WITH_STDIN = 'input=$1; shift; exec "$@" <"$input"'


class Daemon:
    """`command` running as the daemon `name`; `notify` is where its notifications come, a path that is free.

    `stdin` is a file for it to read. Raises BootError when it cannot be started; `wait_ready` says when it serves.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        notify: Path,
        *,
        stdin: Path = Path(os.devnull),
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.name = name
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self._notify.bind(str(notify))
            variables = ("env", f"NOTIFY_SOCKET={notify}")
            self._process = TiedProcess(
                [*variables, "sh", "-c", _WITH_STDIN, "sh", str(stdin), *command], pass_fds=pass_fds
            )
        except BaseException:
            self._notify.close()
            raise

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """False when it has ended."""
        return self._process.exit_code is None

    @property
    def said(self) -> str:
        """The last line that it wrote, without the name of the program at its head."""
        lines = self._process.output.splitlines()
        return lines[-1].removeprefix("bootpath: ") if lines else ""

    def wait_ready(self, deadline_seconds: float = READY_SECONDS) -> None:
        """Wait until it serves. Raises BootError when it ends before, with what it said, or at the deadline."""
        deadline = time.monotonic() + deadline_seconds
        try:
            ended = os.pidfd_open(self.pid)
        except ProcessLookupError:
            raise self._ended() from None
        try:
            wait = select.poll()
            wait.register(ended, select.POLLIN)
            wait.register(self._notify, select.POLLIN)
            while True:
                happened = {fd for fd, _ in wait.poll(max(0.0, deadline - time.monotonic()) * 1000)}
                if self._notify.fileno() in happened and b"READY=1" in self._notify.recv(4096).splitlines():
                    return
                if ended in happened:
                    raise self._ended()
                if not happened:
                    raise BootError(f"the process is not ready after {deadline_seconds:g} s", where=self.name)
        finally:
            os.close(ended)

    def _ended(self) -> BootError:
        self._process.wait(STOP_SECONDS)
        return BootError(
            "the process ended before it served",
            where=self.name,
            found=f"exit code {self._process.exit_code}",
            hint=self.said or None,
        )

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self._process.kill()
        self._process.wait(STOP_SECONDS)

    def pause(self) -> None:
        """SIGSTOP: it stays, and answers nothing."""
        self._process.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._process.signal(signal.SIGCONT)

    def close(self) -> None:
        """Stop it: SIGTERM, which it obeys when it is not paused, then SIGKILL."""
        self._process.signal(signal.SIGTERM)
        self._process.signal(signal.SIGCONT)
        if self._process.wait(STOP_SECONDS) is None:
            self.kill()
        self._process.close()
        self._notify.close()
