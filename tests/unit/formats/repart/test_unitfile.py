from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootpath.core.errors import FormatError
from bootpath.formats.repart.unitfile import Assignment, pack_unit_file, parse_unit_file


def test_sections_comments_and_lines() -> None:
    text = b"# one\n\n[A]\n  Key = a value \n;two\nKey=\n[B]\nK=[x]\n"
    assert parse_unit_file(text, where="f") == (
        Assignment("A", "Key", "a value", 4),
        Assignment("A", "Key", "", 6),
        Assignment("B", "K", "[x]", 8),
    )


def test_a_continued_line_has_the_number_of_its_first() -> None:
    text = b"[A]\nKey=one \\\n# between\n  two\\\nthree\nNext=1\n"
    assert parse_unit_file(text, where="f") == (
        Assignment("A", "Key", "one two three", 2),
        Assignment("A", "Next", "1", 6),
    )


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (b"Key=1\n", "f:1"),
        (b"[A]\nnothing\n", "f:2"),
        (b"[A]\n\n=1\n", "f:3"),
        (b"[A\n", "f:1"),
        (b"[ ]\n", "f:1"),
        (b"[A]\nK=\xff\n", "f:2"),
        (b"[A]\nK=\0\n", "f:2"),
        (b"[A]\nK=a\\\\\n\n", "f:2"),
        (b"#" * (1 << 21), "f"),
    ],
)
def test_errors_name_the_line(text: bytes, place: str) -> None:
    with pytest.raises(FormatError) as failure:
        parse_unit_file(text, where="f")
    assert failure.value.where == place


WORD = st.text(st.characters(codec="utf-8", exclude_characters="\n\0\\\r \t="), min_size=1, max_size=8)
PLAIN = WORD.filter(lambda text: text[0] not in "#;[" and text[-1] != "]")


@given(st.lists(st.tuples(PLAIN, PLAIN, WORD), max_size=8))
def test_pack_and_parse_are_inverse(rows: list[tuple[str, str, str]]) -> None:
    given_rows = [Assignment(section, key, value, 0) for section, key, value in rows]
    found = parse_unit_file(pack_unit_file(given_rows), where="f")
    assert [(each.section, each.key, each.value) for each in found] == rows
