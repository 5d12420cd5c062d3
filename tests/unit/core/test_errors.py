from __future__ import annotations

import ast
import errno
import os
import re
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootpath.core import errors
from bootpath.core.errors import DeviceError, Error, FileSystemError, FormatError, IntegrityError, os_reason

SOURCE = Path(errors.__file__).parents[1]
RAISES = re.compile(r"Error|_?fault|_?error|_?fail|_?refus(e|al)")
# After one of these, a clause needs another word.
OPEN_ENDS = re.compile(
    r" (a|after|an|and|are|at|but|by|byte|extent|from|gave|had|has|have|holds|in|is|LBA|of|or|sector|slot|specifier"
    r"|than|the|to|type|was|were|with)$|:$"
)

PARENTS = {
    "FormatError": "Error",
    "LimitError": "FormatError",
    "DeviceError": "Error",
    "IntegrityError": "DeviceError",
    "FileSystemError": "Error",
    "TableError": "Error",
    "UnsupportedError": "TableError",
    "ProtocolError": "Error",
    "LocalProtocolError": "ProtocolError",
    "RemoteProtocolError": "ProtocolError",
    "SignatureError": "Error",
    "BootError": "Error",
    "MachineError": "Error",
    "UpdateError": "Error",
}


def test_tree_is_the_one_that_is_drawn() -> None:
    classes = {name: value for name, value in vars(errors).items() if isinstance(value, type)}
    assert {name: value.__mro__[1].__name__ for name, value in classes.items() if name != "Error"} == PARENTS
    drawing = errors.__doc__ or ""
    assert all(name in drawing for name in classes)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (Error("it broke"), "it broke"),
        (Error("it broke", where="a.img"), "a.img: it broke"),
        (Error("the CRC is wrong", expected="0x9a"), "the CRC is wrong; expected 0x9a"),
        (Error("the CRC is wrong", found="0x1f"), "the CRC is wrong; found 0x1f"),
        (Error("the CRC is wrong", found="0x1f", expected="0x9a"), "the CRC is wrong; expected 0x9a, found 0x1f"),
        (Error("the CRC is wrong", found=0, expected=1), "the CRC is wrong; expected 1, found 0"),
        (Error("it broke", spec="UEFI 2.10 §5.3.2"), "it broke (UEFI 2.10 §5.3.2)"),
        (Error("it broke", hint="repair it"), "it broke; repair it"),
        (
            Error("the CRC is wrong", where="gpt", found=1, expected=2, spec="UEFI", hint="repair it"),
            "gpt: the CRC is wrong; expected 2, found 1 (UEFI); repair it",
        ),
    ],
)
def test_message(error: Error, message: str) -> None:
    assert str(error) == message


def test_at_puts_outer_places_in_front_and_keeps_the_error() -> None:
    error = FormatError("it broke")
    assert error.at("gpt") is error
    assert error.at("disk.img").where == "disk.img: gpt"
    assert str(error) == "disk.img: gpt: it broke"
    assert error.at("disk.img").where == "disk.img: gpt", "no name is said twice"
    assert error.at("disk").where == "disk: disk.img: gpt"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOENT, os.strerror(errno.ENOENT)), "No such file or directory"),
        (ssl.SSLError(1, "[SSL: SOMETHING] something failed: why [not] (_ssl.c:1006)"), "something failed: why [not]"),
        (ssl.SSLError(1, "[X509: KEY_VALUES_MISMATCH] key values mismatch (_ssl.c:1)"), "the key does not belong to "),
        (ConnectionResetError(), "ConnectionResetError"),
    ],
)
def test_reasons_are_without_names_of_openssl(error: OSError, reason: str) -> None:
    assert os_reason(error).startswith(reason)


def test_device_error_has_an_errno() -> None:
    assert DeviceError("it broke").errno == errno.EIO
    error = DeviceError("full", errno=errno.ENOSPC, where="overlay", expected="room")
    assert (error.errno, error.errno_name, str(error)) == (errno.ENOSPC, "ENOSPC", "overlay: full; expected room")
    assert DeviceError("strange", errno=99999).errno_name == "99999"


def test_integrity_error_reaches_readers_as_eio() -> None:
    assert IntegrityError("hash mismatch").errno == errno.EIO


def test_file_system_error_has_an_errno() -> None:
    error = FileSystemError("no such file", errno=errno.ENOENT, where="/a", hint="look elsewhere")
    assert (error.errno, str(error)) == (errno.ENOENT, "/a: no such file; look elsewhere")


def _open_clauses(path: Path) -> Iterator[str]:
    """The literal texts of errors in a module that do not stand alone."""
    for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(call, ast.Call):
            continue
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if not RAISES.search(name):
            continue
        # A helper may take `where` before `what`.
        for argument in call.args[:2]:
            last = argument.values[-1] if isinstance(argument, ast.JoinedStr) and argument.values else argument
            if not isinstance(last, ast.Constant) or not isinstance(last.value, str):
                continue
            if OPEN_ENDS.search(last.value):
                yield f"{path.relative_to(SOURCE)}:{call.lineno}: {last.value}"


def test_every_what_is_a_clause_that_stands_alone() -> None:
    assert [each for path in sorted(SOURCE.rglob("*.py")) for each in _open_clauses(path)] == []


@pytest.mark.parametrize(
    ("code", "is_open"),
    [
        ('raise FormatError("the magic is", found=1, expected=2)', True),
        ('raise _fault(where, f"section {name} has", "3 bytes", "4 bytes")', True),
        ('raise Error(f"{name} is out of range:", found=1)', True),
        ('raise Error("the magic is wrong", found=1, expected=2)', False),
        ('print("the magic is")', False),
    ],
)
def test_open_clauses_are_found(code: str, is_open: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.SOURCE", tmp_path)
    module = tmp_path / "module.py"
    module.write_text(code)
    assert bool(list(_open_clauses(module))) is is_open
