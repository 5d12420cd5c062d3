"""The words of a table's row: how many there are, which are numbers, and groups of optional ones.

What every target's grammar is built of (`targets` lists the targets). Only FormatError is raised; it
does not say where, since whoever has the row knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from reprlib import repr as brief

from bootpath.core.errors import FormatError

MAX_NUMBER = 2**64 - 1
_MAX_DIGITS = 20


def expect_words(args: Sequence[str], least: int, most: int, grammar: str) -> tuple[str, ...]:
    """The arguments, which are from `least` to `most`. Raises FormatError that quotes the `grammar`."""
    if not least <= len(args) <= most:
        raise FormatError("arguments are", found=brief(" ".join(args)), expected=repr(grammar))
    return tuple(args)


def parse_decimal(name: str, text: str, *, least: int = 0, most: int = MAX_NUMBER) -> int:
    """A number in ASCII digits. Raises FormatError that calls it `name`."""
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise FormatError(f"{name} is", found=brief(text), expected="a decimal number")
    number = int(text)
    if not least <= number <= most:
        raise FormatError(f"{name} is", found=number, expected=f"{least} to {most}")
    return number


def counted_words(name: str, args: Sequence[str]) -> tuple[str, ...]:
    """``[<count> <word>…]``: the words of an optional group that ends the row. Raises FormatError."""
    if not args:
        return ()
    count, *words = args
    if parse_decimal(f"the number of {name}", count) != len(words):
        raise FormatError(f"the number of {name} is", found=count, expected=f"{len(words)}, as follow")
    return tuple(words)


def pack_counted(words: Sequence[str]) -> tuple[str, ...]:
    """The group that `counted_words` reads; nothing for no words, as the kernel prints it."""
    return (str(len(words)), *words) if words else ()
