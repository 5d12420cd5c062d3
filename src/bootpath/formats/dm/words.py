"""The arguments of a table's line: how many there are, which are numbers, and groups of optional ones.

The grammar of every target is built of these (`targets` lists the targets). They raise FormatError only, which does not
say where: whoever has the line adds that.
"""

from __future__ import annotations

from collections.abc import Sequence
from reprlib import repr as brief

from bootpath.core.errors import FormatError

MAX_NUMBER = 2**64 - 1
MAX_U32 = 2**32 - 1
_MAX_DIGITS = 20


def expect_words(args: Sequence[str], least: int, most: int, grammar: str) -> tuple[str, ...]:
    """The arguments, which are from `least` to `most`. Raises FormatError that quotes the `grammar`."""
    if not least <= len(args) <= most:
        expected = repr(grammar) if grammar else "none"
        raise FormatError("the arguments do not fit the target", found=brief(" ".join(args)), expected=expected)
    return tuple(args)


def parse_decimal(name: str, text: str, *, least: int = 0, most: int = MAX_NUMBER) -> int:
    """A number in ASCII digits. Raises FormatError that calls it `name`."""
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise FormatError(f"{name} is not a number", found=brief(text), expected="decimal digits")
    number = int(text)
    if not least <= number <= most:
        raise FormatError(f"{name} is out of range", found=number, expected=f"{least} to {most}")
    return number


def counted_words(name: str, args: Sequence[str]) -> tuple[str, ...]:
    """``[<count> <word>…]``: the words of an optional group that ends the line. Raises FormatError."""
    if not args:
        return ()
    count, *words = args
    if parse_decimal(f"the number of {name}", count) != len(words):
        raise FormatError(
            f"the number of {name} is not that of the words that follow it", found=count, expected=len(words)
        )
    return tuple(words)


def pack_counted(words: Sequence[str]) -> tuple[str, ...]:
    """The group that `counted_words` reads; nothing for no words, as the kernel prints it."""
    return (str(len(words)), *words) if words else ()
