from __future__ import annotations

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.dm.table import Row, Table, pack_row, pack_table, parse_row, parse_table

TABLE = """\
# data, then its hash tree
0 32768 linear 8:1 0

  32768\t1024000   linear /dev/sda2  4096   # the rest
1056768 8 zero
"""


def fault(text: str) -> str:
    with pytest.raises(FormatError) as caught:
        parse_table(text)
    return str(caught.value)


def test_rows() -> None:
    table = parse_table(TABLE)
    assert table == Table(
        (
            Row(0, 32768, "linear", ("8:1", "0")),
            Row(32768, 1024000, "linear", ("/dev/sda2", "4096")),
            Row(1056768, 8, "zero"),
        )
    )
    assert table.size_sectors == 1056776
    assert table.size_bytes == 1056776 * 512
    assert table.rows[0].end_sector == 32768


def test_canonical_text() -> None:
    text = "0 32768 linear 8:1 0\n32768 1024000 linear /dev/sda2 4096\n1056768 8 zero\n"
    assert pack_table(parse_table(TABLE)) == text
    assert pack_table(parse_table(text)) == text


def test_last_line_may_lack_its_line_feed() -> None:
    assert parse_table("0 8 zero") == Table((Row(0, 8, "zero"),))


def test_line_feeds_of_other_systems() -> None:
    assert parse_table("0 8 zero\r\n8 8 zero\r\n").size_sectors == 16


def test_backslash_makes_the_next_character_ordinary() -> None:
    row = parse_row(r"0 8 linear /my\ disk\\a\b 0")
    assert row.args == (r"/my disk\ab", "0")
    assert pack_row(row) == r"0 8 linear /my\ disk\\ab 0"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "table: the table has no rows"),
        ("# nothing\n\n", "table: the table has no rows"),
        ("0", "table: row 1, column 2: the row ends, expected start_sector num_sectors target [args]"),
        ("0 8", "table: row 1, column 4: the row ends"),
        ("# c\n0 8 zero\n8 8", "table: row 2, column 4: the row ends"),
        ("x 8 zero", "table: row 1, column 1: start_sector is 'x'"),
        ("-1 8 zero", "start_sector is '-1'"),
        ("+0 8 zero", "start_sector is '+0'"),
        ("00 8 zero", "start_sector is '00'"),
        ("0 010 zero", "table: row 1, column 3: num_sectors is '010'"),
        ("0 0x8 zero", "num_sectors is '0x8'"),
        ("0 8_0 zero", "num_sectors is '8_0'"),
        ("0 8.0 zero", "num_sectors is '8.0'"),
        ("0 ٨ zero", "num_sectors is '٨'"),
        ("0 99999999999999999999 zero", "num_sectors is"),
        ("0 36028797018963969 zero", "num_sectors is"),
        ("0 8 zéro", "table: row 1, column 5: the target is 'zéro'"),
        ("0 8 a/b", "the target is 'a/b'"),
        ("0 8 sixteen-letters-", "the target is 'sixteen-letters-'"),
        ("8 8 zero", "table: row 1: start_sector is 8, expected 0, where the row before ends"),
        ("0 8 zero\n9 8 zero", "table: row 2: start_sector is 9, expected 8"),
        ("0 8 zero\n7 8 zero", "table: row 2: start_sector is 7, expected 8"),
        ("0 8 zero\n8 36028797018963968 zero", "table: row 2, column 1: the row ends at sector 36028797018963976"),
        ("0 0 zero", "table: row 1, column 1: num_sectors is 0, expected at least one sector"),
        ("0 8 linear a\\", "table: row 1, column 13: a backslash quotes nothing"),
        ("0 8 linear \\", "table: row 1, column 12: a backslash quotes nothing"),
        ("0 8 linear a\\# 0", "a backslash quotes nothing"),
        ("0 8 linear a\0b", "an argument is"),
    ],
)
def test_refusal(text: str, message: str) -> None:
    assert fault(text).startswith(message) or message in fault(text)


def test_largest_table() -> None:
    assert parse_table("0 36028797018963968 zero").size_bytes == 2**64


def test_text_too_long() -> None:
    with pytest.raises(FormatError, match="the text is"):
        parse_table(" " * (16 * 1024 * 1024 + 1))


@pytest.mark.parametrize("arg", ["", "a#b", "a\nb", "a\0"])
def test_argument_that_no_text_can_hold(arg: str) -> None:
    with pytest.raises(FormatError, match="an argument is"):
        Row(0, 8, "linear", (arg,))


@pytest.mark.parametrize("line", ["0 8 zero\n8 8 zero", "0 8 linear a\\\nb"])
def test_row_is_one_line(line: str) -> None:
    with pytest.raises(FormatError):
        parse_row(line)


def test_comment_hides_the_end_of_a_row_and_not_its_arguments() -> None:
    assert parse_row("0 8 linear a#b c").args == ("a",)
