"""The system calls of an init that Python's own modules do not have.

Sources: mount(2), umount2(2), unshare(2), reboot(2), finit_module(2); the numbers are those of linux/mount.h,
linux/sched.h and linux/reboot.h. Every function raises OSError with the path it was about.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from enum import Enum

MS_MOVE = 8192
MS_REC = 16384
MS_PRIVATE = 1 << 18
CLONE_NEWNS = 0x00020000
CLONE_NEWPID = 0x20000000
_FINIT_MODULE = {"x86_64": 313, "aarch64": 273}

_libc = ctypes.CDLL(None, use_errno=True)


class Ending(Enum):
    """How a machine ends: the magic numbers of reboot(2)."""

    POWER_OFF = 0x4321FEDC
    RESTART = 0x01234567


def _check(result: int, what: str) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), what)


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2)."""
    names = [name.encode() or None for name in (source, target, kind)]
    _check(_libc.mount(*names, ctypes.c_ulong(flags), data.encode() or None), target)


def unshare(flags: int) -> None:
    """unshare(2)."""
    _check(_libc.unshare(flags), "unshare")


def load_module(path: str) -> None:
    """Load a kernel module from a file; one that is loaded already is fine."""
    with open(path, "rb") as file:
        number = _FINIT_MODULE[os.uname().machine]
        with contextlib.suppress(FileExistsError):
            _check(_libc.syscall(ctypes.c_long(number), file.fileno(), b"", 0), path)


def hand_over_ctrl_alt_del() -> None:
    """From now on these keys are a SIGINT for PID 1, and no longer an immediate reset."""
    _check(_libc.reboot(ctypes.c_int(0)), "reboot")


def end_machine(ending: Ending) -> None:
    """reboot(2); a PID 1 does not come back from it."""
    os.sync()
    sys.stdout.flush()
    _check(_libc.reboot(ctypes.c_int(ending.value - (1 << 32) if ending.value >> 31 else ending.value)), "reboot")
