"""What may be shown: nothing that a terminal obeys, and nothing printable changed."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootpath.core.printable import printable, printable_lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("root-a", "root-a"),
        ("", ""),
        ("Größe 漢字 é", "Größe 漢字 é"),
        ("a\nVerdict: boots", "a\\nVerdict: boots"),
        ("\x1b[2J\x07\r\t\0", "\\x1b[2J\\x07\\r\\t\\x00"),
        ("\x9b2J", "\\x9b2J"),  # CSI of C1
        ("\u202egnp.exe\u2066", "\\u202egnp.exe\\u2066"),
        ("\u2028\u2029\u00a0\ufeff\u200b", "\\u2028\\u2029\\xa0\\ufeff\\u200b"),
        ("\U000e0001", "\\U000e0001"),  # language tag
        (b"\xff.img".decode(errors="surrogateescape"), "\\xff.img"),
        ("\ud800", "\\ud800"),
        ("\\EFI\\Linux", "\\EFI\\Linux"),
    ],
)
def test_one_line(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text())
def test_nothing_that_is_obeyed(text: str) -> None:
    shown = printable(text)
    assert {unicodedata.category(each) for each in shown}.isdisjoint({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
    assert printable(shown) == shown
    shown.encode()


@given(st.lists(st.text()))
def test_as_many_lines_as_there_are(lines: list[str]) -> None:
    assert printable_lines(lines).count("\n") == max(len(lines) - 1, 0)
