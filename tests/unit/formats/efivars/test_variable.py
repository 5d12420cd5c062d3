from __future__ import annotations

from uuid import UUID

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.efivars.variable import EfiVariable, decode_ucs2, find_variable

GUID, OTHER = UUID(int=1), UUID(int=2)


def test_text_ends_at_its_nul_or_at_the_end() -> None:
    assert decode_ucs2("ab\0c".encode("utf-16-le")) == "ab"
    assert decode_ucs2("ab".encode("utf-16-le")) == "ab"
    assert decode_ucs2(b"") == ""
    assert decode_ucs2(b"\x00a\x00\x00") == "\u6100"  # a NUL is two bytes at an even place
    assert decode_ucs2(b"\x00\xd8") == "\ud800"


def test_half_a_character_is_no_text() -> None:
    with pytest.raises(FormatError, match="A: the variable has half a character; found 3 bytes"):
        _ = EfiVariable("A", GUID, 0, b"a\0b").text


def test_a_variable_is_known_by_name_and_vendor() -> None:
    first, second = EfiVariable("A", GUID, 0, b"1"), EfiVariable("A", OTHER, 0, b"2")
    assert find_variable([first, second], OTHER, "A") is second
    assert find_variable([first, second], OTHER, "a") is None
