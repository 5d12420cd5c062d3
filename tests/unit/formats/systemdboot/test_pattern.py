from __future__ import annotations

from fnmatch import fnmatchcase
from random import Random

import pytest

from bootpath.formats.systemdboot.pattern import MAX_PATTERN_CHARACTERS, fold_id, pattern_matcher


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        # systemd's own: src/boot/test-efi-string.c
        ("", "", True),
        ("abc", "abc", True),
        ("aBc", "abC", True),
        ("b", "a", False),
        ("b", "", False),
        ("abc", "a", False),
        ("a?c", "azc", True),
        ("???", "?.9", True),
        ("1?", "1", False),
        ("???", "1", False),
        ("*", "123", True),
        ("**", "", True),
        ("*", "", True),
        ("**", "abcd", True),
        ("**", "****", True),
        ("**", "a*a*a", True),
        ("a*b*c*d*?", "a b c d ", True),
        ("a*b", "ab\0b", True),
        ("a*bc", "abbbbc", True),
        ("*abc", "abcabcabd", False),
        ("a*[0-9]z", "a5z9z", True),
        ("[abc]", "b", True),
        ("[abc", "a", False),
        ("[][!]", "[", True),
        ("[][!]", "]", True),
        ("[][!]", "!", True),
        ("[", "[", False),
        ("[]", "]", False),
        ("[!b]", "a", False),
        ("[0-9]", "5", True),
        ("[0-9-]", "-", True),
        ("[-a]", "-", True),
        ("[0-4-9]", "-", True),
        ("[0-4-9]", "9", True),
        ("[0-4-9]", "5", False),
        ("[z-a]", "m", False),
        ("[z-a]", "z", True),
        (r"[\]x]", "]", True),
        (r"[a\-c]", "b", False),
        (r"\*", "*", True),
        (r"\*", "x", False),
        ("a\\", "a\\", False),
        ("[a\\", "a", False),
        ("[a-", "a", False),
        ("*.conf", "a.conf.conf", True),
        ("a.c", "abc", False),
        ("k", "\u212a", False),  # only letters of ASCII have two cases
    ],
)
def test_patterns(pattern: str, name: str, fits: bool) -> None:
    assert pattern_matcher(pattern)(name) is fits


def test_as_the_library_without_what_only_one_of_them_knows() -> None:
    random = Random(1)
    for _ in range(5000):
        pattern = "".join(random.choice("ab*?.") for _ in range(random.randrange(9)))
        name = "".join(random.choice("ab.") for _ in range(random.randrange(9)))
        assert pattern_matcher(pattern)(name) is fnmatchcase(name, pattern), (pattern, name)


def test_a_pattern_costs_little_whatever_it_says() -> None:
    name = "a" * 255
    assert not pattern_matcher("*a" * 500 + "b")(name)
    assert not pattern_matcher("*" + "a" * 200 + "b*")(name)
    assert not pattern_matcher("*" * (MAX_PATTERN_CHARACTERS + 1))(name)


def test_fold_id() -> None:
    assert fold_id("ABC-Ä.Conf") == "abc-Ä.conf"
