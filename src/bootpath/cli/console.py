"""Where output goes: results to stdout, everything else to stderr; progress only where a person looks."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bootpath.cli.endings import stdout_faults
from bootpath.cli.failures import Reported, say
from bootpath.core.device import Buffer
from bootpath.core.errors import Error
from bootpath.core.printable import Printable, printable, printable_lines


def emit(text: Printable) -> None:
    """Print a result for a person. Raises Error when stdout does not take it."""
    with stdout_faults():
        print(text)


def emit_data(text: str) -> None:
    """Write a result that another program reads, as it is; on a terminal it is made printable. Raises as `emit`."""
    if sys.stdout is not None and sys.stdout.isatty():
        emit(printable_lines(text.removesuffix("\n").split("\n")))
    else:
        with stdout_faults():
            print(text, end="")


def emit_bytes(data: Buffer) -> None:
    """Write bytes that are a result, all of them: an unbuffered stdout may take fewer at a time. Raises as `emit`."""
    if sys.stdout is None:
        raise Error("stdout is closed")
    view = memoryview(data)
    with stdout_faults():
        while view:
            view = view[sys.stdout.buffer.write(view) :]


def emit_json(value: dict[str, Any]) -> None:
    """Print a result as JSON, with the version of its schema. Raises as `emit`."""
    from bootpath.report.page import page

    emit_data(json.dumps(page(value), indent=2) + "\n")


def show_result(
    options: argparse.Namespace,
    as_json: Callable[[], dict[str, Any]],
    as_text: Callable[[], Printable],
    failure: Exception | None = None,
) -> None:
    """Print a result one way or the other. Raises `Reported` for a failure, which the result tells of already."""
    if options.json:
        emit_json(as_json())
    else:
        emit(as_text())
    if failure is not None:
        raise Reported(failure)


def note(text: str) -> None:
    """Say something, in one line, to the person in front of the terminal."""
    say(printable(text))


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
        TextColumn(printable(title), markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[path]}", style="dim", markup=False),
        console=Console(stderr=True),
        transient=True,
    ) as progress:
        task = progress.add_task(title, total=None, path="")

        def update(done: int, total: int, path: str) -> None:
            progress.update(task, completed=done, total=max(total, done), path=printable(path)[-40:])

        yield update
