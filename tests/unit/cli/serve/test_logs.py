"""What a client puts into a log stays in its line."""

from __future__ import annotations

import logging
import sys

import pytest

from bootpath.cli.serve.logs import PrintableFormatter


def _record(message: str, *args: object, exception: bool = False) -> logging.LogRecord:
    information = sys.exc_info() if exception else None
    return logging.LogRecord("server", logging.WARNING, "path", 1, message, args, information)


def test_a_message_is_one_line() -> None:
    text = PrintableFormatter("%(levelname)s: %(message)s").format(_record("%s left", "a\nbootpath: ERROR\x1b[2J"))
    assert text == "WARNING: a\\nbootpath: ERROR\\x1b[2J left"


def test_a_traceback_has_its_own_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOOTPATH_TRACEBACK", "1")
    try:
        raise ValueError("bad\x1b[2J")
    except ValueError:
        lines = PrintableFormatter("%(message)s").format(_record("failed", exception=True)).split("\n")
    assert lines[0] == "failed"
    assert lines[1].startswith("Traceback")
    assert lines[-1] == "ValueError: bad\\x1b[2J"
