"""The first listing is that of Linux Documentation/admin-guide/device-mapper/snapshot.rst."""

from __future__ import annotations

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.dm.create import parse_dm_create
from bootpath.formats.dm.export import ExportFormat, export_listing
from bootpath.formats.dm.listing import ListedTable, pack_concise_listing, pack_listing, parse_listing
from bootpath.formats.dm.table import parse_table

KERNEL = """\
volumeGroup-base-real: 0 2097152 linear 8:19 384
volumeGroup-snap-cow: 0 204800 linear 8:19 2097536
volumeGroup-snap: 0 2097152 snapshot 254:11 254:12 P 16
volumeGroup-base: 0 2097152 snapshot-origin 254:11
"""


def fault(text: str) -> str:
    with pytest.raises(FormatError) as caught:
        parse_listing(text)
    return str(caught.value)


def test_several_devices() -> None:
    listed = parse_listing(KERNEL)
    assert [each.name for each in listed] == [line.partition(":")[0] for line in KERNEL.splitlines()]
    assert listed[2].table == parse_table("0 2097152 snapshot 254:11 254:12 P 16")
    assert pack_listing(listed) == KERNEL


def test_lines_of_one_device_stand_together() -> None:
    text = "a:b: 0 8 zero \na:b: 8 8 error\nc\\x20d: 0 8 zero\n"
    first, second = parse_listing(text)
    assert (first.name, first.table.size_sectors) == ("a:b", 16)
    assert second.name == "c\\x20d"
    assert parse_listing(pack_listing((first, second))) == (first, second)


def test_lines_alone() -> None:
    (listed,) = parse_listing("# a comment\n0 8 linear 8:1 0\n8 8 zero\n")
    assert listed == ListedTable("", parse_table("0 8 linear 8:1 0\n8 8 zero"))
    assert pack_listing((listed,)) == "0 8 linear 8:1 0\n8 8 zero\n"


def test_concise() -> None:
    first, second = parse_listing("root,CRYPT-1,3,ro,0 8 linear 8:1 0,8 8 linear 8:2 0;home,,,rw,0 8 linear 8:3 0\n")
    assert (first.name, first.uuid, first.minor, first.read_only) == ("root", "CRYPT-1", 3, True)
    assert first.table.size_sectors == 16
    assert (second.name, second.uuid, second.minor, second.read_only) == ("home", "", None, False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "table: the table has no lines"),
        ("a: 0 8 zero\n0 8 zero", "table: a line has no name, as the others do"),
        ("a: 0 8 zero\nb: 0 8 zero\na: 8 8 zero", "table: a: the device is listed twice"),
        ("a:", "table: a: the device has no table"),
        ("a: # nothing", "table: a: the device has no table"),
        ("a: 0 8", "a: table: line 1"),
        ("a: 0 8 zero\na: 9 8 zero", "a: table: line 2: the line does not start where the line before it ends"),
        ("a,,,rw,0 8 linear 8:1 0;a,,,rw,0 8 linear 8:1 0", "table: two devices have the same name"),
        ("a,,,rw,0 8", "table: device 1: table: line 1"),
        (" " * (16 * 1024 * 1024 + 1), "the text is"),
    ],
)
def test_refusal(text: str, message: str) -> None:
    assert message in fault(text)


def test_a_concise_listing_is_a_notation() -> None:
    text = r"thin\,pool\;one,LVM-x,3,ro,0 8 thin-pool 254:0 254:1 128 0,8 8 no-such-target a\\ b;b,,,,0 8 zero"
    first, second = parse_listing(text)
    assert (first.name, first.uuid, first.minor, first.read_only) == (r"thin\x2cpool\x3bone", "LVM-x", 3, True)
    assert [line.target for line in first.table.lines] == ["thin-pool", "no-such-target"]
    assert first.table.lines[1].args == ("a b",)
    assert (second.name, second.read_only) == ("b", False)
    assert pack_concise_listing((first, second)) == text.replace("b,,,,", "b,,,rw,")
    assert parse_listing(f'dm-mod.create="{text.rpartition(";")[2]}"') == (second,)


def test_what_no_listing_can_hold() -> None:
    table = parse_table("0 8 zero")
    for wrong in (
        (),
        (ListedTable("", table), ListedTable("a", table)),
        (ListedTable("a", table), ListedTable("a", table)),
        (ListedTable("a b", table),),
        (ListedTable("a,b", table),),
    ):
        with pytest.raises(FormatError):
            pack_listing(wrong)


def test_export_for_dmsetup_is_the_listing() -> None:
    assert export_listing(parse_listing(KERNEL), ExportFormat.DMSETUP) == KERNEL
    thin = "a: 0 8 thin 254:0 1\n"  # nothing is known of its words, but the kernel knows them
    assert export_listing(parse_listing(thin), ExportFormat.DMSETUP) == thin


def test_export_for_the_command_line() -> None:
    table = parse_table("0 32 striped 2 16 PARTUUID=6f3a2f8e-93a5-4b6e-8f43-0d9ef0b2c004 0 /dev/sdb 0")
    text = export_listing((ListedTable("root", table, "U", 3, True),), ExportFormat.COMMAND_LINE)
    assert text.startswith('dm-mod.create="root,U,3,ro,0 32 striped 2 16 PARTUUID=')
    assert text.endswith('"\n')
    (device,) = parse_dm_create(text.removeprefix('dm-mod.create="').removesuffix('"\n'))
    assert device.table == table


@pytest.mark.parametrize(
    ("text", "to", "message"),
    [
        ("0 8 overlay /dev/sda", ExportFormat.DMSETUP, "line 1: overlay: the target is one of this package"),
        (
            "a: 0 8 zero\na: 8 8 live /dev/a - 1 0+1",
            ExportFormat.DMSETUP,
            "a: line 2: live: the target is one of this package",
        ),
        ("0 8 magic", ExportFormat.DMSETUP, "magic: the target is unknown"),
        ("0 8 linear disk.img 0", ExportFormat.DMSETUP, "the kernel cannot find the device by this name"),
        ("0 8 linear nbd://host/ 0", ExportFormat.DMSETUP, "--device NAME=/dev/"),
        (f"0 8 crypt aes-xts-plain64 {'00' * 64} 0 8:1 0", ExportFormat.DMSETUP, "the key is all zeros"),
        ("a: 0 8 snapshot 8:1 8:2 P 8", ExportFormat.COMMAND_LINE, "the kernel does not allow this target here"),
        ("0 8 linear 8:1 0", ExportFormat.COMMAND_LINE, "the name is empty"),
    ],
)
def test_export_refuses(text: str, to: ExportFormat, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        export_listing(parse_listing(text), to)
    assert message in str(caught.value)
