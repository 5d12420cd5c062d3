"""Upstream's FUSE mount for the length of a test, and never longer."""

from __future__ import annotations

import select
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.tools import tool


@contextmanager
def mounted(command: Sequence[str | Path], mountpoint: Path) -> Iterator[None]:
    """Run `command`, which mounts something at `mountpoint`, and unmount it whatever happens in the body."""
    mountpoint.mkdir(exist_ok=True)
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            _wait(mountpoint, process)
            yield
            subprocess.run([tool("fusermount3"), "-u", mountpoint], check=True)
        except BaseException:
            subprocess.run([tool("fusermount3"), "-u", "-z", mountpoint], check=False)
            process.kill()
            raise


def _wait(mountpoint: Path, process: subprocess.Popen[bytes]) -> None:
    """The kernel wakes pollers of mountinfo at every change (proc(5)); the timeout is for a process that dies."""
    with open("/proc/self/mountinfo", "rb") as table:
        poller = select.poll()
        poller.register(table, select.POLLERR | select.POLLPRI)
        while not mountpoint.is_mount():
            assert process.poll() is None, f"ended with {process.returncode} before it mounted"
            poller.poll(200)
