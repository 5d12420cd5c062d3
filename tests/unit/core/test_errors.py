from __future__ import annotations

import errno

import pytest

from bootpath.core import errors
from bootpath.core.errors import DeviceError, Error, FileSystemError, FormatError, IntegrityError

PARENTS = {
    "FormatError": "Error",
    "DeviceError": "Error",
    "IntegrityError": "DeviceError",
    "FileSystemError": "Error",
    "TableError": "Error",
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
        (Error("the CRC is", where="gpt", found=1, expected=2, spec="UEFI"), "gpt: the CRC is 1, expected 2 (UEFI)"),
    ],
)
def test_message(error: Error, message: str) -> None:
    assert str(error) == message


def test_at_puts_outer_places_in_front_and_keeps_the_error() -> None:
    error = FormatError("it broke")
    assert error.at("gpt") is error
    assert error.at("disk.img").where == "disk.img: gpt"
    assert str(error) == "disk.img: gpt: it broke"


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
