"""Waiting for a mount without guessing how long it takes."""

from __future__ import annotations

import select
import subprocess
from pathlib import Path


def wait_mounted(mountpoint: Path, process: subprocess.Popen[bytes]) -> None:
    """Return when `process` has mounted something at `mountpoint`; fails when it ends first.

    The kernel wakes pollers of mountinfo at every change (proc(5)); the timeout is only for a process that dies.
    """
    with open("/proc/self/mountinfo", "rb") as table:
        poller = select.poll()
        poller.register(table, select.POLLERR | select.POLLPRI)
        while not mountpoint.is_mount():
            assert process.poll() is None, f"ended with {process.returncode} before it mounted"
            poller.poll(200)
