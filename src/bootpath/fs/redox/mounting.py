"""A RedoxFS mounted by FUSE, for as long as a `with` lasts.

The crate's FUSE server runs in a thread of this process; the mount is there when `Mount` has been entered, and gone
when it is left. The device is written to, also by reading (access times) and by mounting itself (cleanup): mount an
overlay to keep what is below untouched. Needs /dev/fuse, and fusermount3 to unmount, or root.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import TypeAlias

from bootpath.core.device import Device
from bootpath.core.errors import FileSystemError
from bootpath.fs.redox.redoxfs import RedoxFS

FUSE_DEVICE = Path("/dev/fuse")
MOUNT_TABLE = Path("/proc/self/mountinfo")
READY_SECONDS = 30.0
_ESCAPE = re.compile(r"\\([0-7]{3})")
Runner: TypeAlias = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]
"""Runs a program and captures what it says. Raises FileNotFoundError when there is none."""


def run_program(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """The ordinary runner."""
    return subprocess.run(command, capture_output=True, text=True, check=False)


def mounted_at(path: str | os.PathLike[str]) -> bool:
    """True when something is mounted at this path, which is not a link itself.

    By the mount table: a mount that is dead, or not served yet, cannot be asked.
    """
    parent, name = os.path.split(os.path.abspath(path))
    wanted = os.path.join(os.path.realpath(parent), name)
    with MOUNT_TABLE.open(encoding="utf-8", errors="surrogateescape") as table:
        # proc(5): field 5 is the mount point, with space, tab, newline and backslash as octal escapes
        found = [_ESCAPE.sub(lambda match: chr(int(match[1], 8)), line.split(" ")[4]) for line in table]
    return wanted in found


class Mount:
    """The RedoxFS at block `block` of `device`, mounted at `mountpoint`; see `RedoxFS.open` for `durable`.

    Entering raises FileSystemError when it cannot be mounted (ENODEV without FUSE, EBUSY, EPERM for a read-only device,
    ETIMEDOUT) and whatever `RedoxFS.open` raises. Leaving unmounts, and raises what ended the service early, EBUSY when
    a program still uses the mount; it is then detached all the same, so that no dead mount stays behind.
    """

    def __init__(
        self,
        device: Device,
        mountpoint: str | os.PathLike[str],
        *,
        password: bytes | None = None,
        block: int | None = 0,
        durable: bool = False,
        runner: Runner = run_program,
        ready_seconds: float = READY_SECONDS,
        fuse_device: Path = FUSE_DEVICE,
    ) -> None:
        self.mountpoint = Path(os.path.realpath(mountpoint))
        self._device = device
        self._password = password
        self._block = block
        self._durable = durable
        self._runner = runner
        self._ready_seconds = ready_seconds
        self._fuse_device = fuse_device
        self._mounted = False
        self._failure: BaseException | None = None
        self._changed = threading.Event()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Mount:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.unmount()
        except FileSystemError:
            self._unmount(lazy=True)
            raise

    def start(self) -> None:
        """Mount; returns when the mount is there."""
        self._check()
        fs = RedoxFS.open(self._device, password=self._password, block=self._block, cleanup=True, durable=self._durable)
        self._thread = threading.Thread(target=self._serve, args=(fs,), name=f"mount {self.mountpoint}", daemon=True)
        self._thread.start()
        self._changed.wait(self._ready_seconds)
        if self._mounted:
            return
        if not self._ended.is_set():
            raise self._error(errno.ETIMEDOUT, f"the file system was not mounted within {self._ready_seconds:g} s")
        self._raise_failure()

    def _check(self) -> None:
        if self._thread is not None:
            raise ValueError("a Mount is used once")
        if not self._fuse_device.exists():
            raise self._error(
                errno.ENODEV, f"{self._fuse_device} does not exist", "load the fuse module, or pass it to the container"
            )
        if mounted_at(self.mountpoint):
            raise self._error(errno.EBUSY, "something else is mounted here")
        if not self.mountpoint.is_dir():
            code = errno.ENOTDIR if self.mountpoint.exists() else errno.ENOENT
            raise self._error(code, "the mount point is not a directory")
        if self._device.read_only:
            raise self._error(
                errno.EPERM, "the device is read-only, and a mount writes to it", "mount an overlay on it"
            )

    def _error(self, code: int, what: str, hint: str | None = None) -> FileSystemError:
        return FileSystemError(what, errno=code, where=os.fspath(self.mountpoint), hint=hint)

    def _serve(self, fs: RedoxFS) -> None:
        try:
            try:
                fs.mount(self.mountpoint, self._on_ready)
            except FileSystemError as failure:
                # Linux, fuse_dev_do_read: a request that was being fetched when its connection ended fails with this
                # and not with ENODEV. Where a mount was detached, its last user sends one.
                if failure.errno != errno.ECONNABORTED or mounted_at(self.mountpoint):
                    raise
            self._device.flush()
        except BaseException as failure:  # noqa: BLE001 - the border of a worker: the caller's thread raises it
            self._failure = failure
            # The server can die while the kernel waits for it, and then cannot unmount by itself.
            if self._mounted and mounted_at(self.mountpoint):
                self._run_unmount(lazy=True)
        finally:
            self._ended.set()
            self._changed.set()

    def _on_ready(self) -> None:
        self._mounted = True
        self._changed.set()

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    @property
    def is_served(self) -> bool:
        """True while the mount answers."""
        return self._mounted and not self._ended.is_set()

    def wait(self) -> None:
        """Return when the mount is gone, whoever unmounted it. Raises what ended it. KeyboardInterrupt passes."""
        self._ended.wait()
        self._raise_failure()

    def unmount(self) -> None:
        """Unmount and wait until everything is stable. Raises EBUSY while it is in use, and what ended the service.

        Unmounting twice is harmless.
        """
        if self.is_served:
            self._unmount(lazy=False)
        if self._thread is not None:
            self._thread.join()
        self._raise_failure()

    def _unmount(self, *, lazy: bool) -> None:
        said = self._run_unmount(lazy=lazy)
        # It may have gone by itself meanwhile.
        if said is not None and self.is_served:
            code = errno.EBUSY if "busy" in said else errno.EPERM
            raise self._error(code, f"the file system cannot be unmounted: {said}")

    def _run_unmount(self, *, lazy: bool) -> str | None:
        """What the last program said that could not, None when one could."""
        where = os.fspath(self.mountpoint)
        said = "fusermount3, fusermount and umount are not installed"
        for program, option in (("fusermount3", "-z"), ("fusermount", "-z"), ("umount", "-l")):
            options = [option] if lazy else []
            command = ["umount", *options, where] if program == "umount" else [program, "-u", *options, "--", where]
            try:
                done = self._runner(command)
            except FileNotFoundError:
                continue
            if done.returncode == 0:
                return None
            said = done.stderr.strip()
        return said

    @contextmanager
    def unmounted_by(self, signals: Iterable[signal.Signals] = (signal.SIGINT, signal.SIGTERM)) -> Iterator[None]:
        """While this lasts, each of `signals` unmounts instead of killing the process, so that `wait` returns.

        For the main thread of a program. A mount that is in use when the signal comes is detached.
        """

        def handle(number: int, frame: FrameType | None) -> None:
            threading.Thread(target=self._unmount_or_detach, name="unmount", daemon=True).start()

        previous = {number: signal.signal(number, handle) for number in signals}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _unmount_or_detach(self) -> None:
        try:
            self._unmount(lazy=False)
        except FileSystemError:
            self._unmount(lazy=True)
