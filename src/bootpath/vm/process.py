"""A child process that never outlives its parent.

However we end, kill -9 included, the kernel ends the child: setpriv(1) asks it to (PR_SET_PDEATHSIG, prctl(2)) and then
becomes the child by exec, so that the process id, the exit code and signals are the program's own. Three traps:

- preexec_fn would run Python between fork and exec, which is not safe with threads. setpriv does it after exec.
- "The parent" is the *thread* that forked: the signal comes when that thread ends. So a thread forks, and then stays
  for as long as the child runs, waiting for it: the child is gone before its keeper is.
- We may die between fork and prctl, and no signal comes for that. So after prctl a shell compares its parent with us,
  and runs the program only if we are still there.

It has a process group of its own: Ctrl-C at a terminal is for us alone, and we end the child. Else it would be gone
while we still ask it something, and would end where we were told to go on (a shell's ``&`` ignores the signal).

The setting survives exec except into set-user-ID programs and those with file capabilities; QEMU is neither. stdout and
stderr go to an unlinked temporary file: no pipe that fills up, no thread to drain it.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
from collections.abc import Sequence

from bootpath.core.errors import MachineError
from bootpath.core.extras import apt_install

_GUARD = 'test "$PPID" = "$0" && exec "$@"'
_SHOWN_BYTES = 4096


def tied_command(command: Sequence[str], parent: int) -> list[str]:
    """`command`, run by setpriv so that it dies with the thread of process `parent` that starts it."""
    return ["setpriv", "--pdeathsig", "KILL", "--", "sh", "-c", _GUARD, str(parent), *command]


class TiedProcess:
    """`command` running, with the descriptors `pass_fds`. Raises MachineError when it cannot be started."""

    def __init__(self, command: Sequence[str], *, pass_fds: Sequence[int] = ()) -> None:
        self.command = tuple(command)
        self._ended = threading.Event()
        self._started = threading.Event()
        self._failure: OSError | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._exit_code: int | None = None
        # Not used as a context manager: it lives until `close`.
        self._output = tempfile.TemporaryFile()  # noqa: SIM115
        self._keeper = threading.Thread(target=self._keep, args=(tuple(pass_fds),), name="child's keeper", daemon=True)
        self._keeper.start()
        self._started.wait()
        if self._failure is not None:
            self._output.close()
            raise MachineError(
                f"{self.command[0]} cannot be started: {self._failure}",
                hint=apt_install("setpriv"),
                command=self.command,
            ) from self._failure

    @property
    def pid(self) -> int:
        """The process id, of the program itself."""
        assert self._process is not None
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative when a signal ended it."""
        return self._exit_code

    @property
    def output(self) -> str:
        """The end of what it wrote to stdout and stderr."""
        if self._output.closed:
            return ""
        size = os.fstat(self._output.fileno()).st_size
        data = os.pread(self._output.fileno(), _SHOWN_BYTES, max(0, size - _SHOWN_BYTES))
        return data.decode(errors="replace").strip()

    def wait(self, deadline_seconds: float | None = None) -> int | None:
        """The exit code; None when the deadline passes first."""
        self._ended.wait(deadline_seconds)
        return self._exit_code

    def kill(self) -> None:
        """SIGKILL. Returns at once; `wait` until it is gone, unless the kernel holds it."""
        assert self._process is not None
        # Popen does not signal a process id that it has already reaped.
        self._process.kill()

    def signal(self, number: int) -> None:
        """Send a signal, for example to stop it and let it go on; nothing happens when it has ended."""
        assert self._process is not None
        self._process.send_signal(number)

    def close(self) -> None:
        """Forget what it wrote."""
        self._output.close()

    def _keep(self, pass_fds: tuple[int, ...]) -> None:
        try:
            self._process = subprocess.Popen(
                tied_command(self.command, os.getpid()),
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                pass_fds=pass_fds,
                process_group=0,
            )
        except OSError as error:
            self._failure = error
            return
        finally:
            self._started.set()
        self._exit_code = self._process.wait()
        self._ended.set()
