"""JSON without surprises, for files that other people wrote.

Source: RFC 8259, with what it leaves open decided (RFC 7493, I-JSON, goes the same way): UTF-8 only and no byte order
mark; a name appears once in an object; a number is an integer of at most 64 bits; no NaN and no Infinity; strings
hold no lone surrogates. Whatever breaks these rules, or is nested too deeply to be read, is a FormatError.

`Members` takes a parsed object apart by name and type, and says at the end whether anything was left over: a member
this version does not know is refused rather than dropped, so that pack∘parse stays the identity.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from json.encoder import encode_basestring_ascii
from reprlib import repr as brief
from typing import NoReturn, TypeAlias
from uuid import UUID

from bootpath.core.errors import FormatError

JsonValue: TypeAlias = "str | int | bool | list[JsonValue] | dict[str, JsonValue] | None"

U64_MAX = 2**64 - 1
MAX_INTEGER_CHARACTERS = 20  # of 2^64 - 1, and of -2^63


def parse_json(data: bytes, *, where: str, max_bytes: int) -> JsonValue:
    """The one value in `data`. Raises FormatError."""
    if len(data) > max_bytes:
        raise FormatError(
            "the text is too long", where=where, found=f"{len(data)} bytes", expected=f"at most {max_bytes}"
        )
    try:
        value: JsonValue = _DECODER.decode(data.decode())
    except FormatError as error:
        raise error.at(where) from None
    except UnicodeDecodeError as error:
        raise FormatError(f"byte {error.start} is not UTF-8", where=where) from None
    except json.JSONDecodeError as error:
        text = f"the text is not JSON: line {error.lineno}, column {error.colno}: {error.msg.lower()}"
        raise FormatError(text, where=where) from None
    except RecursionError:
        raise FormatError("the text is nested too deeply", where=where) from None
    return value


def quoted(text: str) -> str:
    """The text as a JSON string in ASCII. Raises FormatError for a lone surrogate, which no UTF-8 can hold."""
    return encode_basestring_ascii(_scalar(text))


class Members:
    """The members of one JSON object, taken by name and type; `done` refuses what nobody took."""

    __slots__ = ("_left", "_where")

    def __init__(self, value: JsonValue, *, where: str) -> None:
        if not isinstance(value, dict):
            raise FormatError("the value is not an object", where=where, found=brief(value), expected="an object")
        self._left = dict(value)
        self._where = where

    def has(self, name: str) -> bool:
        """True when a member is there that nobody took yet."""
        return name in self._left

    def text(self, name: str, default: str | None = None) -> str:
        """A string."""
        value = self._take(name, default)
        if not isinstance(value, str):
            return self._refuse(name, value, "a string")
        try:
            return _scalar(value)
        except FormatError as error:
            raise error.at(self._where) from None

    def number(self, name: str, default: int | None = None) -> int:
        """An unsigned 64-bit integer; a boolean is none."""
        value = self._take(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= U64_MAX:
            return self._refuse(name, value, "an integer from 0 to 2^64 - 1")
        return value

    def flag(self, name: str, default: bool | None = None) -> bool:
        """A boolean."""
        value = self._take(name, default)
        return value if isinstance(value, bool) else self._refuse(name, value, "true or false")

    def uuid(self, name: str) -> UUID:
        """A UUID, dashed and in lower case."""
        text = self.text(name)
        try:
            value = UUID(text)
        except ValueError:
            value = None
        # UUID() also reads braces, urn: and misplaced dashes; there is one way to write each UUID here.
        if value is None or str(value) != text:
            return self._refuse(name, text, "a dashed UUID in lower case")
        return value

    def array(self, name: str) -> list[JsonValue]:
        """An array."""
        value = self._take(name, None)
        return value if isinstance(value, list) else self._refuse(name, value, "an array")

    def members(self, name: str) -> Members:
        """An object inside this one."""
        return Members(self._take(name, None), where=f"{self._where}: {name}")

    def constant(self, name: str, expected: str | int) -> None:
        """A member that can have only one value: a format's name, or its version."""
        value = self._take(name, None)
        if type(value) is not type(expected) or value != expected:
            self._refuse(name, value, brief(expected))

    def done(self) -> None:
        """Refuse members that were not asked for."""
        for name in self._left:
            raise FormatError(f"the member {brief(name)} is not known", where=self._where)

    def _take(self, name: str, default: JsonValue) -> JsonValue:
        if name not in self._left and default is None:
            raise FormatError(f"the member {name!r} is missing", where=self._where)
        return self._left.pop(name, default)

    def _refuse(self, name: str, value: JsonValue, expected: str) -> NoReturn:
        raise FormatError(f"the value of {name} is not valid", where=self._where, found=brief(value), expected=expected)


def _scalar(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise FormatError(f"the string {brief(text)} holds a lone surrogate") from None
    return text


def _object(pairs: list[tuple[str, JsonValue]]) -> Mapping[str, JsonValue]:
    result: dict[str, JsonValue] = {}
    for name, value in pairs:
        if name in result:
            raise FormatError(f"the member {brief(name)} appears twice")
        result[name] = value
    return result


def _integer(text: str) -> int:
    if len(text) > MAX_INTEGER_CHARACTERS:
        raise FormatError(
            "a number is too long", found=f"{len(text)} characters", expected=f"at most {MAX_INTEGER_CHARACTERS}"
        )
    return int(text)


def _no_float(text: str) -> NoReturn:
    raise FormatError("a number is not an integer", found=brief(text), expected="an integer")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_int=_integer,
    parse_float=_no_float,
    parse_constant=_no_float,
)
