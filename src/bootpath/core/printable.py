"""Text that a terminal, a log or a picture may show: what a disk, a server or a guest says is escaped in it.

A partition's label can hold a line feed and "Verdict: boots", an escape sequence that clears the screen (CWE-150), or
a mark that turns the direction of writing ("Trojan Source", CVE-2021-42574). So everything that is shown is of the type
`Printable`, which only these functions make, and everything that shows takes nothing else: mypy finds what was
forgotten, wherever its parts came from.

Escaped, as Python writes them in a literal, are the characters that `str.isprintable` excludes: control characters
(Cc), format characters with the bidirectional ones (Cf), surrogates, private and unassigned ones, and separators other
than the space. A byte of a file name that is not UTF-8 (PEP 383) is written ``\\xff``. Nothing printable is changed, so
that escaping twice is escaping once; a backslash stays a backslash, and ``--json`` has the exact text.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NewType

Printable = NewType("Printable", str)

_BYTE_SURROGATES = range(0xDC80, 0xDD00)
"""PEP 383: a byte that could not be decoded is U+DC00 and its value."""


def printable(text: str) -> Printable:
    """One line: a line feed in it is escaped, as everything is that is no printable character."""
    if text.isprintable():
        return Printable(text)
    return Printable("".join(each if each.isprintable() else _escaped(each) for each in text))


def printable_lines(lines: Iterable[str]) -> Printable:
    """Lines, each made printable, with line feeds between them."""
    return Printable("\n".join(map(printable, lines)))


def _escaped(character: str) -> str:
    code = ord(character)
    if code in _BYTE_SURROGATES:
        return f"\\x{code & 0xFF:02x}"
    return character.encode("unicode_escape").decode("ascii")
