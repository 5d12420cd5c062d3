"""Comparing versions: which label, image or boot entry is the newer one.

Source: UAPI.10 Version Format Specification, "Version Comparison"; every example of it is a test. The numbered points
of the specification stand above the branches that obey them. A version is any string; every two compare.

systemd differs in one case: a 0 that meets no number, but a letter, a further separator or the end (``1.0`` and
``1.a``, ``123.0`` and ``123..0``, ``1.0`` and ``1.``), is newer there. Here, by point 7, it is equal to the number that
is missing on the other side ("If one of the prefixes is empty, it evaluates as 0"), and what follows decides:
``123..0`` has something left when ``123.0`` has ended, and is newer by point 3. Of systemd's own examples this is the
only one that disagrees.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

_Comparable = TypeVar("_Comparable", str, tuple[int, str])

# "Any characters which are outside of the set of listed above (a-z, A-Z, 0-9, -, ., ~, ^) are skipped"
_ROUND = re.compile(r"[^a-zA-Z0-9.~^-]*(~?)(-?)(\^?)(\.?)([0-9]*)([a-zA-Z]*)")
_TILDE, _DIGITS, _LETTERS = 1, 5, 6


def compare_versions(first: str, second: str) -> int:
    """-1, 0 or 1 as `first` is older than `second`, equal to it, or newer."""
    if first == second:
        return 0
    at, to = 0, 0
    while True:
        # 1. Other characters are skipped in both.
        a, b = _round(first, at), _round(second, to)
        more_a, more_b = a.end(_TILDE) < len(first), b.end(_TILDE) < len(second)
        if a.groups() != b.groups() or not (more_a and more_b):
            result = _compare_round(a.groups(), b.groups(), more_a, more_b)
            if result or not (more_a or more_b):
                return result
        # Letters behind digits are of the next round.
        last = _DIGITS if a[_DIGITS] or b[_DIGITS] else _LETTERS
        at, to = a.end(last), b.end(last)


def _compare_round(first: Sequence[str], second: Sequence[str], more_first: bool, more_second: bool) -> int:
    tilde_a, *separators_a, digits_a, letters_a = first
    tilde_b, *separators_b, digits_b, letters_b = second
    # 2. "if other remaining part does not start with ~, the string with ~ compares lower. Otherwise, both tilde
    # characters are skipped."
    if tilde_a != tilde_b:
        return -1 if tilde_a else 1
    # 3. "the string that has remaining characters compares higher"
    if not (more_first and more_second):
        return more_first - more_second
    # 4. to 6. As 2., for the other separators.
    for separator_a, separator_b in zip(separators_a, separators_b, strict=True):
        if separator_a != separator_b:
            return -1 if separator_a else 1
    if digits_a or digits_b:
        # 7. "numerical prefixes are compared numerically ... If one of the prefixes is empty, it evaluates as 0."
        one, other = digits_a.lstrip("0"), digits_b.lstrip("0")
        # Without leading zeros the longer number is the bigger one: no conversion, however long it is.
        return _order((len(one), one), (len(other), other))
    # 8. "compared letter-by-letter ... All capital letters compare lower than lower-case letters"
    return _order(letters_a, letters_b)


version_key: Callable[[str], Any] = functools.cmp_to_key(compare_versions)
"""For `sorted` and `max`: versions in ascending order."""


def split_version(name: str) -> tuple[str, str]:
    """The name of an image and its version, from a label or a file name without suffix.

    "The underscore character (_) must be used to separate the version from the name of the image" (UAPI.2, UAPI.3): the
    last one, so that a name may hold one too. The version is empty when there is none.
    """
    image, separator, version = name.rpartition("_")
    return (image, version) if separator else (name, "")


def _round(text: str, start: int) -> re.Match[str]:
    match = _ROUND.match(text, start)
    assert match is not None, "all of it may be empty"
    return match


def _order(first: _Comparable, second: _Comparable) -> int:
    return (first > second) - (first < second)
