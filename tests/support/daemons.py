"""``bootpath serve`` and ``lived`` as processes of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Daemon:
    """A server that runs: where it serves, and its status page when it was asked for one."""

    uri: str
    status: str
    process: subprocess.Popen[str]


@contextmanager
def serving(program: str, *arguments: str | Path, before: str = "", lines_before: int = 0) -> Iterator[Daemon]:
    """Run ``main`` or ``lived`` until the end of the block; it must then end well, and say no traceback. `before` is
    run first, in Python; it says `lines_before` before it serves.
    """
    script = f"import sys; from bootpath.cli.{program} import main; sys.exit(main())"
    command = [sys.executable, "-c", f"{before}\n{script}"]
    with subprocess.Popen([*command, *map(str, arguments)], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            for _ in range(lines_before):
                process.stderr.readline()
            uri = _said(process, "serving")
            yield Daemon(uri, _said(process, "status") if "--status" in arguments else "", process)
        finally:
            process.terminate()
            errors = process.stderr.read()
        assert process.wait() == 0, errors
        assert "Traceback" not in errors


def _said(process: subprocess.Popen[str], what: str) -> str:
    assert process.stderr is not None
    line = process.stderr.readline()
    if not line.startswith(f"{what} "):
        process.terminate()  # or there would be no end of what it says
        raise AssertionError(line + process.stderr.read())
    return line.split()[1]
