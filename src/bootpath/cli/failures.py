"""How a command fails: lines on stderr for people, one object on stdout with ``--json``, and the exit code.

Exit codes: 1 failed, 2 usage, 3 the verdict is bad (it does not boot, is not verified, is damaged). What no command
raises on purpose is a fault of ours: it is one line as well, which asks for a report. The traceback of any failure is
shown first where the environment has `TRACEBACK`. Light: `main` imports it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn

from bootpath.cli.endings import abandon, flush_stdout, stdout_faults
from bootpath.core.printable import Printable, printable, printable_lines

if TYPE_CHECKING:
    from bootpath.core.errors import Error

FAILED, USAGE, BAD_VERDICT = 1, 2, 3
TRACEBACK = "BOOTPATH_TRACEBACK"
"""The environment variable that shows tracebacks, whatever it is set to."""


class UsageError(SystemExit):
    """What was typed is wrong: exit code 2. `where` is the command; `usage` is shown first, if there is one."""

    def __init__(self, what: str, *, where: str = "bootpath", usage: str | None = None) -> None:
        super().__init__(USAGE)
        self.what = what
        self.where = where
        self.usage = usage

    def __str__(self) -> str:
        return self.what


class Parser(argparse.ArgumentParser):
    """A parser whose errors are `UsageError`s, for `report_usage` to print."""

    def error(self, message: str) -> NoReturn:
        """See `argparse.ArgumentParser.error`."""
        raise UsageError(message, where=self.prog, usage=self.format_usage())

    def _print_message(self, message: str, file: object = None) -> None:
        """The help, or the version. Raises Error when stdout does not take it, which argparse would pass over."""
        with stdout_faults():
            print(message, end="")
        flush_stdout()

    def _match_arguments_partial(self, actions: Sequence[argparse.Action], arg_strings_pattern: str) -> list[int]:
        """An operand that may be missing is not missing as long as there are words behind the next options.

        argparse before 3.13 settles that it is missing at the first option that follows the operands before it. In the
        pattern an A is a word and an O an option.
        """
        counts: list[int] = super()._match_arguments_partial(actions, arg_strings_pattern)
        rest = arg_strings_pattern[sum(counts) :]
        while counts and not counts[-1] and "O" in rest:
            counts.pop()
        return counts

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        """``--option=--`` has the value ``--``, which argparse takes for the end of the options, and gives no value."""
        if action.option_strings and action.nargs is None and arg_strings == ["--"]:
            value = self._get_value(action, "--")
            self._check_value(action, value)
            return value
        return super()._get_values(action, arg_strings)


class Reported(Exception):  # noqa: N818 - what failed is its `fault`
    """A command failed, and its result, which is on stdout already, says so."""

    def __init__(self, fault: Exception) -> None:
        super().__init__(str(fault))
        self.fault = fault


def say(text: Printable) -> None:
    """A line on stderr, as far as stderr takes it: that it does not is no second failure."""
    try:
        print(text, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            abandon(sys.stderr)


def report(fault: BaseException, *, as_json: bool) -> int:
    """A line on stderr for each fault; the exit code that they deserve."""
    from bootpath.core.errors import BootError, Error, IntegrityError, SignatureError

    show_traceback(fault)
    faults = _leaves(fault)
    code = FAILED
    for each in faults:
        if isinstance(each, Error):
            text = str(each)
            code = max(code, BAD_VERDICT if isinstance(each, BootError | IntegrityError | SignatureError) else FAILED)
        elif isinstance(each, OSError):
            text = f"{each.filename}: {each.strerror}" if each.filename else each.strerror or str(each)
        else:
            text = str(unforeseen(each))
        say(printable(f"bootpath: {text}"))
    if as_json:
        _emit(faults, code)
    return code


def report_usage(fault: UsageError, *, as_json: bool) -> int:
    """The same for what was typed wrongly."""
    show_traceback(fault)
    error = "error: " if fault.usage is not None else ""
    if fault.usage is not None:
        say(Printable(fault.usage.rstrip("\n")))
    say(printable(f"{fault.where}: {error}{fault.what}"))
    if as_json:
        _emit([fault], USAGE)
    return USAGE


def unforeseen(fault: BaseException) -> Error:
    """What is said of a fault that is no `Error`: ours, if no command raises it on purpose."""
    from bootpath.core.errors import Error
    from bootpath.core.extras import NotInstalledError

    if isinstance(fault, NotInstalledError):
        return Error(fault.msg, hint=fault.hint)
    if isinstance(fault, MemoryError):
        return Error("there is not enough memory for this")
    text = " ".join(str(fault).split())
    return Error(
        f"bootpath has an internal error: {type(fault).__name__}{text and f': {text}'}",
        hint=f"report it, with what {TRACEBACK}=1 shows",
    )


def show_traceback(fault: BaseException) -> None:
    """Print it, if it is asked for."""
    if TRACEBACK in os.environ:
        from traceback import format_exception

        say(printable_lines("".join(format_exception(fault)).rstrip().split("\n")))


@contextmanager
def loose_ends_caught() -> Iterator[None]:
    """While the block runs, what fails in a thread, or where nothing can be raised, is one line too."""
    import threading

    def fails(loose: Any) -> None:
        if loose.exc_value is not None:
            show_traceback(loose.exc_value)
            say(printable(f"bootpath: {unforeseen(loose.exc_value)}"))

    before = threading.excepthook, sys.unraisablehook
    threading.excepthook = sys.unraisablehook = fails
    try:
        yield
    finally:
        threading.excepthook, sys.unraisablehook = before


def _leaves(fault: BaseException) -> list[BaseException]:
    if isinstance(fault, BaseExceptionGroup):
        return [leaf for part in fault.exceptions for leaf in _leaves(part)]
    return [fault]


def _emit(faults: Sequence[BaseException], code: int) -> None:
    """One object on stdout, as far as stdout takes it: that it does not is no second failure."""
    import json

    from bootpath.core.errors import Error
    from bootpath.report.page import error_json, page

    errors = []
    for fault in faults:
        known = fault if isinstance(fault, Error | OSError | UsageError) else unforeseen(fault)
        errors.append({**error_json(known), "type": type(fault).__name__})
        if isinstance(fault, UsageError):
            errors[-1]["where"] = fault.where
    value = page({"error": errors[0]} if len(errors) == 1 else {"errors": errors})
    with suppress(Error, OSError, ValueError):
        print(json.dumps({**value, "exit_code": code}, indent=2), flush=True)
