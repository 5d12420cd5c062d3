"""Patterns of boot entries, as systemd-boot compares them with the names of entries.

Source: loader.conf(5), ``default``: "Supported glob wildcard patterns are ?, *, and […] (including ranges). [...] set
negation and named character classes are not supported. The matching is done case-insensitively on the entry ID". As in
glob(7), a backslash takes away the meaning of the character behind it, and "]" is one of a set where it comes first.

Invariant: the time is bounded by the product of the two lengths, however many stars there are: a piece between two of
them is taken at the first place where it fits, which is enough.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from string import ascii_lowercase, ascii_uppercase

MAX_PATTERN_CHARACTERS = 1024  # a name has at most 255

_FOLD = str.maketrans(ascii_uppercase, ascii_lowercase)
_STAR = None


def fold_id(text: str) -> str:
    """The form in which names of entries are compared: without upper case letters of ASCII."""
    return text.translate(_FOLD)


def pattern_matcher(pattern: str) -> Callable[[str], bool]:
    """What says whether a name is one of those that are meant: for many names, this is done once.

    A pattern that is not complete ("[a", "a\\"), or that is longer than any name can need, means none.
    """
    elements = list(_elements(fold_id(pattern))) if len(pattern) <= MAX_PATTERN_CHARACTERS else [""]
    if "" in elements:
        return lambda name: False
    pieces: list[list[str]] = [[]]
    for element in elements:
        if element is _STAR:
            pieces.append([])
        else:
            pieces[-1].append(element)
    first, *between = [re.compile("".join(piece), re.DOTALL) for piece in pieces]
    last_characters = len(pieces[-1])

    def matches(name: str) -> bool:
        name = fold_id(name)
        if not between:
            return first.fullmatch(name) is not None
        found = first.match(name)
        for piece in between[:-1]:
            if found is None:
                return False
            found = piece.search(name, found.end())
        start = len(name) - last_characters
        return found is not None and start >= found.end() and between[-1].match(name, start) is not None

    return matches


def _elements(pattern: str) -> Iterator[str | None]:
    """A regular expression for each character that is meant, `_STAR` for a star, "" for what fits nothing."""
    characters = iter(pattern)
    for character in characters:
        if character == "*":
            yield _STAR
        elif character == "?":
            yield "."
        elif character == "\\":
            escaped = next(characters, "")
            yield re.escape(escaped)
        elif character == "[":
            yield _set(characters)
        else:
            yield re.escape(character)


def _set(characters: Iterator[str]) -> str:
    """The set behind a "[", "" when it does not end."""
    members: list[str] = []
    last, can_range = "", True
    for character in characters:
        if character == "]" and members:
            return f"[{''.join(members)}]"
        if character == "-" and can_range and members:
            high = next(characters, "")
            if high == "]":  # a hyphen at the end means itself
                return f"[{''.join(members)}\\-]"
            if high == "\\":
                high = next(characters, "")
            if not high:
                return ""
            if last <= high:
                members.append(f"{re.escape(last)}-{re.escape(high)}")
            can_range = False  # "[a-c-f]" is a to c, a hyphen, and f
            continue
        last = next(characters, "") if character == "\\" else character
        if not last:
            return ""
        members.append(re.escape(last))
        can_range = True
    return ""
