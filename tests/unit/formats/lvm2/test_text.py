from __future__ import annotations

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.lvm2 import text as lvmtext
from bootpath.formats.lvm2.text import MAX_DEPTH, MAX_TEXT_BYTES, Section, parse_lvm_text
from tests.support.errors import raises

TEXT = r"""# a comment
name = 1   # another { "
text="quoted \"and\" \\ more
lines" list = [ "a", -2, 3 , ] empty=[]
outer { inner { deep = 18446744073709551615 } # }
    next = "x" }
odd.name/with+@-chars_1 { }
"""


def test_everything_the_grammar_has() -> None:
    top = parse_lvm_text(TEXT)
    assert top.number("name") == 1
    assert top.text("text") == 'quoted "and" \\ more\nlines'
    assert top.items["list"] == ("a", -2, 3)
    assert top.words("empty") == ()
    assert top.section("outer").section("inner").number("deep") == 2**64 - 1
    assert top.section("outer").text("next") == "x"
    assert [name for name, _ in top.sections()] == ["outer", "odd.name/with+@-chars_1"]


@pytest.mark.parametrize("text", ["", " \r\n\t", "# only a comment", "#\n#\n"])
def test_nothing(text: str) -> None:
    assert parse_lvm_text(text) == Section("lvm2", {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a", "line 1: the syntax is wrong; expected '=' or '{', found the end"),
        ("a = ", "line 1: the syntax is wrong; expected a number of 64 bits or a string in quotes, found the end"),
        ("a = b", "the syntax is wrong; expected a number of 64 bits or a string in quotes, found 'b'"),
        ("a = 1.5", "the syntax is wrong; expected a number of 64 bits or a string in quotes, found '1.5'"),
        ("a = 99999999999999999999", "expected a number of 64 bits"),
        ("a = -9223372036854775809", "expected a number of 64 bits"),
        ("a = 123456789012345678901", "expected a number of 64 bits"),
        ("\n\n= 1", "line 3: the syntax is wrong; expected a name, found '='"),
        ("a = 1\nb = 2\na { }", "line 3: the name 'a' stands twice in lvm2"),
        ("s { a = 1 a = 2 }", "the name 'a' stands twice in lvm2/s"),
        ("a {", "the text ends inside lvm2/a"),
        ("}", "the syntax is wrong; expected a name, found '}'"),
        ("a = [", "the syntax is wrong; expected a number of 64 bits or a string in quotes, found the end"),
        ("a = [1 2]", "the syntax is wrong; expected ',' or ']', found '2'"),
        ("a = [[1]]", "expected a number"),
        ("a = [,]", "expected a number"),
        ('a = "open', """the character '"' begins nothing"""),
        (r'a = "\n"', """the character '"' begins nothing"""),
        ("a = 1 ; b = 2", "the character ';' begins nothing"),
        ("a = \x00", "begins nothing"),
        ("ä = 1", "the character 'ä' begins nothing"),
        ("a {" * (MAX_DEPTH + 1), f"sections are nested more than {MAX_DEPTH} deep"),
    ],
)
def test_what_breaks_it(text: str, message: str) -> None:
    with pytest.raises(FormatError, match=r"^lvm2: ") as caught:
        parse_lvm_text(text)
    assert message in str(caught.value)


def test_the_longest_text() -> None:
    with raises(FormatError, found="16777217 characters"):
        parse_lvm_text(" " * (MAX_TEXT_BYTES + 1))
    assert parse_lvm_text(" " * MAX_TEXT_BYTES).items == {}


@pytest.mark.parametrize(
    "text", ["a {" * 100_000, "a = [" * 50_000, '"' * 200_000, "#" * 500_000, "\\" * 100_000, "a = " + "9" * 200_000]
)
def test_hostile_texts_end_soon(text: str) -> None:
    if text.startswith("#"):
        parse_lvm_text(text)
        return
    with pytest.raises(FormatError):
        parse_lvm_text(text)


def test_too_many_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lvmtext, "MAX_TOKENS", 100)
    parse_lvm_text("".join(f"a{number} = 1 " for number in range(33)))
    with pytest.raises(FormatError, match="the text has more than 100 words and signs"):
        parse_lvm_text("".join(f"a{number} = 1 " for number in range(34)))


def test_long_names_are_not_copied_into_every_section_below() -> None:
    """Were the path kept in each, this would be 40 GB."""
    section = parse_lvm_text("n" * 1_000_000 + "{" + "".join(f"a{number} {{}}" for number in range(40_000)) + "}")
    (outer,) = (inner for _, inner in section.sections())
    assert len(outer.section("a39999").where) < 100


def test_values_of_another_kind() -> None:
    top = parse_lvm_text('n = -1 t = "x" l = [1] p = ["a", 1, "b"] s { } w = "one" m = [1, "a"]')
    assert top.words("w") == ("one",)
    assert top.words("missing") == ()
    assert top.text("missing", "d") == "d"
    assert top.number("missing", 5) == 5
    assert top.optional("missing").items == {}
    for call, message in (
        (lambda: top.number("n"), "lvm2: n is not valid; expected a number of 0 or more, found -1"),
        (lambda: top.number("t"), "t is not valid"),
        (lambda: top.number("missing"), "missing is not valid; expected a number of 0 or more, found missing"),
        (lambda: top.text("s"), "s is not valid; expected a string, found a section"),
        (lambda: top.words("l"), "l is not valid; expected a string, found 1"),
        (lambda: top.words("n"), "n is not valid; expected a list of strings, found -1"),
        (lambda: top.section("n"), "n is not valid; expected a section, found -1"),
        (lambda: top.optional("n"), "n is not valid; expected a section, found -1"),
        (lambda: top.pairs("p"), "expected a list of names and numbers in turn"),
        (lambda: top.pairs("m"), "expected a name and a number"),
    ):
        with pytest.raises(FormatError) as caught:
            call()
        assert message in str(caught.value)
