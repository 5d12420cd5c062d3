"""Comparing versions: which label, image or boot entry is the newer one.

Source: UAPI.10 Version Format Specification, "Version Comparison"; every example of it is a test. The numbered points
of the specification stand above the branches that obey them. A version is any string; every two compare.

systemd differs in one case: a 0 that meets a letter is newer there (``1.0 > 1.a``), while here, by point 7, it is equal
to the number that is missing on the other side, whose letter then makes that the newer one.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_Comparable = TypeVar("_Comparable", str, tuple[int, str])

# "Any characters which are outside of the set of listed above (a-z, A-Z, 0-9, -, ., ~, ^) are skipped"
_SKIPPED = re.compile(r"[^a-zA-Z0-9.~^-]*")
_SEPARATORS = "~-^."
_DIGITS = re.compile(r"[0-9]*")
_LETTERS = re.compile(r"[a-zA-Z]*")


def compare_versions(first: str, second: str) -> int:
    """-1, 0 or 1 as `first` is older than `second`, equal to it, or newer."""
    at, to = 0, 0
    while True:
        # 1. Other characters are skipped in both.
        at, to = _end(_SKIPPED, first, at), _end(_SKIPPED, second, to)
        # 2. "if other remaining part does not start with ~, the string with ~ compares lower. Otherwise, both tilde
        # characters are skipped." And 4. to 6. the same for the others, with 3. between.
        for separator in _SEPARATORS:
            a, b = first.startswith(separator, at), second.startswith(separator, to)
            if a != b:
                return -1 if a else 1
            at, to = at + a, to + b
            # 3. "the string that has remaining characters compares higher"
            if separator == "~" and (at == len(first) or to == len(second)):
                return (at < len(first)) - (to < len(second))
        end_a, end_b = _end(_DIGITS, first, at), _end(_DIGITS, second, to)
        if end_a > at or end_b > to:
            # 7. "numerical prefixes are compared numerically ... If one of the prefixes is empty, it evaluates as 0."
            one, other = first[at:end_a].lstrip("0"), second[to:end_b].lstrip("0")
            # Without leading zeros the longer number is the bigger one: no conversion, however long it is.
            result = _order((len(one), one), (len(other), other))
        else:
            # 8. "compared letter-by-letter ... All capital letters compare lower than lower-case letters"
            end_a, end_b = _end(_LETTERS, first, at), _end(_LETTERS, second, to)
            result = _order(first[at:end_a], second[to:end_b])
        if result:
            return result
        at, to = end_a, end_b


version_key: Callable[[str], Any] = functools.cmp_to_key(compare_versions)
"""For `sorted` and `max`: versions in ascending order."""


def split_version(name: str) -> tuple[str, str]:
    """The name of an image and its version, from a label or a file name without suffix.

    "The underscore character (_) must be used to separate the version from the name of the image" (UAPI.2, UAPI.3): the
    last one, so that a name may hold one too. The version is empty when there is none.
    """
    image, separator, version = name.rpartition("_")
    return (image, version) if separator else (name, "")


def _end(pattern: re.Pattern[str], text: str, start: int) -> int:
    match = pattern.match(text, start)
    return start if match is None else match.end()


def _order(first: _Comparable, second: _Comparable) -> int:
    return (first > second) - (first < second)
