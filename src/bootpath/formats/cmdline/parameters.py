"""The kernel's command line as text: split into parameters and joined again (Linux lib/cmdline.c, next_arg)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from reprlib import repr as brief

from bootpath.core.errors import BootError, FormatError

COMMAND_LINE_BYTES = 2048
"""Linux's COMMAND_LINE_SIZE on x86, with the NUL."""


def join_words(words: Iterable[str]) -> str:
    """The kernel's command line. Raises BootError when it is longer than Linux takes."""
    line = " ".join(words)
    if len(line) >= COMMAND_LINE_BYTES:
        raise BootError("the kernel's command line has", found=f"{len(line)} bytes", expected=f"< {COMMAND_LINE_BYTES}")
    return line


def split_raw(text: str) -> Iterator[str]:
    """The words of a command line with their quotes (Linux lib/cmdline.c, next_arg). Raises FormatError."""
    word, inside = "", False
    for character in text:
        if character.isspace() and not inside:
            if word:
                yield word
            word = ""
            continue
        inside ^= character == '"'
        word += character
    if inside:
        raise FormatError("a quote does not end", where="command line", found=brief(word))
    if word:
        yield word
