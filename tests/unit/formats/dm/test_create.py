from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.dm.create import MappedDevice, pack_dm_create, parse_dm_create
from bootpath.formats.dm.table import Row, Table

LINEAR = MappedDevice("lroot", "", None, False, Table((Row(0, 4096, "linear", ("98:16", "0")),)))


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
        Table((Row(0, 4096, "linear", ("98:16", "0")), Row(4096, 4096, "linear", ("98:32", "0")))),
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
    assert verity.table.rows[0].args[-2:] == (
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
        ("", "device 1: the device has 1 fields, expected name,uuid,minor,flags,table"),
        ("a,,,rw", "device 1: the device has 4 fields"),
        ("a,,,rw,0 8 linear 8:1 0;", "device 2: the device has 1 fields"),
        (",,,rw,0 8 linear 8:1 0", "the name is empty"),
        ("a,,-1,rw,0 8 linear 8:1 0", "device 1: minor is '-1'"),
        ("a,,010,rw,0 8 linear 8:1 0", "minor is '010'"),
        ("a,,0x1,rw,0 8 linear 8:1 0", "minor is '0x1'"),
        ("a,,1048576,rw,0 8 linear 8:1 0", "minor is 1048576, expected 0 to 1048575"),
        ("a,,,,0 8 linear 8:1 0", "device 1: flags is '', expected ro or rw"),
        ("a,,,RO,0 8 linear 8:1 0", "flags is 'RO'"),
        ("a,,,rw,", "dm-mod.create: device 1: table: row 1, column 1: the row ends"),
        ("a,,,rw,0 8 linear 8:1 0,", "dm-mod.create: device 1: table: row 2, column 1: the row ends"),
        ("a,,,rw,0 8 linear 8:1 0,9 8 linear 8:1 0", "device 1: table: row 2: start_sector is 9, expected 8"),
        ("a,,,rw,0 8 zero", "a: row 1: the target is 'zero', expected one of crypt, delay, linear"),
        ("a,,,rw,0 8 live x", "a: row 1: the target is 'live'"),
        ("a,,,rw,0 8 linear", "a: row 1: the row has no arguments"),
        ("a\\,b,,,rw,0 8 linear 8:1 0", "'\\\\' at column 2; nothing can be quoted here"),
        ('"a",,,rw,0 8 linear 8:1 0', "'\"' at column 1"),
        ("a,,,rw,0 8 linear 8:1 0 # c", "'#' at column 25"),
        ("ä,,,rw,0 8 linear 8:1 0", "'ä' at column 1"),
        ("a,,,rw,0 8 linear 8:1\x00 0", "'\\x00' at column 22"),
        ("a/b,,,rw,0 8 linear 8:1 0", "the name is 'a/b'"),
        ("a;b,,,rw,0 8 linear 8:1 0", "device 1: the device has 1 fields"),
        ("n" * 128 + ",,,rw,0 8 linear 8:1 0", "the name is 128 characters long, expected at most 127"),
        ("a," + "u" * 129 + ",,rw,0 8 linear 8:1 0", "the uuid is 129 characters long, expected at most 128"),
        (" " * 4096, "the text is 4096 characters long, expected at most 4095"),
        (";" * 256, "the text has 257 devices, expected at most 256"),
    ],
)
def test_refusal(text: str, message: str) -> None:
    assert message in fault(lambda: parse_dm_create(text))


def test_longest_name_and_uuid() -> None:
    text = "n" * 127 + "," + "u" * 128 + ",1048575,rw,0 8 linear 8:1 0"
    assert pack_dm_create(parse_dm_create(text)) == text


@pytest.mark.parametrize("arg", ["a b", "a,b", "a;b", 'a"b', "a\\b", "ä", "a\tb"])
def test_argument_that_cannot_be_escaped(arg: str) -> None:
    table = Table((Row(0, 8, "linear", (arg, "0")),))
    assert "lroot: row 1: an argument is" in fault(lambda: replace(LINEAR, table=table))


@pytest.mark.parametrize("name", ["a,b", "a;b", " a", "a\n", "a#"])
def test_name_that_cannot_be_escaped(name: str) -> None:
    assert "the name is" in fault(lambda: replace(LINEAR, name=name))


def test_uuid_that_cannot_be_escaped() -> None:
    assert "the uuid is" in fault(lambda: replace(LINEAR, uuid="a,b"))


def test_too_many_rows() -> None:
    rows = tuple(Row(index, 1, "linear", ("8:1", "0")) for index in range(257))
    replace(LINEAR, table=Table(rows[:256]))
    assert "the table has 257 rows, expected at most 256" in fault(lambda: replace(LINEAR, table=Table(rows)))


@pytest.mark.parametrize("count", [0, 257])
def test_number_of_devices(count: int) -> None:
    assert f"there are {count} devices, expected 1 to 256" in fault(lambda: pack_dm_create((LINEAR,) * count))


def test_text_the_kernel_would_not_take() -> None:
    assert "characters long, expected at most 4095" in fault(lambda: pack_dm_create((LINEAR,) * 200))
