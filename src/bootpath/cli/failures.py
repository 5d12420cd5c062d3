"""How a command fails: lines on stderr for people, one object on stdout with ``--json``, and the exit code.

Exit codes: 1 failed, 2 usage, 3 the verdict is bad (it does not boot, is not verified, is damaged). Light: `main`
imports it.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from typing import NoReturn

from bootpath.core.printable import printable

FAILED, USAGE, BAD_VERDICT = 1, 2, 3


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


class Reported(Exception):  # noqa: N818 - what failed is its `fault`
    """A command failed, and its result, which is on stdout already, says so."""

    def __init__(self, fault: Exception) -> None:
        super().__init__(str(fault))
        self.fault = fault


def report(fault: Exception, *, as_json: bool) -> int:
    """A line on stderr for each fault; the exit code that they deserve. Raises what no command raises on purpose."""
    from bootpath.core.errors import BootError, Error, IntegrityError, SignatureError

    faults = _leaves(fault)
    code = FAILED
    for each in faults:
        if isinstance(each, Error):
            text = str(each)
            code = max(code, BAD_VERDICT if isinstance(each, BootError | IntegrityError | SignatureError) else FAILED)
        elif isinstance(each, OSError):
            text = f"{each.filename}: {each.strerror}" if each.filename else each.strerror or str(each)
        elif isinstance(each, MemoryError):
            text = "there is not enough memory for this"
        else:
            raise each
        print(printable(f"bootpath: {text}"), file=sys.stderr)
    if as_json:
        _emit(faults, code)
    return code


def report_usage(fault: UsageError, *, as_json: bool) -> int:
    """The same for what was typed wrongly."""
    if fault.usage is not None:
        print(fault.usage, end="", file=sys.stderr)
    error = "error: " if fault.usage is not None else ""
    print(printable(f"{fault.where}: {error}{fault.what}"), file=sys.stderr)
    if as_json:
        _emit([fault], USAGE)
    return USAGE


def _leaves(fault: Exception) -> list[Exception]:
    if isinstance(fault, ExceptionGroup):
        return [leaf for part in fault.exceptions for leaf in _leaves(part)]
    return [fault]


def _emit(faults: list[Exception] | list[UsageError], code: int) -> None:
    """One object on stdout, as far as stdout takes it: that it does not is no second failure."""
    import json

    from bootpath.core.errors import Error
    from bootpath.report.page import error_json, page

    errors = [error_json(each) for each in faults]
    for each, fault in zip(errors, faults, strict=True):
        if isinstance(fault, UsageError):
            each["where"] = fault.where
    value = page({"error": errors[0]} if len(errors) == 1 else {"errors": errors})
    with suppress(Error, OSError, ValueError):
        print(json.dumps({**value, "exit_code": code}, indent=2), flush=True)
