from __future__ import annotations

import tracemalloc

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.dm.table import Table, TableLine, pack_line, pack_table, parse_line, parse_table

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


@pytest.mark.parametrize("word", ["z" * (1 << 20), "\\z" * (1 << 19)])
def test_a_long_word_costs_little_more_than_itself(word: str) -> None:
    tracemalloc.start()
    try:
        assert "wrong" in fault(f"0 8 {word}")
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()


def test_lines() -> None:
    table = parse_table(TABLE)
    assert table == Table(
        (
            TableLine(0, 32768, "linear", ("8:1", "0")),
            TableLine(32768, 1024000, "linear", ("/dev/sda2", "4096")),
            TableLine(1056768, 8, "zero"),
        )
    )
    assert table.size_sectors == 1056776
    assert table.size_bytes == 1056776 * 512
    assert table.lines[0].end_sector == 32768


def test_canonical_text() -> None:
    text = "0 32768 linear 8:1 0\n32768 1024000 linear /dev/sda2 4096\n1056768 8 zero\n"
    assert pack_table(parse_table(TABLE)) == text
    assert pack_table(parse_table(text)) == text


def test_last_line_may_lack_its_line_feed() -> None:
    assert parse_table("0 8 zero") == Table((TableLine(0, 8, "zero"),))


def test_line_feeds_of_other_systems() -> None:
    assert parse_table("0 8 zero\r\n8 8 zero\r\n").size_sectors == 16


def test_backslash_makes_the_next_character_ordinary() -> None:
    line = parse_line(r"0 8 linear /my\ disk\\a\b 0")
    assert line.args == (r"/my disk\ab", "0")
    assert pack_line(line) == r"0 8 linear /my\ disk\\ab 0"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "table: the table has no lines"),
        ("# nothing\n\n", "table: the table has no lines"),
        ("0", "table: line 1, column 2: the line is too short"),
        ("0 8", "table: line 1, column 4: the line is too short"),
        ("# c\n0 8 zero\n8 8", "table: line 2, column 4: the line is too short"),
        ("x 8 zero", "table: line 1, column 1: start_sector is not a number of sectors"),
        ("-1 8 zero", "start_sector is not a number of sectors"),
        ("+0 8 zero", "start_sector is not a number of sectors"),
        ("00 8 zero", "start_sector is not a number of sectors"),
        ("0 010 zero", "table: line 1, column 3: num_sectors is not a number of sectors"),
        ("0 0x8 zero", "num_sectors is not a number of sectors"),
        ("0 8_0 zero", "num_sectors is not a number of sectors"),
        ("0 8.0 zero", "num_sectors is not a number of sectors"),
        ("0 ٨ zero", "num_sectors is not a number of sectors"),
        ("0 99999999999999999999 zero", "num_sectors is"),
        ("0 36028797018963969 zero", "num_sectors is"),
        ("0 8 zéro", "table: line 1, column 5: the name of the target is wrong"),
        ("0 8 a/b", "the name of the target is wrong"),
        ("0 8 sixteen-letters-", "the name of the target is wrong"),
        ("8 8 zero", "table: line 1: the line does not start where the line before it ends"),
        ("0 8 zero\n9 8 zero", "table: line 2: the line does not start where the line before it ends"),
        ("0 8 zero\n7 8 zero", "table: line 2: the line does not start where the line before it ends"),
        ("0 8 zero\n8 36028797018963968 zero", "table: line 2, column 1: the line ends too late"),
        ("0 0 zero", "table: line 1, column 1: num_sectors is 0"),
        ("0 8 linear a\\", "table: line 1, column 13: a backslash quotes nothing"),
        ("0 8 linear \\", "table: line 1, column 12: a backslash quotes nothing"),
        ("0 8 linear a\\# 0", "a backslash quotes nothing"),
        ("0 8 linear a\0b", "an argument cannot be written in a table"),
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
    with pytest.raises(FormatError, match="an argument cannot be written in a table"):
        TableLine(0, 8, "linear", (arg,))


@pytest.mark.parametrize("line", ["0 8 zero\n8 8 zero", "0 8 linear a\\\nb"])
def test_line_is_one_line(line: str) -> None:
    with pytest.raises(FormatError):
        parse_line(line)


def test_comment_hides_the_end_of_a_line_and_not_its_arguments() -> None:
    assert parse_line("0 8 linear a#b c").args == ("a",)
