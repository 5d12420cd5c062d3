from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootpath.core.errors import BootError, FormatError
from bootpath.formats.cmdline.parameters import (
    Parameter,
    insert_parameters,
    join_parameters,
    quote,
    split_init,
    split_parameters,
)

LINES = st.text(alphabet='ab=" \t\n\v\f\r\x1c-./à\xa0é')
VALUES = st.text(alphabet='ab= \t\x1c-./é"')


def texts(line: str) -> list[str]:
    return [parameter.text for parameter in split_parameters(line)]


def test_parameters_keep_their_quotes() -> None:
    assert texts('a  b="c d"\t"e f" g') == ["a", 'b="c d"', '"e f"', "g"]


def test_the_blanks_are_those_of_linux() -> None:
    """lib/ctype.c: 9 to 13 and 32, and no other character that Python calls a space."""
    assert texts("a\tb\nc\vd\fe\rf g") == list("abcdefg")
    assert texts("a\x1cb\x1dc\x1ed\x1fe\x85f\u2003g") == ["a\x1cb\x1dc\x1ed\x1fe\x85f\u2003g"]


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("quiet", "quiet", None),
        ("a=", "a", ""),
        ("a=b=c", "a", "b=c"),
        ('a="b c"', "a", "b c"),
        ('a=""', "a", ""),
        ('"a=b c"', "a", "b c"),
        ('"a b"', "a b", None),
        ('"a b"=c', 'a b"', "c"),
        ('a="b c"d', "a", 'b c"d'),
        ('a=b"c d"', "a", 'b"c d"'),
        ('"a="b""', "a", 'b"'),
        ("=x", "=x", None),
        ("=x=y", "=x", "y"),
        ("--", "--", None),
    ],
)
def test_name_and_value_are_those_of_next_arg(text: str, name: str, value: str | None) -> None:
    parameter = Parameter(text)
    assert (parameter.name, parameter.value) == (name, value)


def test_hyphens_and_underscores_are_the_same_in_names() -> None:
    assert Parameter("dm-mod.create=a-b").key == Parameter("dm_mod.create=").key == "dm_mod.create"
    assert Parameter("a=b-c").value == "b-c"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('a "b', "a quote does not end"),
        ("a=voilà", "0xa0"),
        ("a\xa0b", "0xa0"),
        ("a\0", "NUL"),
        ("a\ud800", "surrogate"),
    ],
)
def test_lines_that_linux_would_cut_or_guess(line: str, reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        split_parameters(line)


def test_any_character_may_stand_in_quotes() -> None:
    assert [parameter.value for parameter in split_parameters('a="voilà" b="c\xa0d\ne"')] == ["voilà", "c\xa0d\ne"]


@pytest.mark.parametrize("text", ["", " ", "a b", ' a="b"', 'a="b c" d'])
def test_one_parameter_is_one(text: str) -> None:
    with pytest.raises(FormatError, match="is not one parameter"):
        Parameter(text)


@given(LINES)
def test_a_line_is_split_and_joined_again(line: str) -> None:
    try:
        parameters = split_parameters(line)
    except FormatError:
        assert line.count('"') % 2 == 1 or "à" in line or "\xa0" in line
        return
    assert split_parameters(join_parameters(parameters)) == parameters


@given(st.text(alphabet='ab-. "', min_size=1), st.none() | VALUES)
def test_what_is_quoted_is_read_back(name: str, value: str | None) -> None:
    try:
        parameter = quote(name, value)
    except FormatError:
        assert '"' in name + (value or "") or " " in name
        return
    assert (parameter.name, parameter.value) == (name, value)
    assert split_parameters(f"x {parameter} y")[1] == parameter


def test_quotes_are_added_only_where_they_are_needed() -> None:
    found = [str(quote(name, value)) for name, value in (("a", "b"), ("a", "b c"), ("a b", None), ("a b", "c"))]
    assert found == ["a=b", 'a="b c"', '"a b"', '"a b=c"']
    assert quote("delay", 3).text == "delay=3"
    for name, value in (("a", 'b" c'), ("a=b", None), ("", "b"), ("a", '"')):
        with pytest.raises(FormatError, match="cannot be quoted"):
            quote(name, value)


def test_the_length_is_measured_in_bytes() -> None:
    parameters = (Parameter("a=" + "é" * 10),)
    assert join_parameters(parameters, limit_bytes=23)
    with pytest.raises(BootError, match="the command line has 22 bytes"):
        join_parameters(parameters, limit_bytes=22)
    with pytest.raises(BootError, match="expected < 2048"):
        join_parameters((Parameter("x" * 2048),))


def test_what_follows_two_hyphens_is_for_init() -> None:
    for end in ("--", '"--"'):
        kernel, init = split_init(split_parameters(f"quiet a {end} single --"))
        assert ([str(each) for each in kernel], [str(each) for each in init]) == (["quiet", "a"], [end, "single", "--"])
    assert split_init(split_parameters("--x --=y"))[1] == ()
    assert insert_parameters("quiet -- single", [quote("root", "/dev/vda")]) == "quiet root=/dev/vda -- single"
