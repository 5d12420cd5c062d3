from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.dm.create import MappedDevice, pack_dm_create, parse_dm_create
from bootpath.formats.dm.table import Table, TableLine

LINEAR = MappedDevice("lroot", "", None, False, Table((TableLine(0, 4096, "linear", ("98:16", "0")),)))


def fault(make: Callable[[], object]) -> str:
    with pytest.raises(FormatError) as caught:
        make()
    return str(caught.value)


def test_first_example_of_the_kernels_documentation() -> None:
    (device,) = parse_dm_create("lroot,,,rw, 0 4096 linear 98:16 0, 4096 4096 linear 98:32 0")
    assert device == MappedDevice(
        "lroot",
        "",
        None,
        False,
        Table((TableLine(0, 4096, "linear", ("98:16", "0")), TableLine(4096, 4096, "linear", ("98:32", "0")))),
    )


def test_second_example_of_the_kernels_documentation() -> None:
    text = """dm-linear,,1,rw,
    0 32768 linear 8:1 0,
    32768 1024000 linear 8:2 0;
  dm-verity,,3,ro,
    0 1638400 verity 1 /dev/sdc1 /dev/sdc2 4096 4096 204800 1 sha256
    ac87db56303c9c1da433d7209b5a6ef3e4779df141200cbd7c157dcb8dd89c42
    5ebfe87f7df3235b80a117ebc4078e44f55045487ad4a96581d1adb564615b51"""
    linear, verity = parse_dm_create(text)
    assert (linear.name, linear.minor, linear.read_only, linear.table.size_sectors) == ("dm-linear", 1, False, 1056768)
    assert (verity.name, verity.minor, verity.read_only) == ("dm-verity", 3, True)
    assert verity.table.lines[0].args[-2:] == (
        "ac87db56303c9c1da433d7209b5a6ef3e4779df141200cbd7c157dcb8dd89c42",
        "5ebfe87f7df3235b80a117ebc4078e44f55045487ad4a96581d1adb564615b51",
    )
    assert parse_dm_create(pack_dm_create((linear, verity))) == (linear, verity)


def test_canonical_text() -> None:
    text = "root,CRYPT-VERITY-x,7,ro,0 8 linear 8:1 0,8 8 linear PARTUUID=a-b 0;lroot,,,rw,0 4096 linear 98:16 0"
    assert pack_dm_create(parse_dm_create(text)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "device 1: the device has too few fields"),
        ("a,,,rw", "device 1: the device has too few fields"),
        ("a,,,rw,0 8 linear 8:1 0;", "device 2: the device has too few fields"),
        (",,,rw,0 8 linear 8:1 0", "the name is empty"),
        (
            "a,,-1,rw,0 8 linear 8:1 0",
            "device 1: minor is not a decimal number",
        ),
        (
            "a,,010,rw,0 8 linear 8:1 0",
            "minor is not a decimal number",
        ),
        (
            "a,,0x1,rw,0 8 linear 8:1 0",
            "minor is not a decimal number",
        ),
        ("a,,1048576,rw,0 8 linear 8:1 0", "minor is out of range"),
        ("a,,,,0 8 linear 8:1 0", "device 1: the flags are wrong"),
        ("a,,,RO,0 8 linear 8:1 0", "the flags are wrong"),
        ("a,,,rw,", "dm-mod.create: device 1: table: line 1, column 1: the line is too short"),
        ("a,,,rw,0 8 linear 8:1 0,", "dm-mod.create: device 1: table: line 2, column 1: the line is too short"),
        (
            "a,,,rw,0 8 linear 8:1 0,9 8 linear 8:1 0",
            "device 1: table: line 2: the line does not start where the line before it ends",
        ),
        ("a,,,rw,0 8 zero", "a: line 1: the kernel does not allow this target here"),
        ("a,,,rw,0 8 live x", "a: line 1: the kernel does not allow this target here"),
        ("a,,,rw,0 8 linear", "a: line 1: the line has no arguments"),
        (
            "a\\,b,,,rw,0 8 linear 8:1 0",
            "'\\\\' at column 2 is not allowed; nothing can be quoted here",
        ),
        ('"a",,,rw,0 8 linear 8:1 0', "'\"' at column 1"),
        ("a,,,rw,0 8 linear 8:1 0 # c", "'#' at column 25"),
        ("ä,,,rw,0 8 linear 8:1 0", "'ä' at column 1"),
        ("a,,,rw,0 8 linear 8:1\x00 0", "'\\x00' at column 22"),
        ("a/b,,,rw,0 8 linear 8:1 0", "the name cannot be written here"),
        ("a;b,,,rw,0 8 linear 8:1 0", "device 1: the device has too few fields"),
        ("n" * 128 + ",,,rw,0 8 linear 8:1 0", "the name is too long; expected at most 127, found 128 characters"),
        (
            "a," + "u" * 129 + ",,rw,0 8 linear 8:1 0",
            "the uuid is too long; expected at most 128, found 129 characters",
        ),
        (" " * 4096, "the text is too long; expected at most 4095, found 4096 characters"),
        (";" * 256, "the text has too many devices"),
    ],
)
def test_refusal(text: str, message: str) -> None:
    assert message in fault(lambda: parse_dm_create(text))


def test_longest_name_and_uuid() -> None:
    text = "n" * 127 + "," + "u" * 128 + ",1048575,rw,0 8 linear 8:1 0"
    assert pack_dm_create(parse_dm_create(text)) == text


@pytest.mark.parametrize("arg", ["a b", "a,b", "a;b", 'a"b', "a\\b", "ä", "a\tb"])
def test_argument_that_cannot_be_escaped(arg: str) -> None:
    table = Table((TableLine(0, 8, "linear", (arg, "0")),))
    assert "lroot: line 1: an argument cannot be written here" in fault(lambda: replace(LINEAR, table=table))


@pytest.mark.parametrize("name", ["a,b", "a;b", " a", "a\n", "a#"])
def test_name_that_cannot_be_escaped(name: str) -> None:
    assert "the name cannot be written here" in fault(lambda: replace(LINEAR, name=name))


def test_uuid_that_cannot_be_escaped() -> None:
    assert "the uuid cannot be written here" in fault(lambda: replace(LINEAR, uuid="a,b"))


def test_too_many_lines() -> None:
    lines = tuple(TableLine(index, 1, "linear", ("8:1", "0")) for index in range(257))
    replace(LINEAR, table=Table(lines[:256]))
    assert "the table has too many lines" in fault(lambda: replace(LINEAR, table=Table(lines)))


@pytest.mark.parametrize("count", [0, 257])
def test_number_of_devices(count: int) -> None:
    assert f"the number of devices is out of range; expected 1 to 256, found {count} devices" in fault(
        lambda: pack_dm_create((LINEAR,) * count)
    )


def test_text_the_kernel_would_not_take() -> None:
    assert "the text is too long; expected at most 4095" in fault(lambda: pack_dm_create((LINEAR,) * 200))
