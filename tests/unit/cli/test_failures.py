"""The last handler: whatever a command raises is one line, one object, and an exit code."""

from __future__ import annotations

import errno
import io
import json
import logging
import sys
import threading
from collections.abc import Callable
from types import SimpleNamespace

import jsonschema
import pytest

from bootpath.cli import inspect
from bootpath.cli.console import note
from bootpath.cli.failures import loose_ends_caught, report, unforeseen
from bootpath.cli.main import main
from bootpath.cli.serve.logs import log_to_stderr
from bootpath.core.errors import FormatError
from tests.support.tree import schema


class Odd(Exception):  # noqa: N818 - any name will do
    pass


FAULTS: list[tuple[BaseException, str]] = [
    (KeyError("workers"), "bootpath has an internal error: KeyError: 'workers'"),
    (ValueError("embedded\nnull byte"), "bootpath has an internal error: ValueError: embedded null byte"),
    (
        RecursionError("maximum recursion depth exceeded"),
        "bootpath has an internal error: RecursionError: maximum",
    ),
    (OverflowError(), "bootpath has an internal error: OverflowError"),
    (
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        "bootpath has an internal error: UnicodeDecodeError",
    ),
    (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates"), "bootpath has an internal error: UnicodeEncodeError: "),
    (AssertionError(), "bootpath has an internal error: AssertionError"),
    (Odd("a"), "bootpath has an internal error: Odd: a"),
    (MemoryError(), "there is not enough memory for this"),
]
REPORT = "; report it, with what BOOTPATH_TRACEBACK=1 shows\n"


def fail_with(monkeypatch: pytest.MonkeyPatch, fault: BaseException) -> None:
    def run(_: object) -> int:
        raise fault

    monkeypatch.setattr(inspect, "run", run)


@pytest.mark.parametrize(("fault", "what"), FAULTS)
def test_one_line(
    fault: BaseException, what: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(monkeypatch, fault)
    assert main(["inspect", "x"]) == 1
    said = capsys.readouterr()
    assert said.err.startswith(f"bootpath: {what}")
    assert said.err.count("\n") == 1
    assert said.err.endswith("\n" if isinstance(fault, MemoryError) else REPORT)
    assert said.out == ""


@pytest.mark.parametrize(("fault", "what"), FAULTS)
def test_one_object(
    fault: BaseException, what: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(monkeypatch, fault)
    assert main(["inspect", "x", "--json"]) == 1
    value = json.loads(capsys.readouterr().out)
    jsonschema.validate(value, schema("error"))
    assert (value["exit_code"], value["error"]["type"]) == (1, type(fault).__name__)
    assert value["error"]["what"].startswith(what)


def test_faults_of_all_kinds_together(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fail_with(monkeypatch, ExceptionGroup("both", [FormatError("a copy is damaged"), KeyError("x")]))
    assert main(["inspect", "x"]) == 1
    assert capsys.readouterr().err.splitlines()[0] == "bootpath: a copy is damaged"


def test_the_traceback_is_shown_when_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BOOTPATH_TRACEBACK", "1")
    fail_with(monkeypatch, KeyError("workers"))
    assert main(["inspect", "x"]) == 1
    first, *_, last = capsys.readouterr().err.splitlines()
    assert (first, last.endswith(REPORT.strip())) == ("Traceback (most recent call last):", True)
    monkeypatch.undo()
    monkeypatch.setenv("BOOTPATH_TRACEBACK", "1")
    assert main(["inspect", "/no/such/disk"]) == 1
    assert "DeviceError: /no/such/disk" in capsys.readouterr().err


def test_a_fault_without_a_readable_text() -> None:
    assert str(unforeseen(KeyError())) == "bootpath has an internal error: KeyError" + REPORT.rstrip()


def test_a_thread(capsys: pytest.CaptureFixture[str]) -> None:
    def run() -> None:
        raise KeyError("workers")

    hooks = threading.excepthook, sys.unraisablehook
    with loose_ends_caught():
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    assert capsys.readouterr().err == f"bootpath: bootpath has an internal error: KeyError: 'workers'{REPORT}"
    assert (threading.excepthook, sys.unraisablehook) == hooks


def test_what_cannot_be_raised(capsys: pytest.CaptureFixture[str]) -> None:
    with loose_ends_caught():
        sys.unraisablehook(SimpleNamespace(exc_value=OSError("x")))
        sys.unraisablehook(SimpleNamespace(exc_value=None))
    assert capsys.readouterr().err == f"bootpath: bootpath has an internal error: OSError: x{REPORT}"


def test_a_failure_in_the_log_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    log_to_stderr()
    log = logging.getLogger("bootpath.test")

    def failing() -> None:
        try:
            raise KeyError("workers")
        except KeyError:
            log.exception("a request failed")

    failing()
    start = "bootpath: ERROR: bootpath.test: a request failed"
    assert capsys.readouterr().err == f"{start}: bootpath has an internal error: KeyError: 'workers'{REPORT}"
    monkeypatch.setenv("BOOTPATH_TRACEBACK", "1")
    failing()
    assert capsys.readouterr().err.startswith(f"{start}\nTraceback (most recent call last):\n")


@pytest.mark.parametrize(
    "speak", [lambda: note("x"), lambda: report(FormatError("x"), as_json=False)], ids=["note", "report"]
)
def test_a_stderr_that_takes_nothing(speak: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sys, "stderr", Full())
    speak()
