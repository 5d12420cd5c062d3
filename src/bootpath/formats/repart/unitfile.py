r"""Configuration files in systemd's syntax: sections of assignments, with the line each began at.

Source: systemd.syntax(7)::

    # a comment, like ; and like empty lines
    [Section]
    Key=value
    Long=one \
         two

A line that ends in a backslash goes on in the next, joined by a blank; comments in between are left out. Blanks around
key and value do not count. Nothing is decided here about keys: the same one may come again, and an empty value is kept.

Invariants: keys and sections are not empty; a value has no line feed and no NUL, no blank at its ends and no backslash
at its end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bootpath.core.errors import FormatError

MAX_UNIT_FILE_BYTES = 1 << 20
_SPEC = "systemd.syntax(7)"
_BLANKS = " \t\r"


@dataclass(frozen=True, slots=True)
class Assignment:
    """One `key=value` of a section; `line` counts from 1 and is where it begins."""

    section: str
    key: str
    value: str
    line: int


def parse_unit_file(data: bytes, *, where: str) -> tuple[Assignment, ...]:
    """Every assignment, in order. `where` names the file in errors. Raises FormatError with the line."""
    if len(data) > MAX_UNIT_FILE_BYTES:
        raise FormatError(
            "the file is too long", where=where, found=f"{len(data)} bytes", expected=f"at most {MAX_UNIT_FILE_BYTES}"
        )
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as fault:
        line = data[: fault.start].count(b"\n") + 1
        raise FormatError("the line is not UTF-8", where=f"{where}:{line}", spec=_SPEC) from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise FormatError("the line has a NUL", where=f"{where}:{line}", spec=_SPEC)
    return tuple(_assignments(text, where))


def pack_unit_file(assignments: Iterable[Assignment]) -> bytes:
    """The bytes of a file with these assignments; their line numbers are not looked at."""
    lines: list[str] = []
    section: str | None = None
    for each in assignments:
        if each.section != section:
            lines += ([""] if lines else []) + [f"[{each.section}]"]
            section = each.section
        lines.append(f"{each.key}={each.value}")
    return "".join(f"{line}\n" for line in lines).encode()


def _assignments(text: str, where: str) -> Iterator[Assignment]:
    section: str | None = None
    for number, line in _logical_lines(text):
        place = f"{where}:{number}"
        if line.startswith("["):
            if not line.endswith("]") or not line[1:-1].strip(_BLANKS):
                raise FormatError(
                    "the line is no section", where=place, found=repr(line[:80]), expected="[Name]", spec=_SPEC
                )
            section = line[1:-1].strip(_BLANKS)
            continue
        if line.endswith("\\"):
            raise FormatError("the line ends in a backslash, and nothing follows", where=place, spec=_SPEC)
        key, equals, value = line.partition("=")
        if not equals or not key.strip(_BLANKS):
            raise FormatError(
                "the line is no assignment", where=place, found=repr(line[:80]), expected="Key=value", spec=_SPEC
            )
        if section is None:
            raise FormatError(
                "the key stands before any section", where=place, found=repr(key.strip(_BLANKS)[:80]), spec=_SPEC
            )
        yield Assignment(section, key.strip(_BLANKS), value.strip(_BLANKS), number)


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines that say something, joined where they go on, with the number of their first."""
    parts: list[str] = []
    first = 0
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.strip(_BLANKS)
        # "Lines ... starting with # or ; are ignored", also between the lines of a continued one.
        if line.startswith(("#", ";")) or (not line and not parts):
            continue
        if not parts:
            first = number
        # "The backslash ... is replaced by a space"; what follows is joined as it is.
        goes_on = line.endswith("\\")
        parts.append(line[:-1].rstrip(_BLANKS) if goes_on else line)
        if not goes_on:
            yield from _joined(first, parts)
            parts = []
    yield from _joined(first, parts)


def _joined(first: int, parts: list[str]) -> Iterator[tuple[int, str]]:
    line = " ".join(part for part in parts if part)
    if line:
        yield first, line
