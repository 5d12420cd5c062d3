"""The system in the root: its init is PID 1 of a namespace, so that what carries the root outlives it.

    init of the initramfs (PID 1)
    ├── lived                           sees the initramfs as its root; nobody in the root can kill it
    └── keeper
        └── /sbin/init (PID 1 there)    its root is the RedoxFS, moved over / as switch_root does

When that init powers off or reboots, Linux ends the namespace and tells the keeper by a signal (reboot(2), "Behavior
inside PID namespaces": SIGINT for halt and power off, SIGHUP for restart). Only then are the root unmounted and lived
stopped, in that order.

Ctrl-Alt-Del is a SIGINT for the machine's PID 1, which hands it on by the keeper to the system's init.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from bootpath.boot.guest import syscalls
from bootpath.boot.guest.syscalls import Ending
from bootpath.core.errors import BootError

CONSOLE = "/dev/console"
_MOUNTS = (
    ("proc", "proc", "proc", ""),
    ("sysfs", "sys", "sysfs", ""),
    ("devtmpfs", "dev", "devtmpfs", ""),
    ("devpts", "dev/pts", "devpts", "gid=5,mode=620,ptmxmode=666"),
    ("tmpfs", "run", "tmpfs", "mode=755"),
)
_ENVIRONMENT = {"HOME": "/", "TERM": "linux", "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


def check_init(root: Path, init: str) -> None:
    """Refuse a root whose init cannot be started. Raises BootError."""
    path = root / init.lstrip("/")
    if not path.is_symlink() and not os.access(path, os.X_OK):
        raise BootError("the root has no init", where=init, hint="name another with bootpath.init=")


def keep_system(root: Path, init: str, environment: Mapping[str, str] = _ENVIRONMENT) -> NoReturn:
    """The keeper: run `init` in `root` in namespaces of its own, wait for its end, and end in the same way.

    For a process made for this: it and its children belong to the namespaces from then on.
    """
    status = 127 << 8
    try:
        syscalls.unshare(syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID)
        pid = os.fork()
        if pid == 0:
            try:
                _become(root, init, environment)
            finally:
                os._exit(127)
        signal.signal(signal.SIGINT, lambda *_: os.kill(pid, signal.SIGINT))
        status = os.waitpid(pid, 0)[1]
    finally:
        if os.WIFSIGNALED(status):
            signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
            os.kill(os.getpid(), os.WTERMSIG(status))
        os._exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 127)


def ending(status: int) -> Ending | None:
    """What the system asked for when it ended, by the status of its init; None when it died instead."""
    if not os.WIFSIGNALED(status):
        return None
    asked: dict[int, Ending] = {signal.SIGINT: Ending.POWER_OFF, signal.SIGHUP: Ending.RESTART}
    return asked.get(os.WTERMSIG(status))


def _become(root: Path, init: str, environment: Mapping[str, str]) -> NoReturn:
    syscalls.mount("", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
    for source, place, kind, data in _MOUNTS:
        target = root / place
        target.mkdir(exist_ok=True)
        syscalls.mount(source, str(target), kind, data=data)
    os.chdir(root)
    syscalls.mount(".", "/", flags=syscalls.MS_MOVE)
    os.chroot(".")
    os.chdir("/")
    os.setsid()
    console = os.open(CONSOLE, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(console, fd)
    if console > 2:
        os.close(console)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    os.execve(init, [init], dict(environment))  # noqa: S606 - what an init is for
