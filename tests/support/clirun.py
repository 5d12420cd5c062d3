"""Commands by the thousand: each in a fork of one process that has imported everything, under limits.

    with Runner(folder) as runner:
        ended = runner.run(["inspect", "disk.img"], cwd=place)
        assert not faults_of(ended)

A command has its own session, no capabilities, nor has any program that it starts (so that root meets files that it may
not read, and mounts nothing), a bound for its memory, its processor time, the files it writes and the time it takes;
its stdout and stderr are files. What it leaves running is its `left`, and is ended.

The other side of the pipe is this module as a program: one process without threads, a request a line, an answer a line.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import json
import os
import pkgutil
import resource
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

MIB = 1 << 20
DOCUMENTED = frozenset({0, 1, 2, 3})
"""The exit codes of every command; `boot` has 4 as well."""
VERDICTS = frozenset({3, 4})
"""Of a result, which says why itself."""

_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_SECUREBITS, _SECBIT_NOROOT = 28, 1
_CAPABILITY_VERSION = 0x20080522  # _LINUX_CAPABILITY_VERSION_3 of linux/capability.h
_LEAVING_SECONDS = 5.0  # for what the command ended, but did not wait for
_OTHERS = (
    *("PIL.Image", "cryptography.x509", "elftools.elf.elffile", "json", "obstore"),
    *("qemu.qmp", "rich.console", "rich.progress", "rich.table", "shtab", "zstandard", "http.client", "difflib"),
    *("cryptography.hazmat.primitives.serialization", "cryptography.hazmat.primitives.asymmetric.ec"),
    *("cryptography.hazmat.primitives.asymmetric.padding", "cryptography.hazmat.primitives.ciphers"),
)
"""What commands import when they need it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one command."""

    memory_bytes: int = 2048 * MIB
    processor_seconds: int = 20
    file_bytes: int = 256 * MIB
    hang_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: `code` is negative for the signal that ended it, None when it had to be ended."""

    words: tuple[str, ...]
    code: int | None
    out: bytes
    err: bytes
    left: tuple[str, ...]
    seconds: float


class Runner:
    """The process that forks. `folder` is for what the commands print. A runner serves one thread."""

    def __init__(self, folder: Path, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._out = folder / "stdout"
        self._err = folder / "stderr"
        self._process = subprocess.Popen(
            [sys.executable, "-m", __spec__.name],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def run(
        self,
        words: Sequence[str],
        *,
        cwd: Path,
        program: str = "bootpath",
        environment: Mapping[str, str] | None = None,
        stdin: Path | None = None,
        stdout: Path | None = None,
        closed: Collection[int] = (),
    ) -> Ended:
        """Run one command; `closed` are those of its descriptors 0, 1 and 2 that it does not have."""
        request = {
            "words": [*words],
            "cwd": str(cwd),
            "program": program,
            "environment": dict(environment or {}),
            "stdin": str(stdin or os.devnull),
            "stdout": str(stdout or self._out),
            "stderr": str(self._err),
            "closed": [*closed],
            "limits": asdict(self.limits),
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        for path in (self._out, self._err):
            path.unlink(missing_ok=True)
        print(json.dumps(request), file=self._process.stdin, flush=True)
        answer = json.loads(self._process.stdout.readline())
        out, err = (path.read_bytes() if path.exists() else b"" for path in (self._out, self._err))
        return Ended(tuple(words), answer["code"], out, err, tuple(answer["left"]), answer["seconds"])


def faults_of(ended: Ended, *, codes: Collection[int] = DOCUMENTED, binary: bool = False) -> list[str]:
    """What no command may do, whatever it was given; `binary`: stdout is no text."""
    faults = []
    err = ended.err.decode(errors="surrogateescape")
    out = "" if binary else ended.out.decode(errors="surrogateescape")
    if ended.code is None:
        faults.append("it hangs")
    elif ended.code not in codes:
        faults.append(f"exit code {ended.code}")
    if "Traceback (most recent" in err + out:
        faults.append("a traceback")
    if ended.code and not (err + (out if ended.code in VERDICTS else "")).strip():
        faults.append("nothing says what is wrong")
    faults += [
        f"{character!a} in {name}"
        for name, text in (("stderr", err), ("stdout", out))
        for character in sorted(set(text))
        if not shown(character)
    ]
    if ended.left:
        faults.append(f"still runs: {ended.left}")
    if "--json" in ended.words and not binary:
        faults += _not_json(ended, out)
    return faults


def shown(character: str) -> bool:
    """Whether a terminal shows it, and obeys nothing: no control, no change of direction, no separator of lines."""
    return character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cf", "Zl", "Zp")


def _not_json(ended: Ended, out: str) -> Iterator[str]:
    try:
        value = json.loads(out)
    except ValueError:
        yield "stdout is not one JSON value"
        return
    if not isinstance(value, dict):
        yield "stdout is not a JSON object"
    elif value.get("exit_code", ended.code) != ended.code:
        yield f"the object says exit code {value['exit_code']}"


# The process that forks


def _serve() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    _warm_up()
    assert threading.active_count() == 1
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        request = json.loads(line)
        start = time.monotonic()
        pid = os.fork()
        if pid == 0:
            _become(request, libc)
        code = _wait(pid, request["limits"]["hang_seconds"])
        seconds = time.monotonic() - start
        print(json.dumps({"code": code, "left": _end_left(), "seconds": seconds}), flush=True)


def _warm_up() -> None:
    import bootpath

    for module in pkgutil.walk_packages(bootpath.__path__, "bootpath."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    for name in _OTHERS:
        with suppress(ImportError):
            import_module(name)


def _wait(pid: int, seconds: float) -> int | None:
    handle = os.pidfd_open(pid)
    try:
        hangs = not select.select([handle], [], [], seconds)[0]
    finally:
        os.close(handle)
    if hangs:
        os.kill(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return None if hangs else code


def _end_left() -> list[str]:
    """The processes that a command left; what is ending already has the time for it."""
    until = time.monotonic() + _LEAVING_SECONDS
    left: list[str] = []
    with suppress(ChildProcessError):
        while time.monotonic() < until:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.01)
        while True:
            for child in Path("/proc/self/task", str(os.getpid()), "children").read_text().split():
                left.append(Path("/proc", child, "cmdline").read_text(errors="replace").replace("\0", " ").strip())
                os.kill(int(child), signal.SIGKILL)
            os.waitpid(-1, 0)
    return left


def _become(request: Mapping[str, Any], libc: ctypes.CDLL) -> NoReturn:
    """The fork: the command, from its first line to its exit code."""
    code = 1
    try:
        _prepare(request, libc)
        code = _call(request["program"], request["words"])
    except BaseException:  # noqa: BLE001 - the border of a process: nobody else would print it
        traceback.print_exc()
    finally:
        with suppress(BaseException):
            threading._shutdown()  # type: ignore[attr-defined]
            atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()
        os._exit(code)


def _call(program: str, words: list[str]) -> int:
    from bootpath.cli import lived, main

    sys.argv = [program, *words]
    try:
        return {"bootpath": main.main, "lived": lived.main}[program]()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1


def _prepare(request: Mapping[str, Any], libc: ctypes.CDLL) -> None:
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    writing = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    for number, (name, flags) in enumerate(
        (("stdin", os.O_RDONLY | os.O_NONBLOCK), ("stdout", writing), ("stderr", writing))
    ):
        os.dup2(os.open(request[name], flags, 0o600), number)
    os.set_blocking(0, True)
    os.closerange(3, 256)
    limits = Limits(**request["limits"])
    for which, most in (
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_CPU, limits.processor_seconds),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(which, (most, most))
    libc.prctl(_PR_SET_SECUREBITS, _SECBIT_NOROOT, 0, 0, 0)  # only root can, and only root needs it
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    if libc.capset(header, (ctypes.c_uint32 * 6)()):
        raise OSError(ctypes.get_errno(), "capset")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if number in request["closed"]:
            os.close(number)
            setattr(sys, name, None)
        else:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


if __name__ == "__main__":
    _serve()
