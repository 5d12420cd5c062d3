"""The text in which LVM2 keeps its metadata: names, numbers, strings, lists and sections.

Source: lvm.conf(5), "Syntax"; lvmvgcfg, as vgcfgbackup(8) writes it::

    text    = { item }
    item    = name "=" value | name "{" { item } "}"
    value   = scalar | "[" [ scalar { "," scalar } ] "]"
    scalar  = integer | '"' { any character, or \\" or \\\\ } '"'

``#`` starts a comment that ends with the line. A name is letters, digits and ``- _ . + / @``. Here a number is an
integer of 64 bits (metadata holds no others), and a name stands once in its section.

Bounds: a text of 16 MiB with a million words and signs, sections nested 16 deep; whatever goes beyond is a
FormatError. Time and memory are linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from reprlib import repr as brief
from typing import NoReturn, TypeAlias

from bootpath.core.errors import FormatError

MAX_TEXT_BYTES = 16 << 20
MAX_TOKENS = 1 << 20  # some 20000 logical volumes
MAX_DEPTH = 16

Scalar: TypeAlias = int | str
Value: TypeAlias = "Scalar | tuple[Scalar, ...] | Section"

_TOKEN = re.compile(
    r"""(?:[ \t\r\n]++|\#[^\n]*+)*+
        (?: (?P<text>"(?:[^"\\]|\\["\\])*+")
          | (?P<word>[A-Za-z0-9_.+/@-]++)
          | (?P<sign>[{}\[\]=,])
          | (?P<end>\Z) )""",
    re.VERBOSE,
)
_BLANK = re.compile(r"(?:[ \t\r\n]++|\#[^\n]*+)*+")
_INTEGER = re.compile(r"-?[0-9]{1,20}")
_ESCAPE = re.compile(r'\\(["\\])')
_MIN, _MAX = -(2**63), 2**64 - 1


@dataclass(frozen=True, slots=True)
class Section:
    """Named values, in the order of the text. The outermost section is called lvm2."""

    name: str
    items: dict[str, Value]
    parent: Section | None = field(default=None, compare=False, repr=False)

    @property
    def where(self) -> str:
        """The path to it, for messages; made when it is asked for, since hostile names are long and many."""
        return self.name if self.parent is None else f"{self.parent.where}/{brief(self.name)[1:-1]}"

    def section(self, name: str) -> Section:
        """A section inside this one. Raises FormatError when there is none of this name."""
        value = self.items.get(name)
        return value if isinstance(value, Section) else self._refuse(name, value, "a section")

    def sections(self) -> Iterator[tuple[str, Section]]:
        """Every section inside this one, by name."""
        return ((name, value) for name, value in self.items.items() if isinstance(value, Section))

    def optional(self, name: str) -> Section:
        """The same as `section`, empty when the name is not there at all."""
        return self.section(name) if name in self.items else Section(name, {}, self)

    def number(self, name: str, default: int | None = None) -> int:
        """An integer from 0. Raises FormatError when it is missing and there is no default."""
        value = self.items.get(name, default)
        if not isinstance(value, int) or value < 0:
            return self._refuse(name, value, "a number of 0 or more")
        return value

    def text(self, name: str, default: str | None = None) -> str:
        """A string. Raises FormatError as `number` does."""
        value = self.items.get(name, default)
        return value if isinstance(value, str) else self._refuse(name, value, "a string")

    def words(self, name: str) -> tuple[str, ...]:
        """A list of strings, or one string as a list of one; empty when it is missing. Raises FormatError."""
        value = self.items.get(name, ())
        parts = (value,) if isinstance(value, str) else value
        if not isinstance(parts, tuple):
            return self._refuse(name, value, "a list of strings")
        return tuple(part if isinstance(part, str) else self._refuse(name, part, "a string") for part in parts)

    def pairs(self, name: str) -> tuple[tuple[str, int], ...]:
        """A list of strings and numbers in turn. Raises FormatError."""
        value = self.items.get(name)
        if not isinstance(value, tuple) or len(value) % 2:
            return self._refuse(name, value, "a list of names and numbers in turn")
        result: list[tuple[str, int]] = []
        for first, second in zip(value[::2], value[1::2], strict=True):
            if not isinstance(first, str) or not isinstance(second, int) or second < 0:
                return self._refuse(name, (first, second), "a name and a number of 0 or more")
            result.append((first, second))
        return tuple(result)

    def _refuse(self, name: str, value: object, expected: str) -> NoReturn:
        found = "missing" if value is None else "a section" if isinstance(value, Section) else brief(value)
        raise FormatError(f"{name} is not valid", where=self.where, found=found, expected=expected)


def parse_lvm_text(text: str) -> Section:
    """The whole text as one section without a name. Raises FormatError that names the line."""
    if len(text) > MAX_TEXT_BYTES:
        raise FormatError(
            "the text is too long", where="lvm2", found=f"{len(text)} characters", expected=f"at most {MAX_TEXT_BYTES}"
        )
    return _Parser(text).whole()


class _Parser:
    """One pass over the tokens; open sections are kept in a list, so that depth costs no stack."""

    __slots__ = ("_kind", "_left", "_piece", "_position", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._left = MAX_TOKENS
        self._kind = self._piece = ""
        self._advance()

    def whole(self) -> Section:
        path = [Section("lvm2", {})]
        while self._kind:
            if self._piece == "}" and self._kind == "sign":
                if len(path) == 1:
                    self._refuse("a name")
                path.pop()
                self._advance()
                continue
            name = self._take("word", "a name")
            current = path[-1]
            if name in current.items:
                self._fail(f"the name {brief(name)} stands twice in {current.where}")
            if self._sign("{"):
                if len(path) > MAX_DEPTH:
                    self._fail(f"sections are nested more than {MAX_DEPTH} deep")
                inner = Section(name, {}, current)
                current.items[name] = inner
                path.append(inner)
            elif self._sign("="):
                current.items[name] = self._list() if self._sign("[") else self._scalar()
            else:
                self._refuse("'=' or '{'")
        if len(path) > 1:
            self._fail(f"the text ends inside {path[-1].where}")
        return path[0]

    def _list(self) -> tuple[Scalar, ...]:
        parts: list[Scalar] = []
        if self._sign("]"):
            return ()
        while True:
            parts.append(self._scalar())
            if self._sign("]"):
                return tuple(parts)
            if not self._sign(","):
                self._refuse("',' or ']'")
            if self._sign("]"):  # a comma may follow the last one
                return tuple(parts)

    def _scalar(self) -> Scalar:
        token = self._piece
        if self._kind == "text":
            self._advance()
            return _ESCAPE.sub(r"\1", token[1:-1])
        if self._kind != "word" or _INTEGER.fullmatch(token) is None or not _MIN <= int(token) <= _MAX:
            self._refuse("a number of 64 bits or a string in quotes")
        self._advance()
        return int(token)

    def _sign(self, sign: str) -> bool:
        """Step over `sign` when it is next."""
        if self._kind != "sign" or self._piece != sign:
            return False
        self._advance()
        return True

    def _take(self, kind: str, what: str) -> str:
        token = self._piece
        if self._kind != kind:
            self._refuse(what)
        self._advance()
        return token

    def _advance(self) -> None:
        """To the next token; an empty kind is the end."""
        match = _TOKEN.match(self._text, self._position)
        if match is None:
            blank = _BLANK.match(self._text, self._position)
            self._position = self._position if blank is None else blank.end()
            self._fail(f"the character {self._text[self._position]!r} begins nothing")
        self._position = match.end()
        self._left -= 1
        if self._left < 0:
            self._fail(f"the text has more than {MAX_TOKENS} words and signs")
        kind = str(match.lastgroup)
        self._kind, self._piece = ("", "") if kind == "end" else (kind, match.group(kind))

    def _refuse(self, expected: str) -> NoReturn:
        found = brief(self._piece) if self._kind else "the end"
        raise FormatError("the syntax is wrong", where=self._where(), found=found, expected=expected)

    def _fail(self, what: str) -> NoReturn:
        raise FormatError(what, where=self._where())

    def _where(self) -> str:
        line = self._text.count("\n", 0, self._position) + 1
        return f"lvm2: line {line}"
