"""The words of a GRUB script: what a file is before it is a menu.

Source: GRUB manual 2.06 §6.2; grub-core/script/yylex.l. A word is characters; a backslash takes its meaning from the
one behind it; ``'…'`` stands for what is in it, ``"…"`` for what is in it but variables, and backslashes before ``$``,
``"`` and themselves. ``$name``, ``${name}`` and ``$1``, ``$?``, ``$@``, ``$*``, ``$#`` are variables. ``#`` begins a
comment where a word could begin. ``;`` and the end of a line end a command; behind a backslash the end of a line is
nothing. ``{`` and ``}`` stand for themselves, wherever they are outside of quotes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from bootpath.core.errors import FormatError

MAX_WORDS = 50_000

_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w*|\d+|[?@*#])\}|([A-Za-z_]\w*|\d+|[?@*#]))", re.ASCII)
_BLANKS = " \t\r"
_MARKS = "{};\n"
_REFUSED = "|&<>"


class GrubMark(Enum):
    """What stands between words."""

    END = "the end of a command"
    OPEN = "{"
    CLOSE = "}"


@dataclass(frozen=True, slots=True)
class Word:
    """A word: pieces of text, each with whether it is the name of a variable. `quoted` when any of it was."""

    pieces: tuple[tuple[str, bool], ...]
    quoted: bool = False

    @property
    def keyword(self) -> str:
        """The text of a word that may be a keyword: it has neither variables nor quotes. Else ""."""
        plain = not self.quoted and not any(is_name for _, is_name in self.pieces)
        return "".join(text for text, _ in self.pieces) if plain else ""

    def value(self, variables: Mapping[str, str]) -> str:
        """The text with the values of variables. Raises KeyError with the name of one that is not known."""
        return "".join(variables[text] if is_name else text for text, is_name in self.pieces)


def parse_words(text: str) -> Iterator[Word | GrubMark]:
    """The words and marks of a script. Raises FormatError."""
    place = count = 0
    while place < len(text):
        character = text[place]
        count += 1
        if count > MAX_WORDS:
            raise _fault("the script has too many words", f"more than {MAX_WORDS}", f"at most {MAX_WORDS}")
        if character in _BLANKS or text.startswith("\\\n", place):
            place += 1 if character in _BLANKS else 2
        elif character == "#":
            end = text.find("\n", place)
            place = len(text) if end < 0 else end
        elif character in _MARKS:
            yield {"{": GrubMark.OPEN, "}": GrubMark.CLOSE}.get(character, GrubMark.END)
            place += 1
        elif character in _REFUSED:
            raise _fault("the script has a character that means nothing in GRUB", repr(character), "a word")
        else:
            word, place = _word(text, place)
            yield word


def _word(text: str, place: int) -> tuple[Word, int]:
    """The word that begins at a place, and where it ends."""
    pieces: list[tuple[str, bool]] = []
    quoted = False
    inside = ""  # the quotation mark, in one
    run: list[str] = []
    while place < len(text):
        character = text[place]
        if inside == "'":
            if character == "'":
                inside = ""
            else:
                run.append(character)
            place += 1
            continue
        if not inside and (character in _BLANKS or character in _MARKS or character in _REFUSED):
            break
        if character == "\\":
            following = text[place + 1 : place + 2]
            if inside and following not in ("$", '"', "\\", "\n"):
                run.append(character)
                place += 1
            else:
                run += [] if following == "\n" else [following]
                place += 2
            quoted = True
        elif character == '"' or (character == "'" and not inside):
            inside = "" if inside else character
            quoted = True
            place += 1
        elif character == "$" and (found := _VARIABLE.match(text, place)):
            pieces += [("".join(run), False), (found[1] or found[2], True)]
            run = []
            place = found.end()
        else:
            run.append(character)
            place += 1
    if inside:
        raise _fault("a quotation has no end", inside, "another one")
    pieces.append(("".join(run), False))
    return Word(tuple(piece for piece in pieces if piece[0]), quoted), place


def _fault(what: str, found: str, expected: str) -> FormatError:
    return FormatError(what, where="grub.cfg", found=found, expected=expected)
