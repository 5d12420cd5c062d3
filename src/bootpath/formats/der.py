"""DER, the one encoding that a value of ASN.1 has, read strictly: whatever could be written another way is refused.

Source: X.690 (02/2021) §8 (BER), §10 and §11 (what DER leaves of it)::

    element: identifier: class, 2 bits; constructed, 1 bit; number, 5 bits    length    contents
    length:  0 to 127 in a byte; or 0x80 + n, and n bytes, big-endian

What is refused: a length that is indefinite or longer than it need be; a number above 30, which none of ours has;
a universal type that is unknown, or that has parts when it must not, or has none; an integer, an object identifier, a
Boolean, a bit string or a time of another form; text that its type does not have; a SET that is not sorted; bytes
that follow. What is in a constructed element of any class are elements; what is in a primitive one of another
class than universal is anything, for that depends on its implicit type.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from bootpath.core.errors import FormatError

INTEGER, OCTETS, NULL, OID, SEQUENCE, SET = 0x02, 0x04, 0x05, 0x06, 0x30, 0x31
MAX_DEPTH = 32
MAX_ELEMENTS = 1 << 14
_SPEC = "X.690"
_CONSTRUCTED, _UNIVERSAL, _NUMBER = 0x20, 0xC0, 0x1F
_IDENTIFIER_BYTES = 128
_UTC_TIME = re.compile(rb"[0-9]{12}Z")
_GENERALIZED_TIME = re.compile(rb"[0-9]{14}(?:\.[0-9]*[1-9])?Z")


@dataclass(frozen=True, slots=True)
class Element:
    """One element: `tag` is its identifier octet, `encoded` the whole, `parts` the elements in a constructed one."""

    tag: int
    contents: bytes
    encoded: bytes
    parts: tuple[Element, ...] = ()


def parse_der(data: bytes) -> Element:
    """The one element that the bytes are. Raises FormatError."""
    end = element_bytes(data)
    if end != len(data):
        raise _fault("bytes follow the value", "X.690 §8.1", f"{len(data) - end} bytes", "none")
    return _Walk().element(data, 0)


def element_bytes(data: bytes, at: int = 0) -> int:
    """How many bytes the element at `at` has, which must all be there. Raises FormatError."""
    start, length = _head(data, at)
    if start + length > len(data):
        raise _fault("an element is longer than the data", "X.690 §8.1.3", f"{length} bytes", f"{len(data) - start}")
    return start + length - at


class Fields:
    """The parts of a SEQUENCE, which are taken in order; `what` is what it is called in messages."""

    def __init__(self, element: Element, what: str) -> None:
        if element.tag != SEQUENCE:
            raise _fault(f"{what} is no SEQUENCE", _SPEC, f"{element.tag:#04x}", "0x30")
        self._what = what
        self._rest = list(element.parts)

    def take(self, *tags: int) -> Element:
        """The next part, with one of these tags; with any when there are none. Raises FormatError."""
        found = self._rest[0].tag if self._rest else None
        if found is None or (tags and found not in tags):
            expected = " or ".join(f"{tag:#04x}" for tag in tags) or "a value"
            raise _fault(
                f"{self._what} has another form", _SPEC, "its end" if found is None else f"{found:#04x}", expected
            )
        return self._rest.pop(0)

    def optional(self, *tags: int) -> Element | None:
        """The next part if it has one of these tags, or any when there are none."""
        return self._rest.pop(0) if self._rest and (not tags or self._rest[0].tag in tags) else None

    def end(self) -> None:
        """Raise FormatError when something is left."""
        if self._rest:
            raise _fault(f"{self._what} has another form", _SPEC, f"{self._rest[0].tag:#04x}", "its end")


def identifier(element: Element) -> str:
    """An OBJECT IDENTIFIER with dots: its parts are 7 bits a byte, and the first is 40 times one plus another."""
    numbers = [0]
    for byte in element.contents:
        numbers[-1] = numbers[-1] << 7 | byte & 0x7F
        if byte < 0x80:
            numbers.append(0)
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:-1])))


def integer(element: Element) -> int:
    """An INTEGER."""
    return int.from_bytes(element.contents, "big", signed=True)


def check_order(parts: Sequence[Element], what: str) -> None:
    """Raise FormatError unless they are in the order of a SET OF, each once."""
    for before, after in pairwise(parts):
        if before.encoded >= after.encoded:
            found = "the same twice" if before.encoded == after.encoded else "another order"
            raise _fault(f"{what} is not sorted", "X.690 §11.6", found, "ascending encodings")


class _Walk:
    """One walk over a value, which counts its elements."""

    def __init__(self) -> None:
        self._left = MAX_ELEMENTS

    def element(self, data: bytes, depth: int) -> Element:
        """The element that the bytes are."""
        self._left -= 1
        if self._left < 0 or depth > MAX_DEPTH:
            raise _fault("the value has too many elements", _SPEC, None, f"{MAX_ELEMENTS}, {MAX_DEPTH} deep")
        tag, (start, _) = data[0], _head(data, 0)
        contents = data[start:]
        parts = self._parts(contents, depth) if tag & _CONSTRUCTED else ()
        found = Element(tag, contents, data, parts)
        if not tag & _UNIVERSAL:
            _check(found)
        return found

    def _parts(self, contents: bytes, depth: int) -> tuple[Element, ...]:
        parts = []
        at = 0
        while at < len(contents):
            end = at + element_bytes(contents, at)
            parts.append(self.element(contents[at:end], depth + 1))
            at = end
        return tuple(parts)


def _head(data: bytes, at: int) -> tuple[int, int]:
    """Where the contents of the element at `at` begin, and how many bytes they have."""
    if len(data) < at + 2:
        raise _fault("an element is cut short", "X.690 §8.1.1", f"{len(data) - at} bytes", "2 bytes or more")
    tag, first = data[at], data[at + 1]
    if tag & _NUMBER == _NUMBER:
        raise _fault("the number of a tag is too large", "X.690 §8.1.2.4", f"{tag:#04x}", "at most 30")
    if first < 0x80:
        return at + 2, first
    start = at + 2 + (first & 0x7F)
    length = int.from_bytes(data[at + 2 : start], "big")
    # "the definite form of length encoding shall be used, encoded in the minimum number of octets" (§10.1)
    if not 0x80 < first < 0x85 or len(data) < start or length < 0x80 or data[at + 2] == 0:
        raise _fault("a length is not in its shortest form", "X.690 §10.1", data[at + 1 : start][:5].hex(), None)
    return start, length


def _check(found: Element) -> None:
    """What a universal type demands of its contents."""
    if found.tag == SET:
        check_order(found.parts, "a SET")
    elif found.tag != SEQUENCE:
        name, holds = _PRIMITIVE.get(found.tag, ("a type that is known", lambda _: False))
        if not holds(found.contents):
            raise _fault(
                "a value is not in the form of DER", _SPEC, f"{found.tag:#04x} {found.contents[:8].hex()}", name
            )


def _is_integer(contents: bytes) -> bool:
    """The first nine bits "shall not all be ones; and shall not all be zero" (§8.3.2)."""
    return len(contents) == 1 or (len(contents) > 1 and (contents[0], contents[1] >> 7) not in ((0, 0), (0xFF, 1)))


def _is_bit_string(contents: bytes) -> bool:
    """The first byte says how many bits at the end are not used; they are zero (§8.6.2, §11.2.1)."""
    unused = contents[0] if contents else 8
    return (
        unused < 8
        and (len(contents) > 1 or not unused)
        and not contents[-1] & ((1 << unused) - 1) * (len(contents) > 1)
    )


def _is_identifier(contents: bytes) -> bool:
    """Parts of 7 bits a byte, none of which begins with 0x80 (§8.19.2)."""
    if not 0 < len(contents) <= _IDENTIFIER_BYTES or contents[-1] & 0x80:
        return False
    return all(contents[at] != 0x80 or (at > 0 and contents[at - 1] & 0x80) for at in range(len(contents)))


def _decodes(codec: str) -> Callable[[bytes], bool]:
    def holds(contents: bytes) -> bool:
        try:
            contents.decode(codec)
        except UnicodeDecodeError:
            return False
        return True

    return holds


def _matches(pattern: bytes) -> Callable[[bytes], bool]:
    return lambda contents: re.fullmatch(pattern, contents) is not None


_PRIMITIVE: Mapping[int, tuple[str, Callable[[bytes], bool]]] = {
    0x01: ("a Boolean, 00 or ff (§11.1)", lambda contents: contents in (b"\0", b"\xff")),
    INTEGER: ("the shortest form of an integer (§8.3)", _is_integer),
    0x03: ("a bit string whose unused bits are zero (§11.2)", _is_bit_string),
    OCTETS: ("an octet string", lambda contents: True),
    NULL: ("no contents (§8.8)", lambda contents: not contents),
    OID: ("the shortest form of an object identifier (§8.19)", _is_identifier),
    0x0A: ("the shortest form of an enumerated value (§8.4)", _is_integer),
    0x0C: ("text in UTF-8", _decodes("utf-8")),
    0x12: ("digits and spaces", _matches(rb"[0-9 ]*")),
    0x13: ("characters of a PrintableString", _matches(rb"[A-Za-z0-9 '()+,./:=?-]*")),
    0x14: ("text", lambda contents: True),
    0x16: ("text in ASCII", _decodes("ascii")),
    0x17: ("a time as YYMMDDHHMMSSZ (§11.8)", lambda contents: _UTC_TIME.fullmatch(contents) is not None),
    0x18: ("a time as YYYYMMDDHHMMSSZ (§11.7)", lambda contents: _GENERALIZED_TIME.fullmatch(contents) is not None),
    0x1A: ("visible ASCII", _matches(rb"[ -~]*")),
    0x1C: ("text in UTF-32", _decodes("utf-32-be")),
    0x1E: ("text in UTF-16", lambda contents: len(contents) % 2 == 0),
}
"""The universal types that have no parts: what DER demands, and whether contents are that."""


def _fault(what: str, spec: str, found: str | None, expected: str | None) -> FormatError:
    return FormatError(what, where="der", found=found, expected=expected, spec=spec)
