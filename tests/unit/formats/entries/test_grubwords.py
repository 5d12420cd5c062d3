"""Words of a GRUB script: quotation, variables, comments, and marks between them."""

from __future__ import annotations

import pytest

from bootpath.formats.entries.grubwords import GrubMark, Word, parse_words


def texts(script: str) -> list[str]:
    return [
        "".join(f"<{text}>" if name else text for text, name in each.pieces) if isinstance(each, Word) else each.value
        for each in parse_words(script)
    ]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("a b", ["a", "b"]),
        ("a;b\n", ["a", "the end of a command", "b", "the end of a command"]),
        ("a{b}c", ["a", "{", "b", "}", "c"]),
        ("a#b #c\nd", ["a#b", "the end of a command", "d"]),
        ("'a $b' \"a $b\"", ["a $b", "a <b>"]),
        ("${a}b$c/$1$?", ["<a>b<c>/<1><?>"]),
        ("$ $- a$", ["$", "$-", "a$"]),
        ("a\\\nb \\\n c", ["ab", "c"]),
        ("\\{ \\; \\$a", ["{", ";", "$a"]),
        ('"\\a \\$b \\""', ['\\a $b "']),
        ("'' \"\"", ["", ""]),
    ],
)
def test_words(script: str, expected: list[str]) -> None:
    assert texts(script) == expected


def test_a_word_that_was_quoted_is_no_keyword() -> None:
    plain, quoted, variable = parse_words("menuentry 'menuentry' $x")
    assert isinstance(plain, Word)
    assert isinstance(quoted, Word)
    assert isinstance(variable, Word)
    assert (plain.keyword, quoted.keyword, variable.keyword) == ("menuentry", "", "")
    assert variable.value({"x": "y"}) == "y"
    with pytest.raises(KeyError):
        variable.value({})


def test_the_end_is_no_mark() -> None:
    assert list(parse_words("")) == []
    assert list(parse_words("\n")) == [GrubMark.END]
