"""Children that die with us, with sleep(1) in QEMU's place."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bootpath.core.errors import MachineError
from bootpath.vm.process import TiedProcess, tied_command
from tests.support.tools import tool

PARENT = """
import sys
from bootpath.vm import TiedProcess
child = TiedProcess(["sleep", "1000"])
print(child.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def setpriv() -> None:
    tool("setpriv")


def test_the_process_is_the_program_itself() -> None:
    child = TiedProcess(["sh", "-c", 'echo "$$"; echo words >&2; exit 7'])
    assert child.wait(60) == child.exit_code == 7
    assert child.output == f"{child.pid}\nwords"
    child.kill()
    child.close()
    assert child.output == ""


def test_the_signals_of_a_terminal_are_not_for_it() -> None:
    """Ctrl-C goes to the group that is in the foreground."""
    child = TiedProcess(["sleep", "1000"])
    assert os.getpgid(child.pid) == child.pid != os.getpgrp()
    child.kill()
    child.wait(60)
    child.close()


def test_kill() -> None:
    child = TiedProcess(["sleep", "1000"])
    assert child.wait(0) is None
    child.kill()
    assert child.wait(60) == -signal.SIGKILL
    child.close()


def test_it_outlives_the_thread_that_asked_for_it() -> None:
    started: list[TiedProcess] = []
    thread = threading.Thread(target=lambda: started.append(TiedProcess(["sleep", "1000"])))
    thread.start()
    thread.join()
    # The parent-death signal would have come by now: it is sent as the thread ends, before join returns.
    assert started[0].exit_code is None
    started[0].kill()
    assert started[0].wait(60) == -signal.SIGKILL
    started[0].close()


def test_descriptors_are_passed_on() -> None:
    reader, writer = os.pipe()
    child = TiedProcess(["sh", "-c", f"echo through >/proc/self/fd/{writer}"], pass_fds=[writer])
    os.close(writer)
    with os.fdopen(reader) as lines:
        assert lines.read() == "through\n"
    assert child.wait(60) == 0
    child.close()


def test_kill_9_of_the_parent_ends_the_child() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        watch = os.pidfd_open(child)
        os.kill(parent.pid, signal.SIGKILL)
    assert ended(watch)


def test_a_parent_that_is_gone_already_starts_nothing() -> None:
    # As if we had died between fork and prctl: the parent that setpriv sees is not the one that was meant.
    done = subprocess.run(tied_command(["echo", "started"], parent=1), capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, b"")


def test_a_program_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    child = TiedProcess(["/no/such/program"])
    assert child.wait(60) == 127
    assert "/no/such/program" in child.output
    child.close()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MachineError, match="util-linux"):
        TiedProcess(["sleep"])


def ended(watch: int) -> bool:
    """Waits until the process behind this pidfd has ended; closes it."""
    try:
        return bool(select.select([watch], [], [], 10)[0])
    finally:
        os.close(watch)
