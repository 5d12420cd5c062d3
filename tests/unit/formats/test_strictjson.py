from __future__ import annotations

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.strictjson import Members, parse_json, quoted
from tests.support.errors import raises


def parse(text: str | bytes) -> object:
    return parse_json(text.encode() if isinstance(text, str) else text, where="x", max_bytes=200_000)


def fault(text: str | bytes) -> str:
    with pytest.raises(FormatError) as caught:
        parse(text)
    return str(caught.value)


def test_values() -> None:
    assert parse('{"a": [1, -2, true, null, "ü\\ud83d\\ude00"], "b": {}}') == {"a": [1, -2, True, None, "ü😀"], "b": {}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x: the text is not JSON: line 1, column 1: expecting value"),
        ("{\n}}", "x: the text is not JSON: line 2, column 2: extra data"),
        ("{'a': 1}", "x: the text is not JSON: line 1, column 2"),
        ("[1,]", "x: the text is not JSON: line 1, column"),
        ("1.0", "x: a number is not an integer; expected an integer, found '1.0'"),
        ("1e3", "x: a number is not an integer; expected an integer, found '1e3'"),
        ("NaN", "x: a number is not an integer; expected an integer, found 'NaN'"),
        ("[Infinity]", "x: a number is not an integer"),
        ("-Infinity", "x: a number is not an integer"),
        ("1" * 21, "x: a number is too long; expected at most 20, found 21 characters"),
        ("1" * 100_000, "x: a number is too long"),
        ("-" + "1" * 20, "x: a number is too long"),
        ('{"a": 1, "a": 1}', "x: the member 'a' appears twice"),
        ('[{"a": {"b": 1, "b": 2}}]', "x: the member 'b' appears twice"),
        (b'"\xff"', "x: byte 1 is not UTF-8"),
        (b"\xef\xbb\xbf{}", "x: the text is not JSON: line 1, column 1"),
        ("{}".encode("utf-16"), "x: byte 0 is not UTF-8"),
        ('"\n"', "x: the text is not JSON: line 1, column 2: invalid control character"),
        ('"' + "a" * 200_000, "x: the text is too long; expected at most 200000, found 200001 bytes"),
        ("[" * 100_000, "x: the text is nested too deeply"),
        ('{"a":' * 30_000, "x: the text is nested too deeply"),
    ],
)
def test_refusal(text: str | bytes, message: str) -> None:
    assert fault(text).startswith(message)


def members(text: str) -> Members:
    return Members(parse_json(text.encode(), where="x", max_bytes=1000), where="x")


def test_members_by_type() -> None:
    found = members(
        '{"t": "a", "n": 5, "f": true, "l": [1], "o": {"n": 1}, "u": "11111111-2222-4333-8444-555555555505", "c": 1}'
    )
    assert found.has("t")
    assert (found.text("t"), found.number("n"), found.flag("f"), found.array("l")) == ("a", 5, True, [1])
    assert not found.has("t")
    assert found.members("o").number("n") == 1
    assert str(found.uuid("u")) == "11111111-2222-4333-8444-555555555505"
    found.constant("c", 1)
    found.done()


def test_defaults() -> None:
    found = members("{}")
    assert (found.text("t", ""), found.number("n", 0), found.flag("f", False)) == ("", 0, False)


def test_default_does_not_hide_a_null() -> None:
    for name in ("text", "number", "flag"):
        with pytest.raises(FormatError, match="the value of a is not valid"):
            getattr(members('{"a": null}'), name)("a", {"text": "", "number": 0, "flag": False}[name])


@pytest.mark.parametrize(
    ("method", "value"),
    [
        ("text", "1"),
        ("text", "null"),
        ("text", '"\\ud800"'),
        ("number", "true"),
        ("number", '"1"'),
        ("number", "-1"),
        ("number", "18446744073709551616"),
        ("flag", "1"),
        ("flag", '"true"'),
        ("array", "{}"),
        ("array", '"[]"'),
        ("members", "[]"),
        ("uuid", "1"),
        ("uuid", '"x"'),
        ("uuid", '"11111111222243338444555555555505"'),
        ("uuid", '"{11111111-2222-4333-8444-555555555505}"'),
        ("uuid", '"urn:uuid:11111111-2222-4333-8444-555555555505"'),
        ("uuid", '"AAAAAAAA-2222-4333-8444-555555555505"'),
    ],
)
def test_wrong_type(method: str, value: str) -> None:
    with pytest.raises(FormatError, match=r"^x"):
        getattr(members(f'{{"a": {value}}}'), method)("a")


@pytest.mark.parametrize("method", ["text", "number", "flag", "array", "members", "uuid"])
def test_missing(method: str) -> None:
    with pytest.raises(FormatError, match="x: the member 'a' is missing"):
        getattr(members("{}"), method)("a")


@pytest.mark.parametrize("value", ["2", "true", '"1"', "null"])
def test_constant(value: str) -> None:
    with pytest.raises(FormatError, match="the value of a is not valid"):
        members(f'{{"a": {value}}}').constant("a", 1)


def test_largest_number() -> None:
    assert members('{"a": 18446744073709551615}').number("a") == 2**64 - 1


def test_left_over_member() -> None:
    found = members('{"a": 1, "b": 2}')
    found.number("a")
    with pytest.raises(FormatError, match="x: the member 'b' is not known"):
        found.done()


def test_not_an_object() -> None:
    with raises(FormatError, where="x", found="[]", expected="an object"):
        members("[]")


def test_quoted() -> None:
    assert quoted('a"\\\n\x7fü😀') == '"a\\"\\\\\\n\\u007f\\u00fc\\ud83d\\ude00"'
    with pytest.raises(FormatError, match="lone surrogate"):
        quoted("\ud800")
