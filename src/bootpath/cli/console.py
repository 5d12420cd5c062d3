"""Where output goes: results to stdout, everything else to stderr; progress only where a person looks."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


def emit(text: str) -> None:
    """Print a result."""
    print(text)


def emit_json(value: dict[str, Any]) -> None:
    """Print a result as JSON."""
    print(json.dumps(value, indent=2))


def note(text: str) -> None:
    """Say something to the person in front of the terminal."""
    print(text, file=sys.stderr)


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int, str], None]]:
    """A progress bar on stderr while the body runs; nothing when stderr is not a terminal.

    Yields the function to call with (bytes done, bytes in all, what is being worked on).
    """
    if not sys.stderr.isatty():
        yield lambda done, total, path: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    with Progress(
        TextColumn(title),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        TextColumn("[dim]{task.fields[path]}"),
        console=Console(stderr=True),
        transient=True,
    ) as progress:
        task = progress.add_task(title, total=None, path="")

        def update(done: int, total: int, path: str) -> None:
            progress.update(task, completed=done, total=max(total, done), path=path[-40:])

        yield update
