from __future__ import annotations

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.dm.concise import ConciseDevice, pack_concise, parse_concise
from bootpath.formats.dm.table import Table, TableLine

TABLE = Table((TableLine(0, 8, "no-such-target", ("a b", "c,d;e\\f")), TableLine(8, 8, "zero")))


def test_what_is_packed_comes_back() -> None:
    devices = (ConciseDevice("a,b;c\\d e", "U,", 7, True, TABLE), ConciseDevice("x", "", None, False, TABLE))
    assert parse_concise(pack_concise(devices)) == devices


def test_the_manual_s_defaults() -> None:
    (device,) = parse_concise(" root , , , , 0 8 linear 8:1 0 , 8 8 error ")
    assert (device.name, device.uuid, device.minor, device.read_only) == ("root", "", None, False)
    assert [line.target for line in device.table.lines] == ["linear", "error"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "device 1: the device has too few fields"),
        ("a,,,rw,0 8 zero;", "device 2: the device has too few fields"),
        (",,,rw,0 8 zero", "this cannot be the name of a device"),
        ("a/b,,,rw,0 8 zero", "this cannot be the name of a device"),
        ("a,,010,rw,0 8 zero", "the minor is not a decimal number"),
        ("a,,1048576,rw,0 8 zero", "the minor number is out of range"),
        ("a,,,x,0 8 zero", "the flags are wrong"),
        ("a,,,rw,0 8 zero,9 8 zero", "device 1: table: line 2: the line does not start"),
        ("a,,,rw,0 8 zero\\", "a backslash escapes nothing"),
        ("n" * 128 + ",,,rw,0 8 zero", "the name is too long"),
        ("a," + "u" * 129 + ",,rw,0 8 zero", "the UUID is too long"),
        ("a,u/,,rw,0 8 zero", "this cannot be the UUID of a device"),
    ],
)
def test_refusal(text: str, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_concise(text)
    assert message in str(caught.value)
